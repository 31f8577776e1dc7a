/* SPDX-License-Identifier: Apache-2.0 */
/* json.c - reads the `json` codec: one JSON text (RFC 8259), within the budgets of the `data` codec.
 *
 * It is stricter than json.loads: no NaN and Infinity, no control characters or lone surrogates in strings, no
 * number beyond a float's range, no name twice in an object (RFC 7493), and MAX_DEPTH. It does not look at
 * sys.set_int_max_str_digits: a number has at most KEY_DIGITS digits, because the time to convert them is
 * quadratic. */
#include "reader.h"

#include <math.h>
#include <string.h>

#define CHUNK 18 /* decimal digits that a uint64_t holds */

static PyObject *read_value(struct reader *r);

/* Skip white space, and return the character after it, which stays unread; 0 at the end. */
static uint8_t next_character(struct reader *r)
{
    while (r->at < r->end && (*r->at == ' ' || *r->at == '\n' || *r->at == '\r' || *r->at == '\t'))
        r->at++;
    return r->at < r->end ? *r->at : 0;
}

static void *unexpected(struct reader *r, const char *wanted)
{
    if (r->at >= r->end)
        return reader_malformed(r, "it ends too early");
    return reader_malformed(r, "not JSON: %s expected", wanted);
}

static bool take(struct reader *r, char wanted)
{
    bool found = next_character(r) == (uint8_t)wanted;
    r->at += found;
    return found;
}

/* ---- numbers ------------------------------------------------------------------------------------------------- */

static const uint8_t *skip_digits(const struct reader *r, const uint8_t *at)
{
    while (at < r->end && *at >= '0' && *at <= '9')
        at++;
    return at;
}

/* Return the end of the number at `r->at`, or NULL if there is none. */
static const uint8_t *end_of_number(const struct reader *r, bool *ret_is_float)
{
    const uint8_t *at = r->at + (*r->at == '-'), *digits = at;
    at = skip_digits(r, at);
    if (at == digits || (*digits == '0' && at > digits + 1))
        return NULL;
    *ret_is_float = false;
    if (at < r->end && *at == '.') {
        digits = ++at;
        at = skip_digits(r, at);
        if (at == digits)
            return NULL;
        *ret_is_float = true;
    }
    if (at < r->end && (*at == 'e' || *at == 'E')) {
        at++;
        at += at < r->end && (*at == '+' || *at == '-');
        digits = at;
        at = skip_digits(r, at);
        if (at == digits)
            return NULL;
        *ret_is_float = true;
    }
    return at;
}

static PyObject *read_float(struct reader *r, size_t n)
{
    char text[KEY_DIGITS + 2]; /* ends with a NUL, which the stream does not */
    memcpy(text, r->at, n);
    text[n] = '\0';
    double value = PyOS_string_to_double(text, NULL, NULL);
    if (value == -1.0 && PyErr_Occurred())
        return NULL;
    if (!isfinite(value))
        return reader_malformed(r, "a number beyond the range of a float");
    return budget_spend(r, 32) ? PyFloat_FromDouble(value) : NULL;
}

static uint64_t digits_of(const uint8_t *digits, size_t n)
{
    uint64_t value = 0;
    for (size_t i = 0; i < n; i++)
        value = value * 10 + (uint64_t)(digits[i] - '0');
    return value;
}

/* Return value * 10^CHUNK + digits. Steals the reference to `value`. */
static PyObject *shifted(PyObject *value, PyObject *scale, uint64_t digits)
{
    PyObject *product = PyNumber_Multiply(value, scale), *last = PyLong_FromUnsignedLongLong(digits);
    PyObject *sum = product && last ? PyNumber_Add(product, last) : NULL;
    Py_XDECREF(product);
    Py_XDECREF(last);
    Py_DECREF(value);
    return sum;
}

static PyObject *long_int(struct reader *r, const uint8_t *digits, size_t n)
{
    if (!budget_spend(r, 64 + 2 * (uint64_t)n))
        return NULL;
    PyObject *scale = PyLong_FromUnsignedLongLong(UINT64_C(1000000000000000000));
    size_t first = n % CHUNK ? n % CHUNK : CHUNK;
    PyObject *value = scale ? PyLong_FromUnsignedLongLong(digits_of(digits, first)) : NULL;
    for (size_t i = first; value && i < n; i += CHUNK)
        value = shifted(value, scale, digits_of(digits + i, CHUNK));
    Py_XDECREF(scale);
    r->memory -= (uint64_t)n;
    return value;
}

static PyObject *read_int(struct reader *r, const uint8_t *end)
{
    bool negative = *r->at == '-';
    const uint8_t *digits = r->at + negative;
    size_t n = (size_t)(end - digits);
    if (n <= CHUNK && !negative)
        return number_unsigned(r, digits_of(digits, n));
    if (n <= CHUNK)
        return budget_spend(r, 32) ? PyLong_FromLongLong(-(long long)digits_of(digits, n)) : NULL;
    PyObject *value = long_int(r, digits, n);
    if (value && negative)
        Py_SETREF(value, PyNumber_Negative(value));
    return value;
}

static PyObject *read_number(struct reader *r)
{
    bool is_float;
    const uint8_t *end = end_of_number(r, &is_float);
    if (!end)
        return reader_malformed(r, "not a JSON number");
    if (end - r->at - (*r->at == '-') > (Py_ssize_t)KEY_DIGITS)
        return reader_malformed(r, "a number of more than %u digits", KEY_DIGITS);
    PyObject *value = is_float ? read_float(r, (size_t)(end - r->at)) : read_int(r, end);
    r->at = end;
    return value;
}

/* ---- strings ------------------------------------------------------------------------------------------------- */

/* Return the value of four hexadecimal digits, or -1. */
static int hexadecimal(const uint8_t *at, const uint8_t *end)
{
    int value = 0;
    if (end - at < 4)
        return -1;
    for (int i = 0; i < 4; i++) {
        uint8_t c = at[i], lower = c | 0x20;
        if (c >= '0' && c <= '9')
            value = value * 16 + (c - '0');
        else if (lower >= 'a' && lower <= 'f')
            value = value * 16 + (lower - 'a' + 10);
        else
            return -1;
    }
    return value;
}

/* Read the digits after \u, twice for a surrogate pair. Return the code point, or -1. */
static int code_point(const uint8_t **at, const uint8_t *end)
{
    int high = hexadecimal(*at, end);
    if (high < 0)
        return -1;
    *at += 4;
    if (high < 0xD800 || high > 0xDFFF)
        return high;
    if (high > 0xDBFF || end - *at < 6 || (*at)[0] != '\\' || (*at)[1] != 'u')
        return -1;
    int low = hexadecimal(*at + 2, end);
    if (low < 0xDC00 || low > 0xDFFF)
        return -1;
    *at += 6;
    return 0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00);
}

static char *put_utf8(char *to, int code)
{
    if (code < 0x80) {
        *to++ = (char)code;
    } else if (code < 0x800) {
        *to++ = (char)(0xC0 | code >> 6);
        *to++ = (char)(0x80 | (code & 63));
    } else if (code < 0x10000) {
        *to++ = (char)(0xE0 | code >> 12);
        *to++ = (char)(0x80 | (code >> 6 & 63));
        *to++ = (char)(0x80 | (code & 63));
    } else {
        *to++ = (char)(0xF0 | code >> 18);
        *to++ = (char)(0x80 | (code >> 12 & 63));
        *to++ = (char)(0x80 | (code >> 6 & 63));
        *to++ = (char)(0x80 | (code & 63));
    }
    return to;
}

/* Copy the string up to `end` without its escapes. Return the length, or -1. UTF-8 is never longer than the escape. */
static Py_ssize_t unescape(const uint8_t *at, const uint8_t *end, char *text)
{
    static const char letters[] = "\"\\/bfnrt", meanings[] = "\"\\/\b\f\n\r\t";
    char *to = text;
    while (at < end) {
        if (*at != '\\') {
            *to++ = (char)*at++;
            continue;
        }
        uint8_t letter = *++at; /* a backslash is never the last: the quote after it would be escaped */
        const char *found = letter ? strchr(letters, letter) : NULL;
        at++;
        if (found) {
            *to++ = meanings[found - letters];
            continue;
        }
        int code = letter == 'u' ? code_point(&at, end) : -1;
        if (code < 0)
            return -1;
        to = put_utf8(to, code);
    }
    return to - text;
}

static PyObject *escaped_string(struct reader *r, const uint8_t *end)
{
    uint64_t room = budget_rounded((uint64_t)(end - r->at));
    if (!budget_spend(r, room))
        return NULL;
    char *text = PyMem_Malloc(room);
    if (!text)
        return PyErr_NoMemory();
    Py_ssize_t n = unescape(r->at, end, text);
    PyObject *string = n < 0 ? reader_malformed(r, "a bad escape or a lone surrogate in a string")
                             : string_decode(r, text, (uint64_t)n);
    PyMem_Free(text);
    r->memory -= room;
    return string;
}

/* Read the string after its opening quote. */
static PyObject *read_string(struct reader *r)
{
    const uint8_t *at = r->at;
    bool escapes = false;
    for (; at < r->end && *at != '"'; at++) {
        if (*at < 0x20) {
            r->at = at;
            return reader_malformed(r, "a control character in a string");
        }
        if (*at == '\\') {
            escapes = true;
            at += at + 1 < r->end && at[1] >= 0x20;
        }
    }
    if (at >= r->end) {
        r->at = r->end;
        return unexpected(r, "");
    }
    PyObject *string =
        escapes ? escaped_string(r, at) : string_decode(r, (const char *)r->at, (uint64_t)(at - r->at));
    r->at = at + 1;
    return string;
}

/* ---- containers ---------------------------------------------------------------------------------------------- */

static bool enter(struct reader *r)
{
    if (r->depth == MAX_DEPTH)
        return reader_malformed(r, "more than %d containers inside one another", MAX_DEPTH);
    r->depth++;
    return true;
}

/* Pay for the growth of a list before CPython's list_resize() makes it. */
static bool append(struct reader *r, PyObject *list, PyObject *item)
{
    Py_ssize_t n = PyList_GET_SIZE(list), room = ((PyListObject *)list)->allocated;
    if (n == room && !budget_spend(r, 8 * (uint64_t)(n / 8 + 8)))
        return false;
    return PyList_Append(list, item) == 0;
}

static bool read_elements(struct reader *r, PyObject *list)
{
    do {
        PyObject *item = read_value(r);
        bool done = item && append(r, list, item);
        Py_XDECREF(item);
        if (!done)
            return false;
    } while (take(r, ','));
    return take(r, ']') || unexpected(r, "',' or ']'");
}

static PyObject *read_list(struct reader *r)
{
    if (!enter(r) || !budget_spend(r, 64))
        return NULL;
    PyObject *list = PyList_New(0);
    if (list && !take(r, ']') && !read_elements(r, list))
        Py_CLEAR(list);
    r->depth--;
    return list;
}

static PyObject *read_key(struct reader *r)
{
    if (!take(r, '"'))
        return unexpected(r, "a name in quotes");
    PyObject *key = read_string(r);
    if (key && !take(r, ':')) {
        Py_CLEAR(key);
        unexpected(r, "':'");
    }
    return key;
}

static bool read_member(struct reader *r, PyObject *dict, uint64_t *paid)
{
    uint64_t n = (uint64_t)PyDict_Size(dict) + 1, price = budget_of_dict(n, true);
    PyObject *key = read_key(r);
    PyObject *value = key ? read_value(r) : NULL;
    bool done = value && budget_spend(r, price - *paid) && PyDict_SetItem(dict, key, value) == 0;
    if (done && (uint64_t)PyDict_Size(dict) != n)
        done = reader_malformed(r, "an object with one name twice");
    *paid = price;
    Py_XDECREF(key);
    Py_XDECREF(value);
    return done;
}

static bool read_members(struct reader *r, PyObject *dict)
{
    uint64_t paid = 64; /* the empty dict */
    do
        if (!read_member(r, dict, &paid))
            return false;
    while (take(r, ','));
    return take(r, '}') || unexpected(r, "',' or '}'");
}

static PyObject *read_dict(struct reader *r)
{
    if (!enter(r) || !budget_spend(r, 64))
        return NULL;
    PyObject *dict = PyDict_New();
    if (dict && !take(r, '}') && !read_members(r, dict))
        Py_CLEAR(dict);
    r->depth--;
    return dict;
}

/* ---- values -------------------------------------------------------------------------------------------------- */

static PyObject *read_word(struct reader *r, const char *word, PyObject *value)
{
    size_t n = strlen(word);
    if ((size_t)(r->end - r->at) < n || memcmp(r->at, word, n) != 0)
        return reader_malformed(r, "not a JSON value");
    r->at += n;
    return Py_NewRef(value);
}

static PyObject *read_value(struct reader *r)
{
    if (--r->breath == 0 && !budget_breathe(r))
        return NULL;
    uint8_t first = next_character(r);
    switch (first) {
    case '[':
        r->at++;
        return read_list(r);
    case '{':
        r->at++;
        return read_dict(r);
    case '"':
        r->at++;
        return read_string(r);
    case 't':
        return read_word(r, "true", Py_True);
    case 'f':
        return read_word(r, "false", Py_False);
    case 'n':
        return read_word(r, "null", Py_None);
    default:
        if (first == '-' || (first >= '0' && first <= '9'))
            return read_number(r);
        return unexpected(r, "a value");
    }
}

PyObject *json_read(struct reader *r)
{
    PyObject *value = read_value(r);
    next_character(r); /* skips white space */
    return value;
}

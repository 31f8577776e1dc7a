/* _reader.c - the reader of the `data` codec: makes a value of one CBOR item (RFC 8949) that a hostile worker may have
 * written.
 *
 * Two budgets bound what that costs the process that reads, and both grow with the size of the bytes. Memory: nothing
 * is allocated that `spend` has not paid for. Time: each item takes at least a byte, each tag that costs more than its
 * bytes is counted by `work`, and so is each step that a table of keys will take (`check_keys`).
 *
 * Tags with contents of a fixed shape are read here. Those that need a module of Python's are handed to the function
 * that `decoders` has for the tag, once the types of their contents are right. */
#include "_plain.h"

#include <datetime.h>
#include <endian.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* As `wire` has them. */
#define MAX_DEPTH 200
#define OURS UINT64_C(0x50494E00)
enum tag {
    HASH_OF_RATIONAL = 0, /* no tag: a function of a Fraction, among the decoders */
    POSITIVE_BIGNUM = 2,
    NEGATIVE_BIGNUM = 3,
    RATIONAL = 30,
    UUID = 37,
    SET = 258,
    COMPLEX = 43000,
    TUPLE = OURS,
    FROZENSET,
    PAIRS,
    BYTEARRAY,
    SEGMENT,
    SURROGATES,
    NOT_A_NUMBER,
    ELLIPSIS,
    RANGE,
    SLICE,
    DATETIME,
    DATE,
    TIME,
    TIMEDELTA,
    TIMEZONE,
    ZONE,
    DECIMAL,
    PATH,
    PURE_PATH,
    ARRAY,
    SCALAR,
};

enum major { UNSIGNED, NEGATIVE, BYTES, TEXT, LIST, MAP, TAG, SIMPLE };
enum { FALSE = 20, TRUE, NIL, HALF = 25, SINGLE, DOUBLE };

#define MEMORY_A_BYTE 96u  /* the most memory that the value of one byte takes */
#define MEMORY_FREE 65536u /* .. and what any value may take besides */
#define STEPS_A_BYTE 32u   /* a step takes some 4 ns: a look at a place of a table */
#define STEPS_FREE 1048576u
#define STEPS_TO_COMPARE 4u /* two parts of keys */
#define KEY_BITS 16384u     /* of a number in a key: to compare two of different kinds is quadratic */
#define KEY_DIGITS 4932u    /* the same, decimal */
#define KEY_EXPONENT                                                                                              \
    999999               /* of a Decimal in a key: to hash it is a power of 10 (and decimal's own default bound) */
#define PLAIN_DEPTH 64u  /* lists inside lists, in the description of a dtype */
#define BREATH 32768u    /* items, after which signals and other threads have their turn */
#define COLLECTED 32768u /* bytes, from which on garbage is not looked for while a value is made */

struct state {
    PyTypeObject *reader;
    PyObject *malformed, *too_large;
};

struct reader {
    PyObject ob_base;
    struct state *state;
    PyObject *memo;     /* a dict, for the functions of `decoders` */
    PyObject *segments; /* a tuple of memoryviews */
    PyObject *decoders; /* {tag: function of the reader and the tag's parts} */
    Py_buffer stream;
    const uint8_t *at, *end;
    uint8_t *taken;         /* a byte for each segment */
    PyTypeObject *fraction; /* the type, if there was one */
    uint64_t memory, memory_most, result_most;
    uint64_t steps, steps_most;
    uint64_t owed; /* items that open lists and maps are yet to have, each of a byte at least */
    unsigned depth, breath;
    int bounded;       /* above 0: of a number's size, in a key or a range */
    bool long_numbers; /* a key has one that takes long to compare */
};

static PyObject *read_item(struct reader *r);

static void *malformed(struct reader *r, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    PyObject *what = PyUnicode_FromFormatV(format, arguments);
    va_end(arguments);
    if (what)
        PyErr_Format(r->state->malformed, "%U (at byte %zd of %zd)", what,
                     (Py_ssize_t)(r->at - (const uint8_t *)r->stream.buf), r->stream.len);
    Py_XDECREF(what);
    return NULL;
}

/* ---- budgets ---------------------------------------------------------------------------------- */

static bool spend(struct reader *r, uint64_t bytes)
{
    if (bytes <= r->memory_most - r->memory) {
        r->memory += bytes;
        return true;
    }
    if (r->result_most && r->memory_most == r->result_most)
        PyErr_Format(r->state->too_large, "the value takes more than the %llu bytes allowed when it is read",
                     (unsigned long long)r->result_most);
    else
        malformed(r, "a value of more than %u times its size", MEMORY_A_BYTE);
    return false;
}

static bool work(struct reader *r, uint64_t steps)
{
    if (steps <= r->steps_most - r->steps) {
        r->steps += steps;
        return true;
    }
    malformed(r, "a value that takes more time to read than its size allows");
    return false;
}

/* That a list or a map is to have n items more. */
static bool owe(struct reader *r, uint64_t n)
{
    uint64_t left = (uint64_t)(r->end - r->at);
    if (r->owed > left || n > left - r->owed) {
        r->at = r->end;
        malformed(r, "it ends too early");
        return false;
    }
    r->owed += n;
    return true;
}

static uint64_t rounded(uint64_t bytes)
{
    return (bytes + 15) & ~UINT64_C(15);
}

/* The most that a dict of n keys takes, the table before its last growth included. */
static uint64_t dict_cost(uint64_t n, bool text)
{
    uint64_t entry = text && PY_VERSION_HEX >= 0x030B0000 ? 16 : 24;
    uint64_t size = 8, total = 0, before = 0;
    if (n == 0)
        return 64;
    for (;;) {
        uint64_t usable = size * 2 / 3;
        uint64_t table = rounded(40 + usable * entry + size * (size <= 128 ? 1 : size <= 32768 ? 2 : 4));
        total = 64 + table + before;
        if (n <= usable)
            return total;
        before = table;
        size *= 2;
    }
}

static uint64_t set_cost(uint64_t n)
{
    uint64_t size = 8;
    if (n * 5 < 7 * 3)
        return 224;
    while (size <= n * 2)
        size *= 2;
    return 224 + 16 * size;
}

/* Lets signals and other threads have their turn. */
static bool breathe(struct reader *r)
{
    r->breath = BREATH;
    Py_BEGIN_ALLOW_THREADS;
    Py_END_ALLOW_THREADS;
    return PyErr_CheckSignals() == 0;
}

/* ---- heads ------------------------------------------------------------------------------------ */

struct head {
    enum major major;
    unsigned info;
    uint64_t value;
};

static bool read_head(struct reader *r, struct head *head)
{
    if (r->at >= r->end) {
        malformed(r, "it ends too early");
        return false;
    }
    uint8_t first = *r->at;
    head->major = first >> 5;
    head->info = first & 31;
    if (head->info < 24) {
        r->at++;
        head->value = head->info;
        return true;
    }
    if (head->info > 27) {
        malformed(r, head->info == 31 ? "a length that is not told" : "a reserved length");
        return false;
    }
    unsigned size = 1u << (head->info - 24);
    if ((size_t)(r->end - r->at) <= size) {
        r->at = r->end;
        malformed(r, "it ends too early");
        return false;
    }
    uint64_t value = 0;
    memcpy((uint8_t *)&value + 8 - size, r->at + 1, size);
    head->value = be64toh(value);
    r->at += 1 + size;
    return true;
}

/* The head of an item of this kind, or an error that names the tag. */
static bool expect(struct reader *r, enum major major, struct head *head, const char *whose)
{
    if (!read_head(r, head))
        return false;
    if (head->major == major)
        return true;
    malformed(r, "not the content of a %s", whose);
    return false;
}

static bool expect_list(struct reader *r, uint64_t n, const char *whose)
{
    struct head head;
    if (!read_head(r, &head))
        return false;
    if (head.major == LIST && head.value == n)
        return true;
    malformed(r, "not the fields of a %s", whose);
    return false;
}

/* `n` bytes of the stream, or NULL. */
static const char *chunk(struct reader *r, uint64_t n)
{
    if (n > (uint64_t)(r->end - r->at)) {
        r->at = r->end;
        return malformed(r, "it ends too early");
    }
    const char *bytes = (const char *)r->at;
    r->at += n;
    return bytes;
}

/* Whether the next item is null, which is read then. */
static bool is_null(struct reader *r)
{
    if (r->at >= r->end || *r->at != (SIMPLE << 5 | NIL))
        return false;
    r->at++;
    return true;
}

static PyObject *none(void)
{
    return Py_NewRef(Py_None);
}

/* ---- numbers ---------------------------------------------------------------------------------- */

static PyObject *read_unsigned(struct reader *r, uint64_t value)
{
    return value <= 256 || spend(r, 32) ? PyLong_FromUnsignedLongLong(value) : NULL;
}

static PyObject *read_negative(struct reader *r, uint64_t value)
{
    if (!spend(r, 32))
        return NULL;
    if (value <= INT64_MAX)
        return PyLong_FromLongLong(-1 - (long long)value);
    PyObject *positive = PyLong_FromUnsignedLongLong(value);
    PyObject *negative = positive ? PyNumber_Invert(positive) : NULL;
    Py_XDECREF(positive);
    return negative;
}

/* The memory of a segment, which may be taken once; NULL. */
static PyObject *take(struct reader *r, uint64_t index)
{
    if (index == 0 || index >= (uint64_t)PyTuple_GET_SIZE(r->segments))
        return malformed(r, "no segment %llu", (unsigned long long)index);
    if (r->taken[index])
        return malformed(r, "segment %llu is used twice", (unsigned long long)index);
    r->taken[index] = 1;
    return PyTuple_GET_ITEM(r->segments, (Py_ssize_t)index);
}

/* What follows a bignum's tag: bytes, in the stream or in a segment. Only what no plain int can hold, for a shorter one
 * would cost more than its bytes. */
static PyObject *read_bignum(struct reader *r, bool negative)
{
    struct head head;
    Py_buffer view = {.obj = NULL};
    PyObject *value = NULL;
    if (!read_head(r, &head))
        return NULL;
    if (head.major == BYTES) {
        view.len = (Py_ssize_t)head.value;
        view.buf = (void *)chunk(r, head.value);
        if (!view.buf)
            return NULL;
    } else if (head.major == TAG && head.value == SEGMENT) {
        if (!expect(r, UNSIGNED, &head, "bignum"))
            return NULL;
        PyObject *segment = take(r, head.value);
        if (!segment || PyObject_GetBuffer(segment, &view, PyBUF_SIMPLE) < 0)
            return NULL;
    } else {
        return malformed(r, "not the content of a bignum");
    }
    if (view.len <= 8 || ((const char *)view.buf)[0] == 0)
        malformed(r, "a bignum that an int of 64 bits holds");
    else if (r->bounded > 0 && view.len > KEY_BITS / 8)
        malformed(r, "an int of more than %u bits in a key or a range", KEY_BITS);
    else if (spend(r, 64 + 2 * (uint64_t)view.len))
        value = PyObject_CallMethod((PyObject *)&PyLong_Type, "from_bytes", "y#s", view.buf, view.len, "big");
    if (value) {
        r->memory -= (uint64_t)view.len;
        r->long_numbers |= r->bounded > 0 && view.len > 128;
    }
    if (value && negative)
        Py_SETREF(value, PyNumber_Invert(value));
    if (view.obj)
        PyBuffer_Release(&view);
    return value;
}

static PyObject *read_int(struct reader *r, const char *whose)
{
    struct head head;
    if (!read_head(r, &head))
        return NULL;
    if (head.major == UNSIGNED)
        return read_unsigned(r, head.value);
    if (head.major == NEGATIVE)
        return read_negative(r, head.value);
    if (head.major == TAG && (head.value == POSITIVE_BIGNUM || head.value == NEGATIVE_BIGNUM))
        return read_bignum(r, head.value == NEGATIVE_BIGNUM);
    return malformed(r, "not the fields of a %s", whose);
}

/* `n` ints that C holds. */
static bool read_small(struct reader *r, int *ints, int n, const char *whose)
{
    for (int i = 0; i < n; i++) {
        struct head head;
        if (!read_head(r, &head))
            return false;
        if (head.major > NEGATIVE || head.value > INT_MAX) {
            malformed(r, "not the fields of a %s", whose);
            return false;
        }
        ints[i] = head.major == NEGATIVE ? -1 - (int)head.value : (int)head.value;
    }
    return true;
}

static double half(uint64_t bits)
{
    int exponent = (int)(bits >> 10 & 31);
    double fraction = (double)(bits & 1023);
    double value = exponent == 0    ? ldexp(fraction, -24)
                   : exponent == 31 ? (fraction != 0 ? (double)NAN : (double)INFINITY)
                                    : ldexp(fraction + 1024, exponent - 25);
    return bits >> 15 ? -value : value;
}

static double double_of(const struct head *head)
{
    double value;
    float single;
    uint32_t bits = (uint32_t)head->value;
    if (head->info == HALF)
        return half(head->value);
    if (head->info == SINGLE) {
        memcpy(&single, &bits, sizeof(single));
        return (double)single;
    }
    memcpy(&value, &head->value, sizeof(value));
    return value;
}

static bool read_nan(struct reader *r, double *value)
{
    struct head head;
    if (!expect(r, BYTES, &head, "NaN"))
        return false;
    const char *bytes = chunk(r, head.value);
    uint64_t bits;
    if (!bytes)
        return false;
    if (head.value != 8) {
        malformed(r, "not the content of a NaN");
        return false;
    }
    memcpy(&bits, bytes, sizeof(bits));
    bits = be64toh(bits);
    memcpy(value, &bits, sizeof(bits));
    if (*value == *value)
        malformed(r, "a NaN that is a number");
    return *value != *value;
}

static bool read_double(struct reader *r, double *value, const char *whose)
{
    struct head head;
    if (!read_head(r, &head))
        return false;
    if (head.major == TAG && head.value == NOT_A_NUMBER)
        return read_nan(r, value);
    if (head.major != SIMPLE || head.info < HALF || head.info > DOUBLE) {
        malformed(r, "not the fields of a %s", whose);
        return false;
    }
    *value = double_of(&head);
    return true;
}

static PyObject *read_complex(struct reader *r)
{
    double real, imaginary;
    if (!expect_list(r, 2, "complex") || !read_double(r, &real, "complex") ||
        !read_double(r, &imaginary, "complex") || !spend(r, 32))
        return NULL;
    return PyComplex_FromDoubles(real, imaginary);
}

/* Of two or three ints, or of ints and null. */
static PyObject *read_span(struct reader *r, bool is_slice)
{
    const char *whose = is_slice ? "slice" : "range";
    PyObject *part[3] = {NULL, NULL, NULL}, *span = NULL;
    if (!expect_list(r, 3, whose) || !spend(r, 64))
        return NULL;
    r->bounded += !is_slice; /* a range divides them */
    int i = 0;
    while (i < 3 && (part[i] = is_slice && is_null(r) ? none() : read_int(r, whose)))
        i++;
    r->bounded -= !is_slice;
    if (i == 3)
        span = is_slice ? PySlice_New(part[0], part[1], part[2])
                        : PyObject_CallFunctionObjArgs((PyObject *)&PyRange_Type, part[0], part[1], part[2], NULL);
    for (i = 0; i < 3; i++)
        Py_XDECREF(part[i]);
    return span;
}

/* ---- text and bytes --------------------------------------------------------------------------- */

/* The most bytes that a character takes in memory while a text is read: 1, 2 or 4. */
static uint64_t width(const char *bytes, uint64_t n)
{
    uint64_t i = 0, word, above = 0;
    for (; i + 8 <= n; i += 8) {
        memcpy(&word, bytes + i, 8);
        if (word & UINT64_C(0x8080808080808080))
            break;
    }
    for (; i < n; i++) {
        uint8_t byte = (uint8_t)bytes[i];
        above = byte > above ? byte : above;
    }
    return above >= 0xF0 ? 4 : above >= 0xC4 ? 2 : 1;
}

static PyObject *read_text(struct reader *r, uint64_t n)
{
    const char *bytes = chunk(r, n);
    if (!bytes || (n > 1 && !spend(r, rounded(64 + n * width(bytes, n)))))
        return NULL;
    return PyUnicode_DecodeUTF8(bytes, (Py_ssize_t)n, NULL);
}

static PyObject *read_surrogates(struct reader *r)
{
    struct head head;
    if (!expect(r, BYTES, &head, "str"))
        return NULL;
    const char *bytes = chunk(r, head.value);
    if (!bytes || !spend(r, rounded(80 + 4 * head.value)))
        return NULL;
    return PyUnicode_DecodeUTF8(bytes, (Py_ssize_t)head.value, "surrogatepass");
}

/* A str of either kind. */
static PyObject *read_str(struct reader *r, const char *whose)
{
    struct head head;
    if (!read_head(r, &head))
        return NULL;
    if (head.major == TEXT)
        return read_text(r, head.value);
    if (head.major == TAG && head.value == SURROGATES)
        return read_surrogates(r);
    return malformed(r, "not the content of a %s", whose);
}

static PyObject *read_bytes(struct reader *r, uint64_t n)
{
    const char *bytes = chunk(r, n);
    return bytes && spend(r, rounded(48 + n)) ? PyBytes_FromStringAndSize(bytes, (Py_ssize_t)n) : NULL;
}

static PyObject *read_segment(struct reader *r)
{
    struct head head;
    Py_buffer view;
    if (!expect(r, UNSIGNED, &head, "bytes"))
        return NULL;
    PyObject *segment = take(r, head.value);
    if (!segment || PyObject_GetBuffer(segment, &view, PyBUF_SIMPLE) < 0)
        return NULL;
    PyObject *bytes = spend(r, 48 + (uint64_t)view.len) ? PyBytes_FromStringAndSize(view.buf, view.len) : NULL;
    PyBuffer_Release(&view);
    return bytes;
}

static PyObject *bytearray_of(struct reader *r, uint64_t n)
{
    const char *bytes = chunk(r, n);
    return bytes && spend(r, rounded(80 + n)) ? PyByteArray_FromStringAndSize(bytes, (Py_ssize_t)n) : NULL;
}

static PyObject *read_bytearray(struct reader *r)
{
    struct head head;
    if (!read_head(r, &head))
        return NULL;
    if (head.major == BYTES)
        return bytearray_of(r, head.value);
    if (head.major != UNSIGNED)
        return malformed(r, "not the content of a bytearray");
    PyObject *segment = take(r, head.value);
    Py_buffer view;
    if (!segment || PyObject_GetBuffer(segment, &view, PyBUF_SIMPLE) < 0)
        return NULL;
    PyObject *array = spend(r, 80 + (uint64_t)view.len) ? PyByteArray_FromStringAndSize(view.buf, view.len) : NULL;
    PyBuffer_Release(&view);
    return array;
}

/* ---- containers ------------------------------------------------------------------------------- */

static bool enter(struct reader *r)
{
    if (r->depth == MAX_DEPTH) {
        malformed(r, "more than %d containers inside one another", MAX_DEPTH);
        return false;
    }
    r->depth++;
    return true;
}

/* A list, or a tuple. Garbage collection, and so other threads, see it when it is complete. */
static PyObject *read_sequence(struct reader *r, uint64_t n, bool is_tuple)
{
    if (!enter(r) || !owe(r, n) || !spend(r, n || !is_tuple ? 64 + rounded(8 * n) : 0))
        return NULL;
    PyObject *sequence = is_tuple ? PyTuple_New((Py_ssize_t)n) : PyList_New((Py_ssize_t)n);
    if (!sequence)
        return NULL;
    if (n) /* there is one empty tuple for all */
        PyObject_GC_UnTrack(sequence);
    for (Py_ssize_t i = 0; i < (Py_ssize_t)n; i++) {
        r->owed--;
        PyObject *item = read_item(r);
        if (!item) {
            Py_DECREF(sequence);
            return NULL;
        }
        if (is_tuple)
            PyTuple_SET_ITEM(sequence, i, item);
        else
            PyList_SET_ITEM(sequence, i, item);
    }
    if (n)
        PyObject_GC_Track(sequence);
    r->depth--;
    return sequence;
}

static bool map_entry(struct reader *r, PyObject *map)
{
    r->owed -= 2;
    PyObject *key = read_str(r, "key");
    PyObject *value = key ? read_item(r) : NULL;
    bool done = value && PyDict_SetItem(map, key, value) == 0;
    Py_XDECREF(key);
    Py_XDECREF(value);
    return done;
}

static PyObject *read_map(struct reader *r, uint64_t n)
{
    if (n > (uint64_t)r->stream.len) { /* twice it is no overflow */
        r->at = r->end;
        return malformed(r, "it ends too early");
    }
    if (!enter(r) || !owe(r, 2 * n) || !spend(r, dict_cost(n, true)))
        return NULL;
    PyObject *map = PyDict_New();
    for (uint64_t i = 0; map && i < n; i++) {
        bool done = map_entry(r, map);
        if (done && (uint64_t)PyDict_Size(map) != i + 1)
            done = malformed(r, "a dict with equal keys");
        if (!done)
            Py_CLEAR(map);
    }
    r->depth--;
    return map;
}

/* ---- keys ------------------------------------------------------------------------------------- */

#if PY_VERSION_HEX >= 0x030D0000
PyAPI_FUNC(int) _PyDict_SetItem_KnownHash(PyObject *dict, PyObject *key, PyObject *value, Py_hash_t hash);
#endif

/* What is to be hashed. */
struct keys {
    PyObject **items;
    Py_hash_t *hashes;
    uint64_t n;
    uint64_t paid;
};

static void keys_free(struct reader *r, struct keys *keys)
{
    for (uint64_t i = 0; keys->items && i < keys->n; i++)
        Py_XDECREF(keys->items[i]);
    PyMem_Free(keys->items);
    PyMem_Free(keys->hashes);
    r->memory -= keys->paid;
    *keys = (struct keys){NULL, NULL, 0, 0};
}

static Py_hash_t hash_key(struct reader *r, PyObject *key);

/* As CPython hashes a tuple (Objects/tupleobject.c, from 3.8 on). */
static Py_hash_t hash_tuple(struct reader *r, PyObject *tuple)
{
    Py_uhash_t hash = 2870177450012600261u;
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(tuple); i++) {
        Py_uhash_t lane = (Py_uhash_t)hash_key(r, PyTuple_GET_ITEM(tuple, i));
        if (lane == (Py_uhash_t)-1)
            return -1;
        hash += lane * 14029467366897019727u;
        hash = (hash << 31 | hash >> 33) * 11400714785074694791u;
    }
    hash += (Py_uhash_t)PyTuple_GET_SIZE(tuple) ^ (2870177450012600261u ^ 3527539u);
    return hash == (Py_uhash_t)-1 ? 1546275796 : (Py_hash_t)hash;
}

/* From Python 3.12 on the hash of a Fraction is looked up in a table of the last 16,384, which all threads share, and in
 * which a sender may have put as many of one hash: here it is computed. */
static Py_hash_t hash_fraction(struct reader *r, PyObject *fraction)
{
    PyObject *number = PyLong_FromUnsignedLong(HASH_OF_RATIONAL);
    PyObject *function = number ? PyDict_GetItemWithError(r->decoders, number) : NULL;
    PyObject *hash = function ? PyObject_CallOneArg(function, fraction) : NULL;
    Py_hash_t value = hash ? PyLong_AsSsize_t(hash) : -1;
    Py_XDECREF(number);
    Py_XDECREF(hash);
    return value;
}

static Py_hash_t hash_key(struct reader *r, PyObject *key)
{
    if (!r->fraction)
        return PyObject_Hash(key);
    if (PyTuple_CheckExact(key))
        return hash_tuple(r, key);
    return Py_TYPE(key) == r->fraction ? hash_fraction(r, key) : PyObject_Hash(key);
}

/* How many steps it takes to look through a key, whose parts are as many. `hard`: it has parts that may take as many
 * steps as the product of both sides to compare. */
static uint64_t weigh(struct reader *r, PyObject *key, bool *hard)
{
    if (PyTuple_CheckExact(key)) {
        uint64_t sum = 1;
        for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(key); i++)
            sum += weigh(r, PyTuple_GET_ITEM(key, i), hard);
        return sum;
    }
    if (PyFrozenSet_CheckExact(key)) {
        uint64_t sum = 1;
        PyObject *iterator = PyObject_GetIter(key), *item;
        while (iterator && (item = PyIter_Next(iterator))) {
            sum += weigh(r, item, hard);
            Py_DECREF(item);
        }
        Py_XDECREF(iterator);
        *hard = true;
        return sum;
    }
    if (PyUnicode_CheckExact(key))
        return 1 + (uint64_t)PyUnicode_GET_LENGTH(key) / 16;
    if (PyBytes_CheckExact(key))
        return 1 + (uint64_t)PyBytes_GET_SIZE(key) / 64;
    if (PyLong_CheckExact(key) || PyFloat_CheckExact(key) || PyBool_Check(key) || key == Py_None)
        return r->long_numbers ? 1 + KEY_BITS / 32 : 1;
    *hard |= r->long_numbers; /* two kinds of numbers, say */
    return r->long_numbers ? 1024 : 32;
}

/* Pays for the comparison of two keys of one hash. */
static bool pay_comparison(struct reader *r, PyObject *a, PyObject *b)
{
    bool hard = false;
    uint64_t left = weigh(r, a, &hard), right = weigh(r, b, &hard);
    if (PyErr_Occurred() || !work(r, left + right))
        return false;
    return work(r, STEPS_TO_COMPARE * (hard ? left * right : left < right ? left : right));
}

/* The tables of CPython: which places a key is looked for at, one after another. */
struct table {
    uint32_t *slots; /* a key's number, from 1, or 0 */
    size_t mask;
    size_t i, perturb, run; /* of the search at hand */
    bool is_set;
};

#define LINEAR_PROBES 9 /* in a set (Objects/setobject.c); none in a dict */

static void seek(struct table *table, Py_hash_t hash)
{
    table->perturb = (size_t)hash;
    table->i = (size_t)hash & table->mask;
    table->run = 0;
}

static size_t place(const struct table *table)
{
    return table->i + table->run;
}

static void seek_on(struct table *table)
{
    if (table->is_set && table->i + LINEAR_PROBES <= table->mask && table->run < LINEAR_PROBES) {
        table->run++;
        return;
    }
    table->perturb >>= 5;
    table->i = (table->i * 5 + table->perturb + 1) & table->mask;
    table->run = 0;
}

/* Puts the key of this number in its place, and pays for each step on the way there. `again`: the table has grown. */
static bool settle(struct reader *r, struct table *table, const struct keys *keys, uint64_t number, bool again)
{
    Py_hash_t hash = keys->hashes[number];
    uint64_t steps = 1;
    for (seek(table, hash); table->slots[place(table)]; seek_on(table)) {
        uint64_t other = table->slots[place(table)] - 1;
        if (!again && keys->hashes[other] == hash && !pay_comparison(r, keys->items[number], keys->items[other]))
            return false;
        if (++steps % 1024 == 0 && !work(r, 1024))
            return false;
    }
    table->slots[place(table)] = (uint32_t)(number + 1);
    return work(r, steps % 1024);
}

static bool resize(struct reader *r, struct table *table, const struct keys *keys, uint64_t n, size_t size)
{
    PyMem_Free(table->slots);
    table->slots = PyMem_Calloc(size, sizeof(*table->slots));
    table->mask = size - 1;
    if (!table->slots) {
        PyErr_NoMemory();
        return false;
    }
    for (uint64_t i = 0; i < n; i++)
        if (!settle(r, table, keys, i, true))
            return false;
    return true;
}

/* What it costs to put all keys in a dict; or from there in a set, which knows how many are to come. */
static bool rehearse(struct reader *r, const struct keys *keys, bool is_set)
{
    struct table table = {.is_set = is_set};
    size_t size = 8;
    while (is_set && size <= keys->n * 2)
        size *= 2;
    bool good = resize(r, &table, keys, 0, size);
    for (uint64_t i = 0; good && i < keys->n; i++) {
        if (!is_set && i == size * 2 / 3)
            good = resize(r, &table, keys, i, size *= 2);
        good = good && settle(r, &table, keys, i, false);
    }
    PyMem_Free(table.slots);
    return good;
}

/* Few keys: each is compared with each. */
static bool compare_few(struct reader *r, const struct keys *keys)
{
    for (uint64_t i = 1; i < keys->n; i++)
        for (uint64_t j = 0; j < i; j++)
            if (keys->hashes[i] == keys->hashes[j] && !pay_comparison(r, keys->items[i], keys->items[j]))
                return false;
    return true;
}

/* A sender chooses the hashes of numbers and of all that holds them (a str's are the interpreter's secret), and with them
 * how long a table takes to fill: the square of its size, if all share one. */
static bool check_keys(struct reader *r, struct keys *keys, bool is_set)
{
    bool secret = true;
    for (uint64_t i = 0; i < keys->n; i++) {
        keys->hashes[i] = hash_key(r, keys->items[i]);
        if (keys->hashes[i] == -1 && PyErr_Occurred())
            return false;
        secret = secret && (PyUnicode_CheckExact(keys->items[i]) || PyBytes_CheckExact(keys->items[i]));
    }
    if (secret)
        return true;
    if (keys->n <= 8)
        return compare_few(r, keys);
    return rehearse(r, keys, false) && (!is_set || rehearse(r, keys, true));
}

static bool read_keys(struct reader *r, struct keys *keys, const char *whose)
{
    struct head head;
    if (!read_head(r, &head))
        return false;
    if (head.major != LIST) {
        malformed(r, "not the elements of a %s", whose);
        return false;
    }
    uint64_t n = head.value;
    if (!owe(r, n) || !spend(r, 16 * n))
        return false;
    keys->paid = 16 * n;
    if (n >= UINT32_MAX) {
        malformed(r, "a %s of too many", whose);
        return false;
    }
    keys->n = n;
    keys->items = PyMem_Calloc(n ? n : 1, sizeof(*keys->items));
    keys->hashes = PyMem_Malloc((n ? n : 1) * sizeof(*keys->hashes));
    if (!keys->items || !keys->hashes) {
        PyErr_NoMemory();
        return false;
    }
    r->bounded++;
    for (uint64_t i = 0; i < n; i++) {
        r->owed--;
        keys->items[i] = read_item(r);
        if (!keys->items[i])
            return false;
    }
    r->bounded--;
    return true;
}

static PyObject *dict_of(struct reader *r, const struct keys *keys, const char *whose)
{
    PyObject *dict = PyDict_New();
    for (uint64_t i = 0; dict && i < keys->n; i++)
        if (_PyDict_SetItem_KnownHash(dict, keys->items[i], Py_None, keys->hashes[i]) < 0)
            Py_CLEAR(dict);
    if (dict && (uint64_t)PyDict_Size(dict) != keys->n) {
        Py_CLEAR(dict);
        malformed(r, "a %s with equal %s", whose, strcmp(whose, "dict") ? "elements" : "keys");
    }
    return dict;
}

static PyObject *read_set(struct reader *r, bool frozen)
{
    const char *whose = frozen ? "frozenset" : "set";
    struct keys keys = {NULL, NULL, 0, 0};
    PyObject *dict = NULL, *set = NULL;
    uint64_t paid = 0;
    if (enter(r) && read_keys(r, &keys, whose) && check_keys(r, &keys, true) &&
        spend(r, paid = dict_cost(keys.n, false)))
        dict = dict_of(r, &keys, whose);
    if (dict) {
        keys_free(r, &keys);
        if (spend(r, set_cost((uint64_t)PyDict_Size(dict))))
            set = frozen ? PyFrozenSet_New(dict) : PySet_New(dict);
        Py_DECREF(dict);
        r->memory -= paid;
    }
    keys_free(r, &keys);
    r->depth--;
    return set;
}

static bool read_values(struct reader *r, PyObject *dict, const struct keys *keys)
{
    struct head head;
    if (!expect(r, LIST, &head, "dict"))
        return false;
    if (head.value != keys->n) {
        malformed(r, "a dict with more keys than values, or fewer");
        return false;
    }
    if (!owe(r, keys->n))
        return false;
    for (uint64_t i = 0; i < keys->n; i++) {
        r->owed--;
        PyObject *value = read_item(r);
        if (!value || _PyDict_SetItem_KnownHash(dict, keys->items[i], value, keys->hashes[i]) < 0) {
            Py_XDECREF(value);
            return false;
        }
        Py_DECREF(value);
    }
    return true;
}

/* A dict that has other keys than text. */
static PyObject *read_pairs(struct reader *r)
{
    struct keys keys = {NULL, NULL, 0, 0};
    PyObject *dict = NULL;
    if (!expect_list(r, 2, "dict"))
        return NULL;
    if (enter(r) && read_keys(r, &keys, "dict") && check_keys(r, &keys, false) &&
        spend(r, dict_cost(keys.n, false)))
        dict = dict_of(r, &keys, "dict");
    if (dict && !read_values(r, dict, &keys))
        Py_CLEAR(dict);
    keys_free(r, &keys);
    r->depth--;
    return dict;
}

/* ---- time ------------------------------------------------------------------------------------- */

static bool has_datetime(void)
{
    if (!PyDateTimeAPI)
        PyDateTime_IMPORT;
    return PyDateTimeAPI;
}

/* A time zone, or None. */
static PyObject *read_zone(struct reader *r, const char *whose)
{
    if (is_null(r))
        return none();
    PyObject *zone = r->at < r->end && *r->at >> 5 == TAG ? read_item(r) : NULL;
    if (zone && PyTZInfo_Check(zone))
        return zone;
    Py_XDECREF(zone);
    return PyErr_Occurred() ? NULL : malformed(r, "not the fields of a %s", whose);
}

static PyObject *read_datetime(struct reader *r)
{
    int v[8];
    if (!has_datetime() || !expect_list(r, 9, "datetime") || !read_small(r, v, 8, "datetime") || !spend(r, 64))
        return NULL;
    PyObject *zone = read_zone(r, "datetime"), *value = NULL;
    if (zone)
        value = PyDateTimeAPI->DateTime_FromDateAndTimeAndFold(v[0], v[1], v[2], v[3], v[4], v[5], v[6], zone,
                                                               v[7], PyDateTimeAPI->DateTimeType);
    Py_XDECREF(zone);
    return value;
}

static PyObject *read_date(struct reader *r)
{
    int v[3];
    if (!has_datetime() || !expect_list(r, 3, "date") || !read_small(r, v, 3, "date") || !spend(r, 32))
        return NULL;
    return PyDateTimeAPI->Date_FromDate(v[0], v[1], v[2], PyDateTimeAPI->DateType);
}

static PyObject *read_time(struct reader *r)
{
    int v[5];
    if (!has_datetime() || !expect_list(r, 6, "time") || !read_small(r, v, 5, "time") || !spend(r, 64))
        return NULL;
    PyObject *zone = read_zone(r, "time"), *value = NULL;
    if (zone)
        value = PyDateTimeAPI->Time_FromTimeAndFold(v[0], v[1], v[2], v[3], zone, v[4], PyDateTimeAPI->TimeType);
    Py_XDECREF(zone);
    return value;
}

static PyObject *read_timedelta(struct reader *r)
{
    int v[3];
    if (!has_datetime() || !expect_list(r, 3, "timedelta") || !read_small(r, v, 3, "timedelta") || !spend(r, 48))
        return NULL;
    return PyDateTimeAPI->Delta_FromDelta(v[0], v[1], v[2], 1, PyDateTimeAPI->DeltaType);
}

static PyObject *read_timezone(struct reader *r)
{
    struct head head;
    if (!has_datetime() || !expect_list(r, 2, "timezone") || !expect(r, TAG, &head, "timezone") || !spend(r, 48))
        return NULL;
    if (head.value != TIMEDELTA)
        return malformed(r, "not the fields of a timezone");
    PyObject *offset = read_timedelta(r), *name = NULL, *zone = NULL;
    if (offset && (is_null(r) || (name = read_str(r, "timezone"))))
        zone = PyDateTimeAPI->TimeZone_FromTimeZone(offset, name);
    Py_XDECREF(offset);
    Py_XDECREF(name);
    return zone;
}

/* ---- what Python makes ------------------------------------------------------------------------ */

/* Hands the parts, as many as are not NULL, to the tag's function, and lets go of them. */
static PyObject *make(struct reader *r, uint64_t tag, PyObject *a, PyObject *b, PyObject *c, PyObject *d)
{
    PyObject *value = NULL;
    PyObject *number = PyErr_Occurred() ? NULL : PyLong_FromUnsignedLongLong(tag);
    PyObject *function = number ? PyDict_GetItemWithError(r->decoders, number) : NULL;
    if (function)
        value = PyObject_CallFunctionObjArgs(function, (PyObject *)r, a, b, c, d, NULL);
    else if (number && !PyErr_Occurred())
        malformed(r, "unknown tag %llu", (unsigned long long)tag);
    Py_XDECREF(number);
    Py_XDECREF(a);
    Py_XDECREF(b);
    Py_XDECREF(c);
    Py_XDECREF(d);
    return value;
}

static PyObject *read_fraction(struct reader *r)
{
    if (!expect_list(r, 2, "Fraction") || !spend(r, 64))
        return NULL;
    PyObject *numerator = read_int(r, "Fraction");
    PyObject *denominator = numerator ? read_int(r, "Fraction") : NULL;
    PyObject *fraction = make(r, RATIONAL, numerator, denominator, NULL, NULL);
    if (fraction)
        r->fraction = Py_TYPE(fraction);
    return fraction;
}

static PyObject *read_uuid(struct reader *r)
{
    struct head head;
    if (!expect(r, BYTES, &head, "UUID"))
        return NULL;
    if (head.value != 16)
        return malformed(r, "not the content of a UUID");
    return spend(r, 128) ? make(r, UUID, read_bytes(r, 16), NULL, NULL, NULL) : NULL;
}

/* To hash one is to raise 10 to its exponent, and to compare one with an int is quadratic. */
static bool is_easy(struct reader *r, const char *decimal, uint64_t n)
{
    const char *e = memchr(decimal, 'E', n);
    uint64_t digits = e ? (uint64_t)(e - decimal) : n;
    bool easy = digits <= KEY_DIGITS && (!e || n - digits <= 2 + 6);
    r->long_numbers |= digits > 300;
    if (!easy)
        malformed(r, "a Decimal of more than %u digits, or an exponent of more than 6, in a key", KEY_DIGITS);
    return easy;
}

static PyObject *read_decimal(struct reader *r)
{
    struct head head;
    if (!expect(r, TEXT, &head, "Decimal") || !spend(r, 112 + head.value / 2))
        return NULL;
    const char *bytes = (const char *)r->at;
    PyObject *text = read_text(r, head.value);
    if (text && r->bounded > 0 && !is_easy(r, bytes, head.value))
        Py_CLEAR(text);
    return text ? make(r, DECIMAL, text, NULL, NULL, NULL) : NULL;
}

static PyObject *read_name(struct reader *r, uint64_t tag)
{
    uint64_t before = (uint64_t)(r->end - r->at);
    PyObject *text = read_str(r, tag == ZONE ? "time zone" : "path");
    /* A path's parts are strings of their own. */
    if (text && !spend(r, 160 + (tag == ZONE ? 0 : 40 * (before - (uint64_t)(r->end - r->at)))))
        Py_CLEAR(text);
    return text ? make(r, tag, text, NULL, NULL, NULL) : NULL;
}

/* Passes over the description of a dtype: ints, texts, nulls, and lists of such. */
static PyObject *read_description(struct reader *r)
{
    const char *start = (const char *)r->at;
    for (uint64_t left = 1; left; left--) {
        struct head head;
        if (!read_head(r, &head))
            return NULL;
        if (head.major == LIST && head.value <= (uint64_t)(r->end - r->at))
            left += head.value;
        else if (head.major == TEXT ? !chunk(r, head.value)
                                    : head.major > NEGATIVE && !(head.major == SIMPLE && head.info == NIL))
            return PyErr_Occurred() ? NULL : malformed(r, "not the description of a dtype");
    }
    uint64_t size = (uint64_t)((const char *)r->at - start);
    /* Lists, dicts and numpy's own structures of a struct's fields, each of 10 bytes or more. */
    return spend(r, size < 16 ? 64 : 512 + 64 * size) ? PyBytes_FromStringAndSize(start, (Py_ssize_t)size) : NULL;
}

static PyObject *read_shape(struct reader *r)
{
    struct head head;
    if (!expect(r, LIST, &head, "shape"))
        return NULL;
    if (head.value > 64)
        return malformed(r, "not a shape");
    PyObject *shape = spend(r, 64 + 40 * head.value) ? PyTuple_New((Py_ssize_t)head.value) : NULL;
    for (Py_ssize_t i = 0; shape && i < PyTuple_GET_SIZE(shape); i++) {
        struct head side;
        PyObject *n = NULL;
        if (expect(r, UNSIGNED, &side, "shape")) {
            if (side.value > INT64_MAX)
                malformed(r, "not a shape");
            else
                n = PyLong_FromUnsignedLongLong(side.value);
        }
        if (n)
            PyTuple_SET_ITEM(shape, i, n);
        else
            Py_CLEAR(shape);
    }
    return shape;
}

/* What an array lies on: bytes of the stream, copied, or a segment. */
static PyObject *read_memory(struct reader *r)
{
    struct head head;
    if (!read_head(r, &head))
        return NULL;
    if (head.major == BYTES)
        return bytearray_of(r, head.value);
    if (head.major != UNSIGNED)
        return malformed(r, "not the fields of a numpy.ndarray");
    PyObject *segment = take(r, head.value);
    return segment && spend(r, (uint64_t)PyMemoryView_GET_BUFFER(segment)->len) ? Py_NewRef(segment) : NULL;
}

static PyObject *read_array(struct reader *r)
{
    struct head head;
    PyObject *memory = NULL;
    if (!expect_list(r, 4, "numpy.ndarray") || !spend(r, 320))
        return NULL;
    PyObject *description = read_description(r);
    PyObject *shape = description ? read_shape(r) : NULL;
    if (shape && expect(r, SIMPLE, &head, "numpy.ndarray")) {
        if (head.info == TRUE || head.info == FALSE)
            memory = read_memory(r);
        else
            malformed(r, "not the fields of a numpy.ndarray");
    }
    PyObject *fortran = memory ? PyBool_FromLong(head.info == TRUE) : NULL;
    return make(r, ARRAY, description, shape, fortran, memory);
}

static PyObject *read_scalar(struct reader *r)
{
    if (!expect_list(r, 2, "numpy scalar") || !spend(r, 256))
        return NULL;
    PyObject *description = read_description(r), *content = NULL;
    struct head head;
    if (description && r->at < r->end && *r->at >> 5 == BYTES)
        content = read_head(r, &head) ? read_bytes(r, head.value) : NULL;
    else if (description)
        content = read_str(r, "numpy scalar");
    return make(r, SCALAR, description, content, NULL, NULL);
}

/* ---- items ------------------------------------------------------------------------------------ */

static PyObject *read_ellipsis(struct reader *r)
{
    return is_null(r) ? Py_NewRef(Py_Ellipsis) : malformed(r, "not the content of an Ellipsis");
}

static PyObject *read_tuple(struct reader *r)
{
    struct head head;
    if (!read_head(r, &head))
        return NULL;
    return head.major == LIST ? read_sequence(r, head.value, true) : malformed(r, "not the elements of a tuple");
}

static PyObject *read_tagged(struct reader *r, uint64_t tag)
{
    double value;
    switch (tag) {
    case POSITIVE_BIGNUM:
    case NEGATIVE_BIGNUM:
        return read_bignum(r, tag == NEGATIVE_BIGNUM);
    case RATIONAL:
        return read_fraction(r);
    case UUID:
        return read_uuid(r);
    case SET:
    case FROZENSET:
        return read_set(r, tag == FROZENSET);
    case COMPLEX:
        return read_complex(r);
    case TUPLE:
        return read_tuple(r);
    case PAIRS:
        return read_pairs(r);
    case BYTEARRAY:
        return read_bytearray(r);
    case SEGMENT:
        return read_segment(r);
    case SURROGATES:
        return read_surrogates(r);
    case NOT_A_NUMBER:
        return read_nan(r, &value) && spend(r, 32) ? PyFloat_FromDouble(value) : NULL;
    case ELLIPSIS:
        return read_ellipsis(r);
    case RANGE:
    case SLICE:
        return read_span(r, tag == SLICE);
    case DATETIME:
        return read_datetime(r);
    case DATE:
        return read_date(r);
    case TIME:
        return read_time(r);
    case TIMEDELTA:
        return read_timedelta(r);
    case TIMEZONE:
        return read_timezone(r);
    case ZONE:
    case PATH:
    case PURE_PATH:
        return read_name(r, tag);
    case DECIMAL:
        return read_decimal(r);
    case ARRAY:
        return read_array(r);
    case SCALAR:
        return read_scalar(r);
    default:
        return malformed(r, "unknown tag %llu", (unsigned long long)tag);
    }
}

static PyObject *read_simple(struct reader *r, const struct head *head)
{
    switch (head->info) {
    case FALSE:
    case TRUE:
        return PyBool_FromLong(head->info == TRUE);
    case NIL:
        return none();
    case HALF:
    case SINGLE:
    case DOUBLE:
        return spend(r, 32) ? PyFloat_FromDouble(double_of(head)) : NULL;
    default:
        return malformed(r, "a simple value that is none of ours");
    }
}

static PyObject *read_item(struct reader *r)
{
    struct head head;
    if (--r->breath == 0 && !breathe(r))
        return NULL;
    if (!read_head(r, &head))
        return NULL;
    switch (head.major) {
    case UNSIGNED:
        return read_unsigned(r, head.value);
    case NEGATIVE:
        return read_negative(r, head.value);
    case BYTES:
        return read_bytes(r, head.value);
    case TEXT:
        return read_text(r, head.value);
    case LIST:
        return read_sequence(r, head.value, false);
    case MAP:
        return read_map(r, head.value);
    case TAG:
        return read_tagged(r, head.value);
    default:
        return read_simple(r, &head);
    }
}

/* ---- the type --------------------------------------------------------------------------------- */

static bool all_used(struct reader *r)
{
    Py_ssize_t unused = 0;
    for (Py_ssize_t i = 1; i < PyTuple_GET_SIZE(r->segments); i++)
        unused += !r->taken[i];
    if (unused)
        malformed(r, "%zd segments are not used", unused);
    return !unused;
}

PyDoc_STRVAR(read_doc, "read()\n--\n\nThe value. To be called once.");

static PyObject *reader_read(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    struct reader *r = (struct reader *)self;
    /* A value is no garbage yet: to look for some, again and again, takes several times what it takes to read. */
    bool collects = r->stream.len >= (Py_ssize_t)COLLECTED && PyGC_Disable();
    PyObject *value = read_item(r);
    if (collects)
        PyGC_Enable();
    if (value && r->at != r->end) {
        Py_CLEAR(value);
        malformed(r, "%zd bytes after the value", (Py_ssize_t)(r->end - r->at));
    }
    if (value && !all_used(r))
        Py_CLEAR(value);
    return value;
}

PyDoc_STRVAR(spend_doc, "spend(bytes)\n--\n\nPay for memory. Raises Malformed, or TooLarge.");

static PyObject *reader_spend(PyObject *self, PyObject *amount)
{
    unsigned long long bytes = PyLong_AsUnsignedLongLong(amount);
    if (PyErr_Occurred() || !spend((struct reader *)self, bytes))
        return NULL;
    return none();
}

PyDoc_STRVAR(work_doc, "work(steps)\n--\n\nPay for time, in steps of some 4 ns. Raises Malformed.");

static PyObject *reader_work(PyObject *self, PyObject *amount)
{
    unsigned long long steps = PyLong_AsUnsignedLongLong(amount);
    if (PyErr_Occurred() || !work((struct reader *)self, steps))
        return NULL;
    return none();
}

static PyObject *reader_new(PyTypeObject *type, PyObject *arguments, PyObject *Py_UNUSED(keywords))
{
    PyObject *segments, *decoders;
    unsigned long long most;
    int trusted;
    if (!PyArg_ParseTuple(arguments, "O!O!Kp", &PyTuple_Type, &segments, &PyDict_Type, &decoders, &most, &trusted))
        return NULL;
    Py_ssize_t n = PyTuple_GET_SIZE(segments);
    uint64_t size = 0;
    for (Py_ssize_t i = 0; i < n; i++) {
        if (!PyMemoryView_Check(PyTuple_GET_ITEM(segments, i)))
            n = 0;
        else
            size += (uint64_t)PyMemoryView_GET_BUFFER(PyTuple_GET_ITEM(segments, i))->len;
    }
    if (n == 0) {
        PyErr_SetString(PyExc_TypeError, "segments are memoryviews, one at least");
        return NULL;
    }
    struct reader *r = (struct reader *)type->tp_alloc(type, 0);
    if (!r)
        return NULL;
    r->state = PyType_GetModuleState(type);
    r->segments = Py_NewRef(segments);
    r->decoders = Py_NewRef(decoders);
    r->taken = PyMem_Calloc((size_t)n, 1);
    if (!r->taken || PyObject_GetBuffer(PyTuple_GET_ITEM(segments, 0), &r->stream, PyBUF_SIMPLE) < 0) {
        if (!r->taken)
            PyErr_NoMemory();
        Py_DECREF(r);
        return NULL;
    }
    r->at = r->stream.buf;
    r->end = r->at + r->stream.len;
    r->result_most = most;
    r->memory_most = trusted ? UINT64_MAX : MEMORY_FREE + MEMORY_A_BYTE * size;
    if (most && most < r->memory_most)
        r->memory_most = most;
    r->steps_most = trusted ? UINT64_MAX : STEPS_FREE + STEPS_A_BYTE * size;
    r->bounded = trusted ? INT_MIN : 0;
    r->breath = BREATH;
    return (PyObject *)r;
}

static void reader_dealloc(PyObject *self)
{
    struct reader *r = (struct reader *)self;
    PyTypeObject *type = Py_TYPE(self);
    if (r->stream.obj)
        PyBuffer_Release(&r->stream);
    PyMem_Free(r->taken);
    Py_XDECREF(r->memo);
    Py_XDECREF(r->segments);
    Py_XDECREF(r->decoders);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyObject *get_at(PyObject *self, void *Py_UNUSED(closure))
{
    const struct reader *r = (struct reader *)self;
    return PyLong_FromSsize_t(r->at - (const uint8_t *)r->stream.buf);
}

static PyObject *get_memo(PyObject *self, void *Py_UNUSED(closure))
{
    struct reader *r = (struct reader *)self;
    if (!r->memo)
        r->memo = PyDict_New();
    return Py_XNewRef(r->memo);
}

static PyObject *get_memory(PyObject *self, void *Py_UNUSED(closure))
{
    return PyLong_FromUnsignedLongLong(((struct reader *)self)->memory);
}

static PyObject *get_steps(PyObject *self, void *Py_UNUSED(closure))
{
    return PyLong_FromUnsignedLongLong(((struct reader *)self)->steps);
}

static PyMethodDef methods[] = {
    {"read", reader_read, METH_NOARGS, read_doc},
    {"spend", reader_spend, METH_O, spend_doc},
    {"work", reader_work, METH_O, work_doc},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef members[] = {
    {"at", get_at, NULL, "The byte of the stream at which it stands.", NULL},
    {"memo", get_memo, NULL, "A dict for what decoders remember while this value is read.", NULL},
    {"memory", get_memory, NULL, "Bytes that the value takes at most, as far as it was read.", NULL},
    {"steps", get_steps, NULL, "Steps that were taken besides those that each byte costs.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

PyDoc_STRVAR(reader_doc,
             "Reader(segments, decoders, most, trusted)\n--\n\n"
             "Reads a value from a tuple of memoryviews. `decoders` makes of a tag's parts what needs a "
             "module. `most`: bytes\nthat the value may take, 0 for any. `trusted`: without bounds.");

static PyType_Slot type_slots[] = {
    {Py_tp_new, reader_new}, {Py_tp_dealloc, reader_dealloc}, {Py_tp_methods, methods},
    {Py_tp_getset, members}, {Py_tp_doc, (void *)reader_doc}, {0, NULL},
};

static PyType_Spec type_spec = {
    .name = "pinfold.codec._reader.Reader",
    .basicsize = sizeof(struct reader),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = type_slots,
};

/* ---- the module ------------------------------------------------------------------------------- */

static PyObject *plain_item(struct reader *r, unsigned depth)
{
    struct head head;
    if (!read_head(r, &head))
        return NULL;
    if (head.major == UNSIGNED)
        return read_unsigned(r, head.value);
    if (head.major == NEGATIVE)
        return read_negative(r, head.value);
    if (head.major == TEXT)
        return read_text(r, head.value);
    if (head.major != LIST)
        return none();
    if (depth == PLAIN_DEPTH)
        return malformed(r, "a dtype nested too deep");
    PyObject *list = PyList_New(0);
    for (uint64_t i = 0; list && i < head.value; i++) {
        PyObject *item = plain_item(r, depth + 1);
        if (!item || PyList_Append(list, item) < 0)
            Py_CLEAR(list);
        Py_XDECREF(item);
    }
    return list;
}

PyDoc_STRVAR(describe_doc,
             "describe(description)\n--\n\n"
             "The lists, texts, ints and Nones of a dtype's description, which a reader has passed.");

static PyObject *describe(PyObject *module, PyObject *description)
{
    struct reader r = {.state = PyModule_GetState(module), .memory_most = UINT64_MAX};
    if (PyObject_GetBuffer(description, &r.stream, PyBUF_SIMPLE) < 0)
        return NULL;
    r.at = r.stream.buf;
    r.end = r.at + r.stream.len;
    PyObject *value = plain_item(&r, 0);
    PyBuffer_Release(&r.stream);
    return value;
}

PyDoc_STRVAR(are_bools_doc, "are_bools(buffer)\n--\n\nWhether each byte is 0 or 1.");

static PyObject *are_bools(PyObject *Py_UNUSED(module), PyObject *buffer)
{
    Py_buffer view;
    if (PyObject_GetBuffer(buffer, &view, PyBUF_SIMPLE) < 0)
        return NULL;
    uint8_t all = 0;
    for (Py_ssize_t i = 0; i < view.len; i++)
        all |= ((const uint8_t *)view.buf)[i];
    PyBuffer_Release(&view);
    return PyBool_FromLong(all <= 1);
}

PyDoc_STRVAR(are_characters_doc, "are_characters(buffer, big)\n--\n\n"
                                 "Whether each four bytes, the first the highest if `big`, are of Unicode.");

static PyObject *are_characters(PyObject *Py_UNUSED(module), PyObject *arguments)
{
    Py_buffer view;
    int big;
    if (!PyArg_ParseTuple(arguments, "y*p", &view, &big))
        return NULL;
    bool good = true;
    for (Py_ssize_t i = 0; i + 4 <= view.len; i += 4) {
        uint32_t code;
        memcpy(&code, (const char *)view.buf + i, sizeof(code));
        good &= (big ? be32toh(code) : le32toh(code)) <= 0x10FFFF;
    }
    PyBuffer_Release(&view);
    return PyBool_FromLong(good);
}

static PyMethodDef functions[] = {
    {"describe", describe, METH_O, describe_doc},
    {"are_bools", are_bools, METH_O, are_bools_doc},
    {"is_plain_pickle", is_plain_pickle, METH_O, IS_PLAIN_PICKLE_DOC},
    {"are_characters", are_characters, METH_VARARGS, are_characters_doc},
    {NULL, NULL, 0, NULL},
};

static int prepare(PyObject *module)
{
    struct state *state = PyModule_GetState(module);
    PyObject *errors = PyImport_ImportModule("pinfold.codec.errors");
    if (!errors)
        return -1;
    state->malformed = PyObject_GetAttrString(errors, "Malformed");
    state->too_large = PyObject_GetAttrString(errors, "TooLarge");
    Py_DECREF(errors);
    if (!state->malformed || !state->too_large)
        return -1;
    state->reader = (PyTypeObject *)PyType_FromModuleAndSpec(module, &type_spec, NULL);
    return state->reader ? PyModule_AddType(module, state->reader) : -1;
}

static int traverse(PyObject *module, visitproc visit, void *arg)
{
    const struct state *state = PyModule_GetState(module);
    Py_VISIT(state->reader);
    Py_VISIT(state->malformed);
    Py_VISIT(state->too_large);
    return 0;
}

static int clear(PyObject *module)
{
    struct state *state = PyModule_GetState(module);
    Py_CLEAR(state->reader);
    Py_CLEAR(state->malformed);
    Py_CLEAR(state->too_large);
    return 0;
}

static PyModuleDef_Slot module_slots[] = {
    {Py_mod_exec, (void *)prepare},
    {0, NULL},
};

static PyModuleDef definition = {
    .m_base = PyModuleDef_HEAD_INIT,
    .m_name = "pinfold.codec._reader",
    .m_doc = "The reader of the `data` codec, and a look at a pickle.",
    .m_size = sizeof(struct state),
    .m_methods = functions,
    .m_slots = module_slots,
    .m_traverse = traverse,
    .m_clear = clear,
};

PyMODINIT_FUNC PyInit__reader(void)
{
    return PyModuleDef_Init(&definition);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* value.c - reads values that Python modules make: Fraction, UUID, Decimal, paths and named time zones. */
#include "reader.h"

#include <string.h>

/* Call the tag's function with the parts, as many as are not NULL, and release them. */
PyObject *value_make(struct reader *r, uint64_t tag, PyObject *a, PyObject *b, PyObject *c, PyObject *d)
{
    PyObject *value = NULL;
    PyObject *number = PyErr_Occurred() ? NULL : PyLong_FromUnsignedLongLong(tag);
    PyObject *function = number ? PyDict_GetItemWithError(r->decoders, number) : NULL;
    if (function)
        value = PyObject_CallFunctionObjArgs(function, (PyObject *)r, a, b, c, d, NULL);
    else if (number && !PyErr_Occurred())
        reader_malformed(r, "unknown tag %llu", (unsigned long long)tag);
    Py_XDECREF(number);
    Py_XDECREF(a);
    Py_XDECREF(b);
    Py_XDECREF(c);
    Py_XDECREF(d);
    return value;
}

PyObject *value_fraction(struct reader *r)
{
    if (!head_expect_list(r, 2, "Fraction") || !budget_spend(r, 64))
        return NULL;
    PyObject *numerator = number_int(r, "Fraction");
    PyObject *denominator = numerator ? number_int(r, "Fraction") : NULL;
    PyObject *fraction = value_make(r, RATIONAL, numerator, denominator, NULL, NULL);
    if (fraction)
        r->fraction = Py_TYPE(fraction);
    return fraction;
}

PyObject *value_uuid(struct reader *r)
{
    struct head head;
    if (!head_expect(r, BYTES, &head, "UUID"))
        return NULL;
    if (head.value != 16)
        return reader_malformed(r, "not the content of a UUID");
    return budget_spend(r, 128) ? value_make(r, UUID, string_bytes(r, 16), NULL, NULL, NULL) : NULL;
}

/* Return whether a Decimal is cheap as a key. Hashing computes a power of 10; comparing with ints is quadratic. */
static bool is_easy(struct reader *r, const char *decimal, uint64_t n)
{
    const char *e = memchr(decimal, 'E', n);
    uint64_t digits = e ? (uint64_t)(e - decimal) : n;
    bool easy = digits <= KEY_DIGITS && (!e || n - digits <= 2 + 6);
    r->long_numbers |= digits > 300;
    if (!easy)
        reader_malformed(r, "a Decimal of more than %u digits, or an exponent of more than 6, in a key",
                         KEY_DIGITS);
    return easy;
}

PyObject *value_decimal(struct reader *r)
{
    struct head head;
    if (!head_expect(r, TEXT, &head, "Decimal") || !budget_spend(r, 112 + head.value / 2))
        return NULL;
    const char *bytes = (const char *)r->at;
    PyObject *text = string_text(r, head.value);
    if (text && r->bounded > 0 && !is_easy(r, bytes, head.value))
        Py_CLEAR(text);
    return text ? value_make(r, DECIMAL, text, NULL, NULL, NULL) : NULL;
}

PyObject *value_name(struct reader *r, uint64_t tag)
{
    uint64_t before = (uint64_t)(r->end - r->at);
    PyObject *text = string_any(r, tag == ZONE ? "time zone" : "path");
    /* A path also keeps its parts as strings. */
    if (text && !budget_spend(r, 160 + (tag == ZONE ? 0 : 40 * (before - (uint64_t)(r->end - r->at)))))
        Py_CLEAR(text);
    return text ? value_make(r, tag, text, NULL, NULL, NULL) : NULL;
}

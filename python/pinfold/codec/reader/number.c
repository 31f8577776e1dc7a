/* SPDX-License-Identifier: Apache-2.0 */
/* number.c - reads ints of any size, floats, complex numbers, ranges and slices. */
#include "reader.h"

#include <endian.h>
#include <math.h>
#include <string.h>

PyObject *number_negative(struct reader *r, uint64_t value)
{
    if (!budget_spend(r, 32))
        return NULL;
    if (value <= INT64_MAX)
        return PyLong_FromLongLong(-1 - (long long)value);
    PyObject *positive = PyLong_FromUnsignedLongLong(value);
    PyObject *negative = positive ? PyNumber_Invert(positive) : NULL;
    Py_XDECREF(positive);
    return negative;
}

/* Read a bignum's content: bytes, in the stream or in a segment. Refuse one that a plain int can hold, which would
 * cost more than its bytes. */
PyObject *number_bignum(struct reader *r, bool negative)
{
    struct head head;
    Py_buffer view = {.obj = NULL};
    PyObject *value = NULL;
    if (!head_read(r, &head))
        return NULL;
    if (head.major == BYTES) {
        view.len = (Py_ssize_t)head.value;
        view.buf = (void *)head_chunk(r, head.value);
        if (!view.buf)
            return NULL;
    } else if (head.major == TAG && head.value == SEGMENT) {
        if (!head_expect(r, UNSIGNED, &head, "bignum"))
            return NULL;
        PyObject *segment = head_take_segment(r, head.value);
        if (!segment || PyObject_GetBuffer(segment, &view, PyBUF_SIMPLE) < 0)
            return NULL;
    } else {
        return reader_malformed(r, "not the content of a bignum");
    }
    if (view.len <= 8 || ((const char *)view.buf)[0] == 0)
        reader_malformed(r, "a bignum that an int of 64 bits holds");
    else if (r->bounded > 0 && view.len > KEY_BITS / 8)
        reader_malformed(r, "an int of more than %u bits in a key or a range", KEY_BITS);
    else if (budget_spend(r, 64 + 2 * (uint64_t)view.len))
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

PyObject *number_int(struct reader *r, const char *whose)
{
    struct head head;
    if (!head_read(r, &head))
        return NULL;
    if (head.major == UNSIGNED)
        return number_unsigned(r, head.value);
    if (head.major == NEGATIVE)
        return number_negative(r, head.value);
    if (head.major == TAG && (head.value == POSITIVE_BIGNUM || head.value == NEGATIVE_BIGNUM))
        return number_bignum(r, head.value == NEGATIVE_BIGNUM);
    return reader_malformed(r, "not the fields of a %s", whose);
}

/* Read `n` ints that fit in a C int. */
bool number_small(struct reader *r, int *ints, int n, const char *whose)
{
    for (int i = 0; i < n; i++) {
        struct head head;
        if (!head_read(r, &head))
            return false;
        if (head.major > NEGATIVE || head.value > INT_MAX) {
            reader_malformed(r, "not the fields of a %s", whose);
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

double number_of_head(const struct head *head)
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

bool number_nan(struct reader *r, double *value)
{
    struct head head;
    if (!head_expect(r, BYTES, &head, "NaN"))
        return false;
    const char *bytes = head_chunk(r, head.value);
    uint64_t bits;
    if (!bytes)
        return false;
    if (head.value != 8) {
        reader_malformed(r, "not the content of a NaN");
        return false;
    }
    memcpy(&bits, bytes, sizeof(bits));
    bits = be64toh(bits);
    memcpy(value, &bits, sizeof(bits));
    if (*value == *value)
        reader_malformed(r, "a NaN that is a number");
    return *value != *value;
}

static bool read_double(struct reader *r, double *value, const char *whose)
{
    struct head head;
    if (!head_read(r, &head))
        return false;
    if (head.major == TAG && head.value == NOT_A_NUMBER)
        return number_nan(r, value);
    if (head.major != SIMPLE || head.info < HALF || head.info > DOUBLE) {
        reader_malformed(r, "not the fields of a %s", whose);
        return false;
    }
    *value = number_of_head(&head);
    return true;
}

PyObject *number_complex(struct reader *r)
{
    double real, imaginary;
    if (!head_expect_list(r, 2, "complex") || !read_double(r, &real, "complex") ||
        !read_double(r, &imaginary, "complex") || !budget_spend(r, 32))
        return NULL;
    return PyComplex_FromDoubles(real, imaginary);
}

/* Read a range of three ints, or a slice of three ints or nulls. */
PyObject *number_span(struct reader *r, bool is_slice)
{
    const char *whose = is_slice ? "slice" : "range";
    PyObject *part[3] = {NULL, NULL, NULL}, *span = NULL;
    if (!head_expect_list(r, 3, whose) || !budget_spend(r, 64))
        return NULL;
    r->bounded += !is_slice; /* range() divides by its step */
    int i = 0;
    while (i < 3 && (part[i] = is_slice && head_is_null(r) ? Py_NewRef(Py_None) : number_int(r, whose)))
        i++;
    r->bounded -= !is_slice;
    if (i == 3)
        span = is_slice ? PySlice_New(part[0], part[1], part[2])
                        : PyObject_CallFunctionObjArgs((PyObject *)&PyRange_Type, part[0], part[1], part[2], NULL);
    for (i = 0; i < 3; i++)
        Py_XDECREF(part[i]);
    return span;
}

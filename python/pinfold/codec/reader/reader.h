/* SPDX-License-Identifier: Apache-2.0 */
/* reader.h - shared by the files of the reader: limits, state, and the functions of each kind of item. */
#ifndef PINFOLD_READER_H
#define PINFOLD_READER_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdbool.h>
#include <stdint.h>

#include "tags.h"

enum tag {
#define X(name, number) name = (number),
    TAGS(X)
#undef X
};

enum major { UNSIGNED, NEGATIVE, BYTES, TEXT, LIST, MAP, TAG, SIMPLE };
enum { FALSE = 20, TRUE, NIL, HALF = 25, SINGLE, DOUBLE };

#define MEMORY_A_BYTE 96u  /* the most memory that one byte's value takes */
#define MEMORY_FREE 65536u /* a value's allowance besides */
#define STEPS_A_BYTE 32u   /* a step takes some 4 ns: one probe of a hash table */
#define STEPS_FREE 1048576u
#define STEPS_TO_COMPARE 4u /* two parts of keys */
#define KEY_BITS 16384u     /* of a number in a key: comparing two kinds of numbers is quadratic */
#define KEY_DIGITS 4932u    /* the same limit in decimal digits */
#define BREATH 32768u       /* items between turns for signals and other threads */
#define COLLECTED 32768u    /* bytes from which garbage collection pauses during a read */

struct state {
    PyTypeObject *reader;
    PyObject *malformed, *too_large;
};

struct reader {
    PyObject ob_base;
    struct state *state;
    PyObject *memo;     /* a dict for the functions of `decoders` */
    PyObject *segments; /* a tuple of memoryviews */
    PyObject *decoders; /* {tag: function of the reader and the tag's parts} */
    Py_buffer stream;
    const uint8_t *at, *end;
    uint8_t *taken;         /* one byte for each segment */
    PyTypeObject *fraction; /* the type, if the value has a Fraction */
    uint64_t memory, memory_most, result_most;
    uint64_t steps, steps_most;
    uint64_t owed; /* items that open lists and maps still need, each at least a byte */
    unsigned depth, breath;
    int bounded;       /* above 0: numbers are limited in size, in a key or a range */
    bool long_numbers; /* a key has a number that is slow to compare */
};

struct head {
    enum major major;
    unsigned info;
    uint64_t value;
};

/* Keys to be hashed. */
struct keys {
    PyObject **items;
    Py_hash_t *hashes;
    uint64_t n;
    uint64_t paid;
};

/* The reader. Raise Malformed; return NULL. */
void *reader_malformed(struct reader *r, const char *format, ...);

/* The budgets. Functions that return false or NULL have set an exception, here and below. */
bool budget_overspent(struct reader *r);
bool budget_work(struct reader *r, uint64_t steps);
bool budget_owe(struct reader *r, uint64_t n);
uint64_t budget_of_dict(uint64_t n, bool text);
uint64_t budget_of_set(uint64_t n);
bool budget_breathe(struct reader *r);

static inline bool budget_spend(struct reader *r, uint64_t bytes)
{
    if (bytes > r->memory_most - r->memory)
        return budget_overspent(r);
    r->memory += bytes;
    return true;
}

static inline uint64_t budget_rounded(uint64_t bytes)
{
    return (bytes + 15) & ~UINT64_C(15);
}

/* The heads of items. `whose`: the type that an error names. */
bool head_read_long(struct reader *r, struct head *head);
bool head_expect(struct reader *r, enum major major, struct head *head, const char *whose);
bool head_expect_list(struct reader *r, uint64_t n, const char *whose);
const char *head_chunk(struct reader *r, uint64_t n);
bool head_is_null(struct reader *r);
PyObject *head_take_segment(struct reader *r, uint64_t index); /* borrowed */

static inline bool head_read(struct reader *r, struct head *head)
{
    if (r->at >= r->end || (*r->at & 31) >= 24)
        return head_read_long(r, head);
    head->major = *r->at >> 5;
    head->info = *r->at++ & 31;
    head->value = head->info;
    return true;
}

/* Numbers. */
static inline PyObject *number_unsigned(struct reader *r, uint64_t value)
{
    return value <= 256 || budget_spend(r, 32) ? PyLong_FromUnsignedLongLong(value) : NULL;
}

PyObject *number_negative(struct reader *r, uint64_t value);
PyObject *number_bignum(struct reader *r, bool negative);
PyObject *number_int(struct reader *r, const char *whose);
bool number_small(struct reader *r, int *ints, int n, const char *whose);
double number_of_head(const struct head *head);
bool number_nan(struct reader *r, double *value);
PyObject *number_complex(struct reader *r);
PyObject *number_span(struct reader *r, bool is_slice);

/* Text and bytes. `string_decode`: a str of UTF-8 that need not be in the stream. */
PyObject *string_decode(struct reader *r, const char *bytes, uint64_t n);
PyObject *string_text(struct reader *r, uint64_t n);
PyObject *string_surrogates(struct reader *r);
PyObject *string_any(struct reader *r, const char *whose);
PyObject *string_bytes(struct reader *r, uint64_t n);
PyObject *string_segment(struct reader *r);
PyObject *string_bytearray_of(struct reader *r, uint64_t n);
PyObject *string_bytearray(struct reader *r);

/* Times. */
PyObject *time_datetime(struct reader *r);
PyObject *time_date(struct reader *r);
PyObject *time_of_day(struct reader *r);
PyObject *time_timedelta(struct reader *r);
PyObject *time_timezone(struct reader *r);

/* Values that need a Python module. */
PyObject *value_make(struct reader *r, uint64_t tag, PyObject *a, PyObject *b, PyObject *c, PyObject *d);
PyObject *value_fraction(struct reader *r);
PyObject *value_uuid(struct reader *r);
PyObject *value_decimal(struct reader *r);
PyObject *value_name(struct reader *r, uint64_t tag);

/* numpy's arrays, and functions of the module that inspect them. */
PyObject *array_read(struct reader *r);
PyObject *array_scalar(struct reader *r);
PyObject *array_describe(PyObject *module, PyObject *description);
PyObject *array_are_bools(PyObject *module, PyObject *buffer);
PyObject *array_are_characters(PyObject *module, PyObject *arguments);

/* Compute the hashes of keys, and spend the steps that filling their tables will take. */
bool table_check(struct reader *r, struct keys *keys, bool is_set);

/* Read any item. */
PyObject *item_read(struct reader *r);

/* Read a JSON text, and the white space after it. */
PyObject *json_read(struct reader *r);

#endif

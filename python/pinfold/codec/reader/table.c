/* SPDX-License-Identifier: Apache-2.0 */
/* table.c - counts in advance the steps in which CPython's dict and set tables store the keys of a value. */
#include "reader.h"

static Py_hash_t hash_key(struct reader *r, PyObject *key);

/* Hash a tuple as CPython does (Objects/tupleobject.c, since 3.8). */
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

/* Compute a Fraction's hash. Since Python 3.12, hash() looks it up in a cache of the last 16,384, which all
 * threads share, and which a sender may have filled with one hash. */
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

/* Return the steps that a pass over the key takes, also the number of its parts. `hard`: a comparison may take as
 * many steps as the product of both sides. */
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
    *hard |= r->long_numbers; /* for instance, two kinds of numbers */
    return r->long_numbers ? 1024 : 32;
}

/* Spend the steps of comparing two keys of equal hash. */
static bool pay_comparison(struct reader *r, PyObject *a, PyObject *b)
{
    bool hard = false;
    uint64_t left = weigh(r, a, &hard), right = weigh(r, b, &hard);
    if (PyErr_Occurred() || !budget_work(r, left + right))
        return false;
    return budget_work(r, STEPS_TO_COMPARE * (hard ? left * right : left < right ? left : right));
}

/* A model of CPython's tables: the sequence of slots that a search for a key probes. */
struct table {
    uint32_t *slots; /* a key's number, from 1; or 0 */
    size_t mask;
    size_t i, perturb, run; /* state of the current search */
    bool is_set;
};

#define LINEAR_PROBES 9 /* of a set (Objects/setobject.c); a dict has none */

static void seek(struct table *table, Py_hash_t hash)
{
    table->perturb = (size_t)hash;
    table->i = (size_t)hash & table->mask;
    table->run = 0;
}

static size_t slot_of(const struct table *table)
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

/* Store the key of this number, and spend the steps to its slot. `again`: the table has grown. */
static bool settle(struct reader *r, struct table *table, const struct keys *keys, uint64_t number, bool again)
{
    Py_hash_t hash = keys->hashes[number];
    uint64_t steps = 1;
    for (seek(table, hash); table->slots[slot_of(table)]; seek_on(table)) {
        uint64_t other = table->slots[slot_of(table)] - 1;
        if (!again && keys->hashes[other] == hash && !pay_comparison(r, keys->items[number], keys->items[other]))
            return false;
        if (++steps % 1024 == 0 && !budget_work(r, 1024))
            return false;
    }
    table->slots[slot_of(table)] = (uint32_t)(number + 1);
    return budget_work(r, steps % 1024);
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

/* Spend the steps of storing all keys in a dict, or of copying them to a set, which knows its size. */
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

/* Compare each pair of a few keys. */
static bool compare_few(struct reader *r, const struct keys *keys)
{
    for (uint64_t i = 1; i < keys->n; i++)
        for (uint64_t j = 0; j < i; j++)
            if (keys->hashes[i] == keys->hashes[j] && !pay_comparison(r, keys->items[i], keys->items[j]))
                return false;
    return true;
}

/* A sender chooses the hashes of numbers and of their containers; a str's hash depends on the interpreter's
 * secret. If all hashes are equal, filling a table takes the square of its size. */
bool table_check(struct reader *r, struct keys *keys, bool is_set)
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

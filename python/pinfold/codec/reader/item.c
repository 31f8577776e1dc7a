/* SPDX-License-Identifier: Apache-2.0 */
/* item.c - reads an item of any kind: lists, tuples, dicts and sets itself, others through their functions. */
#include "reader.h"

#include <string.h>

static bool item_enter(struct reader *r)
{
    if (r->depth == MAX_DEPTH) {
        reader_malformed(r, "more than %d containers inside one another", MAX_DEPTH);
        return false;
    }
    r->depth++;
    return true;
}

/* Read a list or a tuple. It is untracked until complete, so that garbage collection, and code that it runs,
 * cannot see it. */
static PyObject *read_sequence(struct reader *r, uint64_t n, bool is_tuple)
{
    if (!item_enter(r) || !budget_owe(r, n) || !budget_spend(r, n || !is_tuple ? 64 + budget_rounded(8 * n) : 0))
        return NULL;
    PyObject *sequence = is_tuple ? PyTuple_New((Py_ssize_t)n) : PyList_New((Py_ssize_t)n);
    if (!sequence)
        return NULL;
    if (n) /* the empty tuple is a shared object */
        PyObject_GC_UnTrack(sequence);
    for (Py_ssize_t i = 0; i < (Py_ssize_t)n; i++) {
        r->owed--;
        PyObject *item = item_read(r);
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
    PyObject *key = string_any(r, "key");
    PyObject *value = key ? item_read(r) : NULL;
    bool done = value && PyDict_SetItem(map, key, value) == 0;
    Py_XDECREF(key);
    Py_XDECREF(value);
    return done;
}

static PyObject *read_map(struct reader *r, uint64_t n)
{
    if (n > (uint64_t)r->stream.len) { /* keeps 2 * n from overflowing */
        r->at = r->end;
        return reader_malformed(r, "it ends too early");
    }
    if (!item_enter(r) || !budget_owe(r, 2 * n) || !budget_spend(r, budget_of_dict(n, true)))
        return NULL;
    PyObject *map = PyDict_New();
    for (uint64_t i = 0; map && i < n; i++) {
        bool done = map_entry(r, map);
        if (done && (uint64_t)PyDict_Size(map) != i + 1)
            done = reader_malformed(r, "a dict with equal keys");
        if (!done)
            Py_CLEAR(map);
    }
    r->depth--;
    return map;
}

#if PY_VERSION_HEX >= 0x030D0000
PyAPI_FUNC(int) _PyDict_SetItem_KnownHash(PyObject *dict, PyObject *key, PyObject *value, Py_hash_t hash);
#endif

static void keys_free(struct reader *r, struct keys *keys)
{
    for (uint64_t i = 0; keys->items && i < keys->n; i++)
        Py_XDECREF(keys->items[i]);
    PyMem_Free(keys->items);
    PyMem_Free(keys->hashes);
    r->memory -= keys->paid;
    *keys = (struct keys){NULL, NULL, 0, 0};
}

static bool read_keys(struct reader *r, struct keys *keys, const char *whose)
{
    struct head head;
    if (!head_read(r, &head))
        return false;
    if (head.major != LIST) {
        reader_malformed(r, "not the elements of a %s", whose);
        return false;
    }
    uint64_t n = head.value;
    if (!budget_owe(r, n) || !budget_spend(r, 16 * n))
        return false;
    keys->paid = 16 * n;
    if (n >= UINT32_MAX) {
        reader_malformed(r, "a %s of too many", whose);
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
        keys->items[i] = item_read(r);
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
        reader_malformed(r, "a %s with equal %s", whose, strcmp(whose, "dict") ? "elements" : "keys");
    }
    return dict;
}

/* Read keys into a dict, each with None. */
static PyObject *read_keyed(struct reader *r, struct keys *keys, const char *whose, bool is_set)
{
    if (!item_enter(r) || !read_keys(r, keys, whose) || !table_check(r, keys, is_set) ||
        !budget_spend(r, budget_of_dict(keys->n, false)))
        return NULL;
    return dict_of(r, keys, whose);
}

static PyObject *read_set(struct reader *r, bool frozen)
{
    struct keys keys = {NULL, NULL, 0, 0};
    PyObject *dict = read_keyed(r, &keys, frozen ? "frozenset" : "set", true), *set = NULL;
    if (dict) {
        uint64_t paid = budget_of_dict(keys.n, false);
        keys_free(r, &keys);
        if (budget_spend(r, budget_of_set((uint64_t)PyDict_Size(dict))))
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
    if (!head_expect(r, LIST, &head, "dict"))
        return false;
    if (head.value != keys->n) {
        reader_malformed(r, "a dict with more keys than values, or fewer");
        return false;
    }
    if (!budget_owe(r, keys->n))
        return false;
    for (uint64_t i = 0; i < keys->n; i++) {
        r->owed--;
        PyObject *value = item_read(r);
        if (!value || _PyDict_SetItem_KnownHash(dict, keys->items[i], value, keys->hashes[i]) < 0) {
            Py_XDECREF(value);
            return false;
        }
        Py_DECREF(value);
    }
    return true;
}

/* Read a dict whose keys are not all text. */
static PyObject *read_pairs(struct reader *r)
{
    struct keys keys = {NULL, NULL, 0, 0};
    if (!head_expect_list(r, 2, "dict"))
        return NULL;
    PyObject *dict = read_keyed(r, &keys, "dict", false);
    if (dict && !read_values(r, dict, &keys))
        Py_CLEAR(dict);
    keys_free(r, &keys);
    r->depth--;
    return dict;
}

static PyObject *read_ellipsis(struct reader *r)
{
    return head_is_null(r) ? Py_NewRef(Py_Ellipsis) : reader_malformed(r, "not the content of an Ellipsis");
}

static PyObject *read_tuple(struct reader *r)
{
    struct head head;
    if (!head_read(r, &head))
        return NULL;
    return head.major == LIST ? read_sequence(r, head.value, true)
                              : reader_malformed(r, "not the elements of a tuple");
}

static PyObject *read_tagged(struct reader *r, uint64_t tag)
{
    double value;
    switch (tag) {
    case POSITIVE_BIGNUM:
    case NEGATIVE_BIGNUM:
        return number_bignum(r, tag == NEGATIVE_BIGNUM);
    case RATIONAL:
        return value_fraction(r);
    case UUID:
        return value_uuid(r);
    case SET:
    case FROZENSET:
        return read_set(r, tag == FROZENSET);
    case COMPLEX:
        return number_complex(r);
    case TUPLE:
        return read_tuple(r);
    case PAIRS:
        return read_pairs(r);
    case BYTEARRAY:
        return string_bytearray(r);
    case SEGMENT:
        return string_segment(r);
    case SURROGATES:
        return string_surrogates(r);
    case NOT_A_NUMBER:
        return number_nan(r, &value) && budget_spend(r, 32) ? PyFloat_FromDouble(value) : NULL;
    case ELLIPSIS:
        return read_ellipsis(r);
    case RANGE:
    case SLICE:
        return number_span(r, tag == SLICE);
    case DATETIME:
        return time_datetime(r);
    case DATE:
        return time_date(r);
    case TIME:
        return time_of_day(r);
    case TIMEDELTA:
        return time_timedelta(r);
    case TIMEZONE:
        return time_timezone(r);
    case ZONE:
    case PATH:
    case PURE_PATH:
        return value_name(r, tag);
    case DECIMAL:
        return value_decimal(r);
    case ARRAY:
        return array_read(r);
    case SCALAR:
        return array_scalar(r);
    default:
        return reader_malformed(r, "unknown tag %llu", (unsigned long long)tag);
    }
}

static PyObject *read_simple(struct reader *r, const struct head *head)
{
    switch (head->info) {
    case FALSE:
    case TRUE:
        return PyBool_FromLong(head->info == TRUE);
    case NIL:
        return Py_NewRef(Py_None);
    case HALF:
    case SINGLE:
    case DOUBLE:
        return budget_spend(r, 32) ? PyFloat_FromDouble(number_of_head(head)) : NULL;
    default:
        return reader_malformed(r, "a simple value that is none of ours");
    }
}

PyObject *item_read(struct reader *r)
{
    struct head head;
    if (--r->breath == 0 && !budget_breathe(r))
        return NULL;
    if (!head_read(r, &head))
        return NULL;
    switch (head.major) {
    case UNSIGNED:
        return number_unsigned(r, head.value);
    case NEGATIVE:
        return number_negative(r, head.value);
    case BYTES:
        return string_bytes(r, head.value);
    case TEXT:
        return string_text(r, head.value);
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

/* SPDX-License-Identifier: Apache-2.0 */
/* array.c - reads numpy arrays and scalars: their dtype's description, their shape and their memory. */
#include "reader.h"

#include <endian.h>
#include <string.h>

/* Skip the description of a dtype: ints, texts, nulls, and lists of them. */
static PyObject *read_description(struct reader *r)
{
    const char *start = (const char *)r->at;
    for (uint64_t left = 1; left; left--) {
        struct head head;
        if (!head_read(r, &head))
            return NULL;
        if (head.major == LIST && head.value <= (uint64_t)(r->end - r->at))
            left += head.value;
        else if (head.major == TEXT ? !head_chunk(r, head.value)
                                    : head.major > NEGATIVE && !(head.major == SIMPLE && head.info == NIL))
            return PyErr_Occurred() ? NULL : reader_malformed(r, "not the description of a dtype");
    }
    uint64_t size = (uint64_t)((const char *)r->at - start);
    /* Covers lists, dicts and numpy's structures for a struct's fields, of 10 bytes or more each. */
    return budget_spend(r, size < 16 ? 64 : 512 + 64 * size) ? PyBytes_FromStringAndSize(start, (Py_ssize_t)size)
                                                             : NULL;
}

static PyObject *read_shape(struct reader *r)
{
    struct head head;
    if (!head_expect(r, LIST, &head, "shape"))
        return NULL;
    if (head.value > 64)
        return reader_malformed(r, "not a shape");
    PyObject *shape = budget_spend(r, 64 + 40 * head.value) ? PyTuple_New((Py_ssize_t)head.value) : NULL;
    for (Py_ssize_t i = 0; shape && i < PyTuple_GET_SIZE(shape); i++) {
        struct head side;
        PyObject *n = NULL;
        if (head_expect(r, UNSIGNED, &side, "shape")) {
            if (side.value > INT64_MAX)
                reader_malformed(r, "not a shape");
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

/* Take the memory of an array: bytes of the stream, copied, or a segment. */
static PyObject *read_memory(struct reader *r)
{
    struct head head;
    if (!head_read(r, &head))
        return NULL;
    if (head.major == BYTES)
        return string_bytearray_of(r, head.value);
    if (head.major != UNSIGNED)
        return reader_malformed(r, "not the fields of a numpy.ndarray");
    PyObject *segment = head_take_segment(r, head.value);
    return segment && budget_spend(r, (uint64_t)PyMemoryView_GET_BUFFER(segment)->len) ? Py_NewRef(segment) : NULL;
}

PyObject *array_read(struct reader *r)
{
    struct head head;
    PyObject *memory = NULL;
    if (!head_expect_list(r, 4, "numpy.ndarray") || !budget_spend(r, 320))
        return NULL;
    PyObject *description = read_description(r);
    PyObject *shape = description ? read_shape(r) : NULL;
    if (shape && head_expect(r, SIMPLE, &head, "numpy.ndarray")) {
        if (head.info == TRUE || head.info == FALSE)
            memory = read_memory(r);
        else
            reader_malformed(r, "not the fields of a numpy.ndarray");
    }
    PyObject *fortran = memory ? PyBool_FromLong(head.info == TRUE) : NULL;
    return value_make(r, ARRAY, description, shape, fortran, memory);
}

PyObject *array_scalar(struct reader *r)
{
    if (!head_expect_list(r, 2, "numpy scalar") || !budget_spend(r, 256))
        return NULL;
    PyObject *description = read_description(r), *content = NULL;
    struct head head;
    if (description && r->at < r->end && *r->at >> 5 == BYTES)
        content = head_read(r, &head) ? string_bytes(r, head.value) : NULL;
    else if (description)
        content = string_any(r, "numpy scalar");
    return value_make(r, SCALAR, description, content, NULL, NULL);
}

#define PLAIN_DEPTH 64u /* nested lists in the description of a dtype */

static PyObject *plain_item(struct reader *r, unsigned depth)
{
    struct head head;
    if (!head_read(r, &head))
        return NULL;
    if (head.major == UNSIGNED)
        return number_unsigned(r, head.value);
    if (head.major == NEGATIVE)
        return number_negative(r, head.value);
    if (head.major == TEXT)
        return string_text(r, head.value);
    if (head.major != LIST)
        return Py_NewRef(Py_None);
    if (depth == PLAIN_DEPTH)
        return reader_malformed(r, "a dtype nested too deep");
    PyObject *list = PyList_New(0);
    for (uint64_t i = 0; list && i < head.value; i++) {
        PyObject *item = plain_item(r, depth + 1);
        if (!item || PyList_Append(list, item) < 0)
            Py_CLEAR(list);
        Py_XDECREF(item);
    }
    return list;
}

PyObject *array_describe(PyObject *module, PyObject *description)
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

PyObject *array_are_bools(PyObject *Py_UNUSED(module), PyObject *buffer)
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

PyObject *array_are_characters(PyObject *Py_UNUSED(module), PyObject *arguments)
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

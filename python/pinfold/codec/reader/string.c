/* SPDX-License-Identifier: Apache-2.0 */
/* string.c - reads text, bytes and bytearrays, from the stream or from a segment. */
#include "reader.h"

#include <string.h>

/* Return the most bytes per character, 1, 2 or 4, that decoding the text may use. */
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

PyObject *string_decode(struct reader *r, const char *bytes, uint64_t n)
{
    if (n > 1 && !budget_spend(r, budget_rounded(64 + n * width(bytes, n))))
        return NULL;
    return PyUnicode_DecodeUTF8(bytes, (Py_ssize_t)n, NULL);
}

PyObject *string_text(struct reader *r, uint64_t n)
{
    const char *bytes = head_chunk(r, n);
    return bytes ? string_decode(r, bytes, n) : NULL;
}

PyObject *string_surrogates(struct reader *r)
{
    struct head head;
    if (!head_expect(r, BYTES, &head, "str"))
        return NULL;
    const char *bytes = head_chunk(r, head.value);
    if (!bytes || !budget_spend(r, budget_rounded(80 + 4 * head.value)))
        return NULL;
    return PyUnicode_DecodeUTF8(bytes, (Py_ssize_t)head.value, "surrogatepass");
}

/* Read a str, with or without surrogates. */
PyObject *string_any(struct reader *r, const char *whose)
{
    struct head head;
    if (!head_read(r, &head))
        return NULL;
    if (head.major == TEXT)
        return string_text(r, head.value);
    if (head.major == TAG && head.value == SURROGATES)
        return string_surrogates(r);
    return reader_malformed(r, "not the content of a %s", whose);
}

typedef PyObject *copier(const char *bytes, Py_ssize_t n);

/* Copy `n` bytes of the stream into an object, which takes n + `besides` bytes. */
static PyObject *copy_chunk(struct reader *r, uint64_t n, uint64_t besides, copier *copy)
{
    const char *bytes = head_chunk(r, n);
    return bytes && budget_spend(r, budget_rounded(besides + n)) ? copy(bytes, (Py_ssize_t)n) : NULL;
}

/* Copy a segment likewise. */
static PyObject *copy_segment(struct reader *r, uint64_t index, uint64_t besides, copier *copy)
{
    Py_buffer view;
    PyObject *segment = head_take_segment(r, index);
    if (!segment || PyObject_GetBuffer(segment, &view, PyBUF_SIMPLE) < 0)
        return NULL;
    PyObject *object = budget_spend(r, besides + (uint64_t)view.len) ? copy(view.buf, view.len) : NULL;
    PyBuffer_Release(&view);
    return object;
}

PyObject *string_bytes(struct reader *r, uint64_t n)
{
    return copy_chunk(r, n, 48, PyBytes_FromStringAndSize);
}

PyObject *string_segment(struct reader *r)
{
    struct head head;
    return head_expect(r, UNSIGNED, &head, "bytes") ? copy_segment(r, head.value, 48, PyBytes_FromStringAndSize)
                                                    : NULL;
}

PyObject *string_bytearray_of(struct reader *r, uint64_t n)
{
    return copy_chunk(r, n, 80, PyByteArray_FromStringAndSize);
}

PyObject *string_bytearray(struct reader *r)
{
    struct head head;
    if (!head_read(r, &head))
        return NULL;
    if (head.major == BYTES)
        return string_bytearray_of(r, head.value);
    if (head.major != UNSIGNED)
        return reader_malformed(r, "not the content of a bytearray");
    return copy_segment(r, head.value, 80, PyByteArray_FromStringAndSize);
}

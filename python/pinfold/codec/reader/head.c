/* SPDX-License-Identifier: Apache-2.0 */
/* head.c - reads and checks the heads of CBOR items, and takes the bytes or the segment that a head names. */
#include "reader.h"

#include <endian.h>
#include <string.h>

/* Read a head of more than one byte, or fail at the end of the stream. */
bool head_read_long(struct reader *r, struct head *head)
{
    if (r->at >= r->end) {
        reader_malformed(r, "it ends too early");
        return false;
    }
    uint8_t first = *r->at;
    head->major = first >> 5;
    head->info = first & 31;
    if (head->info > 27) {
        reader_malformed(r, head->info == 31 ? "an indefinite length" : "a reserved length");
        return false;
    }
    unsigned size = 1u << (head->info - 24);
    if ((size_t)(r->end - r->at) <= size) {
        r->at = r->end;
        reader_malformed(r, "it ends too early");
        return false;
    }
    uint64_t value = 0;
    memcpy((uint8_t *)&value + 8 - size, r->at + 1, size);
    head->value = be64toh(value);
    r->at += 1 + size;
    return true;
}

/* Read the head of an item of this kind, or fail with an error that names `whose`. */
bool head_expect(struct reader *r, enum major major, struct head *head, const char *whose)
{
    if (!head_read(r, head))
        return false;
    if (head->major == major)
        return true;
    reader_malformed(r, "not the content of a %s", whose);
    return false;
}

bool head_expect_list(struct reader *r, uint64_t n, const char *whose)
{
    struct head head;
    if (!head_read(r, &head))
        return false;
    if (head.major == LIST && head.value == n)
        return true;
    reader_malformed(r, "not the fields of a %s", whose);
    return false;
}

/* Take `n` bytes of the stream. Returns NULL if it is shorter. */
const char *head_chunk(struct reader *r, uint64_t n)
{
    if (n > (uint64_t)(r->end - r->at)) {
        r->at = r->end;
        return reader_malformed(r, "it ends too early");
    }
    const char *bytes = (const char *)r->at;
    r->at += n;
    return bytes;
}

/* Return whether the next item is null, and if so, consume it. */
bool head_is_null(struct reader *r)
{
    if (r->at >= r->end || *r->at != (SIMPLE << 5 | NIL))
        return false;
    r->at++;
    return true;
}

/* Take the memory of a segment, once. Returns NULL on failure. */
PyObject *head_take_segment(struct reader *r, uint64_t index)
{
    if (index == 0 || index >= (uint64_t)PyTuple_GET_SIZE(r->segments))
        return reader_malformed(r, "no segment %llu", (unsigned long long)index);
    if (r->taken[index])
        return reader_malformed(r, "segment %llu is used twice", (unsigned long long)index);
    r->taken[index] = 1;
    return PyTuple_GET_ITEM(r->segments, (Py_ssize_t)index);
}

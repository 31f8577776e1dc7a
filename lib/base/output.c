/* SPDX-License-Identifier: Apache-2.0 */
/* output.c - the head and the ring that hold a call's output (output.h). */
#include "base/output.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/util.h"

#define NOTICE "\n[... %" PRIu64 " bytes left out ...]\n" /* the notice: stands where bytes were dropped */
#define NOTICE_MOST 48u

/* The head is the first half of the limit; the ring for the tail has the size of the rest. If the notice may
 * not fit, only the head is kept. */
static size_t head_size(const struct output *output)
{
    return output->limit < NOTICE_MOST ? output->limit : output->limit / 2;
}

static size_t ring_size(const struct output *output)
{
    return output->limit - output->limit / 2;
}

/* Return the index in `bytes` of byte `at` of the stream, if that byte was kept. */
static size_t index_of(const struct output *output, uint64_t at)
{
    const size_t head = head_size(output);
    return at < head ? (size_t)at : head + (size_t)((at - head) % ring_size(output));
}

void output_reset(struct output *output, size_t limit)
{
    free(output->bytes);
    *output = (struct output){.limit = limit ? limit : 1};
}

static bool output_grow(struct output *output, size_t wanted)
{
    const size_t most = head_size(output) + ring_size(output);
    if (wanted > most)
        wanted = most;
    if (wanted <= output->capacity)
        return true;
    size_t capacity = output->capacity ? output->capacity : 4096;
    while (capacity < wanted)
        capacity *= 2;
    if (capacity > most)
        capacity = most;
    char *bytes = realloc(output->bytes, capacity);
    if (!bytes)
        return false;
    output->bytes = bytes;
    output->capacity = capacity;
    return true;
}

void output_add(struct output *output, const char *bytes, size_t n)
{
    const size_t head = head_size(output), ring = ring_size(output);
    uint64_t end = output->total + n;
    if (!output_grow(output, end < SIZE_MAX ? (size_t)end : SIZE_MAX)) {
        /* From here on, keep only as much as was already allocated. If nothing was, record only that bytes were
         * dropped. */
        output->limit = output->capacity ? output->capacity : 1;
        if (output->capacity)
            output_add(output, bytes, n);
        else
            output->total = end + 1;
        return;
    }
    if (n > ring && output->total >= head) { /* only the last `ring` bytes can matter */
        output->total += n - ring;
        bytes += n - ring;
        n = ring;
    }
    while (n > 0) {
        size_t at = index_of(output, output->total);
        size_t room = (at < head ? head : head + ring) - at;
        size_t step = n < room ? n : room;
        memcpy(output->bytes + at, bytes, step);
        output->total += step;
        bytes += step;
        n -= step;
    }
}

bool output_ends_with(const struct output *output, const char *bytes, size_t n)
{
    const size_t head = head_size(output), ring = ring_size(output);
    if (n > output->total || !output->bytes)
        return false;
    for (size_t i = 1; i <= n && (output->total <= head + ring || i <= ring); i++)
        if (output->bytes[index_of(output, output->total - i)] != bytes[n - i])
            return false;
    return true;
}

int output_read(struct output *output, int pipe, size_t most)
{
    char buffer[16384]; /* the thread may belong to the caller and have a small stack */
    for (size_t done = 0; done < most;) {
        ssize_t got = RETRY_EINTR(read(pipe, buffer, sizeof(buffer)));
        if (got < 0)
            return errno == EWOULDBLOCK ? -EAGAIN : -errno;
        if (got == 0)
            return 0;
        output_add(output, buffer, (size_t)got);
        done += (size_t)got;
    }
    return 1;
}

static unsigned char byte_of(const struct output *output, uint64_t at)
{
    return (unsigned char)output->bytes[index_of(output, at)];
}

static bool continues(unsigned char byte)
{
    return (byte & 0xC0u) == 0x80u;
}

/* Return how many bytes the UTF-8 character that begins before `at` still lacks there. 0: no character is
 * incomplete. */
static unsigned wanting(const struct output *output, uint64_t at)
{
    for (unsigned back = 1; back <= 3 && back <= at; back++) {
        unsigned char byte = byte_of(output, at - back);
        if (continues(byte))
            continue;
        unsigned size = byte < 0xC2 || byte > 0xF4 ? 1 : byte < 0xE0 ? 2 : byte < 0xF0 ? 3 : 4;
        return size > back ? size - back : 0;
    }
    return 0;
}

/* Return the size of the head without a character that is incomplete at its end. */
static size_t whole_head(const struct output *output, size_t size)
{
    if (wanting(output, size) > 0)
        while (size > 0 && continues(byte_of(output, --size)))
            ;
    return size;
}

/* Return the size of the tail without the rest of a character that begins before it. */
static size_t whole_tail(const struct output *output, size_t size)
{
    for (unsigned left = wanting(output, output->total - size); left > 0 && size > 0; left--, size--)
        if (!continues(byte_of(output, output->total - size)))
            break;
    return size;
}

/* Write what fits of the head and the tail with the notice between them, or the head alone. Return the size. */
static size_t splice(const struct output *output, char *to)
{
    char notice[NOTICE_MOST + 1];
    /* The final number is not longer. */
    size_t taken = (size_t)snprintf(notice, sizeof(notice), NOTICE, output->total);
    if (taken > output->limit) {
        size_t head = whole_head(output, output->limit);
        memcpy(to, output->bytes, head);
        return head;
    }
    size_t room = output->limit - taken;
    size_t head = whole_head(output, room / 2);
    size_t tail = whole_tail(output, room - room / 2);
    memcpy(to, output->bytes, head);
    int written = snprintf(notice, sizeof(notice), NOTICE, output->total - head - tail);
    size_t used = head + (size_t)written;
    memcpy(to + head, notice, (size_t)written);
    for (uint64_t at = output->total - tail; at < output->total; at++)
        to[used++] = output->bytes[index_of(output, at)];
    return used;
}

char *output_take(struct output *output, size_t *ret_size, bool *ret_truncated)
{
    bool truncated = output->total > output->limit;
    size_t size = truncated ? 0 : (size_t)output->total;
    char *taken = truncated ? malloc(output->limit + 1) : realloc(output->bytes, size + 1);
    if (taken && !truncated)
        output->bytes = NULL;
    else if (taken && output->bytes)
        size = splice(output, taken);
    if (taken) {
        taken[size] = '\0';
        *ret_size = size;
    }
    *ret_truncated = truncated || (!taken && output->total > 0);
    output_reset(output, output->limit);
    return taken;
}

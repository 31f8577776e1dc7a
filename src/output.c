#include "output.h"

#include <inttypes.h>
#include <stdio.h>

#include "util.h"

#define MARK_ROOM 64u /* for the line in place of what was dropped; taken from the tail */

/* The head is the first half, the ring for the tail is the rest. */
static size_t head_size(const struct output *output)
{
    return output->limit / 2;
}

void output_reset(struct output *output, size_t limit)
{
    free(output->bytes);
    *output = (struct output){.limit = limit ? limit : 1};
}

static bool grow(struct output *output, size_t wanted)
{
    if (wanted <= output->capacity)
        return true;
    size_t capacity = output->capacity ? output->capacity : 4096;
    while (capacity < wanted)
        capacity *= 2;
    if (capacity > output->limit)
        capacity = output->limit;
    char *bytes = realloc(output->bytes, capacity);
    if (!bytes)
        return false;
    output->bytes = bytes;
    output->capacity = capacity;
    return true;
}

void output_add(struct output *output, const char *bytes, size_t n)
{
    const size_t head = head_size(output), ring = output->limit - head;
    uint64_t end = output->total + n;
    if (!grow(output, end < output->limit ? (size_t)end : output->limit)) {
        /* No more than there is room for now is kept from here on; without any, only that something was dropped. */
        output->limit = output->capacity ? output->capacity : 1;
        if (output->capacity)
            output_add(output, bytes, n);
        else
            output->total = end + 1;
        return;
    }
    if (n > ring && output->total >= head) { /* only its end can matter */
        output->total += n - ring;
        bytes += n - ring;
        n = ring;
    }
    while (n > 0) {
        size_t at =
            output->total < output->limit ? (size_t)output->total : head + (size_t)((output->total - head) % ring);
        size_t room = output->limit - at;
        size_t step = n < room ? n : room;
        memcpy(output->bytes + at, bytes, step);
        output->total += step;
        bytes += step;
        n -= step;
    }
}

bool output_ends_with(const struct output *output, const char *bytes, size_t n)
{
    const size_t head = head_size(output), ring = output->limit - head;
    if (n > output->total)
        return false;
    for (size_t i = 1; i <= n && (output->total <= output->limit || i <= ring); i++) {
        const uint64_t at = output->total - i;
        const size_t place = at < output->limit ? (size_t)at : head + (size_t)((at - head) % ring);
        if (output->bytes[place] != bytes[n - i])
            return false;
    }
    return true;
}

int output_read(struct output *output, int pipe, size_t most)
{
    char buffer[16384]; /* the thread may be one of the caller's, with a small stack */
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

/* Head, mark, and the newest bytes of the ring in their order. */
static size_t splice(const struct output *output, char *to)
{
    const size_t head = head_size(output), ring = output->limit - head;
    const size_t tail = ring > MARK_ROOM ? ring - MARK_ROOM : 0;
    memcpy(to, output->bytes, head);
    size_t used = head;
    if (tail > 0) {
        int n = snprintf(to + used, MARK_ROOM, "\n[... %" PRIu64 " bytes left out ...]\n",
                         output->total - head - tail);
        used += n > 0 && n < (int)MARK_ROOM ? (size_t)n : 0;
        for (size_t i = 0; i < tail; i++)
            to[used++] = output->bytes[head + (size_t)((output->total - tail + i - head) % ring)];
    }
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

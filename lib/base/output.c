#include "base/output.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/util.h"

#define MARK "\n[... %" PRIu64 " bytes left out ...]\n" /* in place of what was dropped */
#define MARK_MOST 48u

/* The head is the first half, the ring for the tail is as large as the rest. Where the mark may not fit, the head has to
 * do for all. */
static size_t head_size(const struct output *output)
{
    return output->limit < MARK_MOST ? output->limit : output->limit / 2;
}

static size_t ring_size(const struct output *output)
{
    return output->limit - output->limit / 2;
}

/* Where the byte `at` of all that came is, if it was kept. */
static size_t place_of(const struct output *output, uint64_t at)
{
    const size_t head = head_size(output);
    return at < head ? (size_t)at : head + (size_t)((at - head) % ring_size(output));
}

void output_reset(struct output *output, size_t limit)
{
    free(output->bytes);
    *output = (struct output){.limit = limit ? limit : 1};
}

static bool grow(struct output *output, size_t wanted)
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
    if (!grow(output, end < SIZE_MAX ? (size_t)end : SIZE_MAX)) {
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
        size_t at = place_of(output, output->total);
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
        if (output->bytes[place_of(output, output->total - i)] != bytes[n - i])
            return false;
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

static unsigned char byte_of(const struct output *output, uint64_t at)
{
    return (unsigned char)output->bytes[place_of(output, at)];
}

static bool continues(unsigned char byte)
{
    return (byte & 0xC0u) == 0x80u;
}

/* How many bytes of a character of UTF-8, whose first bytes stand before `at`, are still to come; 0: none is begun. */
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

/* The head without the beginning of a character that does not end in it. */
static size_t whole_head(const struct output *output, size_t size)
{
    if (wanting(output, size) > 0)
        while (size > 0 && continues(byte_of(output, --size)))
            ;
    return size;
}

/* The tail without the end of a character that does not begin in it. */
static size_t whole_tail(const struct output *output, size_t size)
{
    for (unsigned left = wanting(output, output->total - size); left > 0 && size > 0; left--, size--)
        if (!continues(byte_of(output, output->total - size)))
            break;
    return size;
}

/* As much of the head and of the tail, with the mark between them; or of the head alone. */
static size_t splice(const struct output *output, char *to)
{
    char mark[MARK_MOST + 1];
    size_t taken = (size_t)snprintf(mark, sizeof(mark), MARK, output->total); /* it will not be longer */
    if (taken > output->limit) {
        size_t head = whole_head(output, output->limit);
        memcpy(to, output->bytes, head);
        return head;
    }
    size_t room = output->limit - taken;
    size_t head = whole_head(output, room / 2);
    size_t tail = whole_tail(output, room - room / 2);
    memcpy(to, output->bytes, head);
    int written = snprintf(mark, sizeof(mark), MARK, output->total - head - tail);
    size_t used = head + (size_t)written;
    memcpy(to + head, mark, (size_t)written);
    for (uint64_t at = output->total - tail; at < output->total; at++)
        to[used++] = output->bytes[place_of(output, at)];
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

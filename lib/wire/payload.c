/* SPDX-License-Identifier: Apache-2.0 */
/* payload.c - lays payloads out and parses them (payload.h). */
#include "wire/payload.h"

#include <stdbool.h>

#include "base/util.h"

static uint64_t aligned(uint64_t size)
{
    return (size + PINFOLD_PAYLOAD_ALIGN - 1) & ~(uint64_t)(PINFOLD_PAYLOAD_ALIGN - 1);
}

uint64_t payload_table_size(uint32_t n)
{
    return aligned(8 + 8 * (uint64_t)n);
}

void payload_table(void *to, const struct iovec *segments, uint32_t n)
{
    const uint32_t head[2] = {PINFOLD_PAYLOAD_MAGIC, n};
    uint8_t *at = mempcpy(to, head, sizeof(head));
    for (uint32_t i = 0; i < n; i++) {
        uint64_t length = segments[i].iov_len;
        at = mempcpy(at, &length, sizeof(length));
    }
    memset(at, 0, payload_table_size(n) - (8 + 8 * (uint64_t)n));
}

int payload_size(const struct iovec *segments, uint32_t n, uint64_t *ret_size)
{
    const uint64_t most = UINT64_C(1) << 62;
    if (n == 0 || n > PINFOLD_PAYLOAD_SEGMENTS_MAX)
        return -EINVAL;
    uint64_t size = payload_table_size(n), end = size;
    for (uint32_t i = 0; i < n; i++) {
        if (segments[i].iov_len > most - size)
            return -EOVERFLOW;
        end = size + segments[i].iov_len;
        size = aligned(end);
    }
    *ret_size = end;
    return 0;
}

void payload_copy(void *to, const struct iovec *segments, uint32_t n)
{
    uint8_t *base = to;
    payload_table(base, segments, n);
    uint64_t at = payload_table_size(n);
    for (uint32_t i = 0; i < n; i++) {
        if (segments[i].iov_len)
            memcpy(base + at, segments[i].iov_base, segments[i].iov_len);
        uint64_t end = at + segments[i].iov_len;
        at = i + 1 < n ? aligned(end) : end;
        memset(base + end, 0, at - end);
    }
}

static bool all_zero(const uint8_t *bytes, uint64_t n)
{
    for (uint64_t i = 0; i < n; i++)
        if (bytes[i])
            return false;
    return true;
}

int payload_parse(void *base, uint64_t size, struct iovec **ret_segments, uint32_t *ret_n)
{
    uint8_t *bytes = base;
    uint32_t head[2];
    if (size < sizeof(head))
        return -EBADMSG;
    memcpy(head, bytes, sizeof(head));
    uint32_t n = head[1];
    if (head[0] != PINFOLD_PAYLOAD_MAGIC || n == 0 || n > PINFOLD_PAYLOAD_SEGMENTS_MAX ||
        8 + 8 * (uint64_t)n > size)
        return -EBADMSG;

    _cleanup_free_ struct iovec *segments = calloc(n, sizeof(*segments));
    if (!segments)
        return -ENOMEM;
    uint64_t at = 8 + 8 * (uint64_t)n;
    uint64_t next = payload_table_size(n);
    for (uint32_t i = 0; i < n; i++) {
        uint64_t length;
        memcpy(&length, bytes + 8 + 8 * (size_t)i, sizeof(length));
        if (next > size || length > size - next || !all_zero(bytes + at, next - at))
            return -EBADMSG;
        segments[i] = (struct iovec){bytes + next, (size_t)length};
        at = next + length;
        next = aligned(at);
    }
    if (at != size)
        return -EBADMSG;
    *ret_segments = TAKE_PTR(segments);
    *ret_n = n;
    return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* segments.c - reads and checks payloads for the fuzz targets (fuzz.h). */
#include "fuzz.h"

#include <errno.h>

#include "wire/payload.h"

static volatile uint8_t sink;

void look_at(const void *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++)
        sink ^= ((const uint8_t *)bytes)[i];
}

void check_payload(const void *bytes, size_t size)
{
    void *base; /* ends with the payload, so that a sanitizer sees a read beyond it */
    CHECK(posix_memalign(&base, PINFOLD_PAYLOAD_ALIGN, size ? size : 1) == 0);
    memcpy(base, bytes, size);
    struct iovec *segments = NULL;
    uint32_t n = 0;
    int r = payload_parse(base, size, &segments, &n);
    CHECK(r == 0 || r == -EBADMSG);
    if (r == 0) {
        const uint8_t *end = base, *last = (const uint8_t *)base + size;
        CHECK(n >= 1 && n <= PINFOLD_PAYLOAD_SEGMENTS_MAX);
        for (uint32_t i = 0; i < n; i++) {
            const uint8_t *at = segments[i].iov_base;
            CHECK((uintptr_t)at % PINFOLD_PAYLOAD_ALIGN == 0 && at >= end && at <= last);
            CHECK(segments[i].iov_len <= (size_t)(last - at));
            end = at + segments[i].iov_len;
            look_at(at, segments[i].iov_len);
        }
        CHECK(end == last);
        uint64_t again = 0;
        CHECK(payload_size(segments, n, &again) == 0 && again == size);
        uint8_t *copy = malloc(size);
        CHECK(copy);
        payload_copy(copy, segments, n);
        CHECK(memcmp(copy, base, size) == 0);
        free(copy);
    }
    free(segments);
    free(base);
}

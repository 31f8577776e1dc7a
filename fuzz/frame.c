/* SPDX-License-Identifier: Apache-2.0 */
/* frame.c - a message as it comes out of a socket, from each of the four kinds of peer: from the pool to a
 * template and its workers, and from those and the guard to the pool.
 *
 * Input: a byte (bits 0 and 1: the sender; 2 and 3: how many descriptors came), then the message.
 */
#include "fuzz.h"

#include <errno.h>

#include "wire/frame.h"

static void check_frame(const uint8_t *message, size_t size, enum frame_peer peer, int n_fds)
{
    struct frame frame = {.n_fds = n_fds, .fds = {-1, -1, -1}};
    int r = frame_parse(message, size, peer, &frame);
    CHECK(r == 0 || r == -EPROTO);
    if (r < 0)
        return;
    uint32_t body = frame_body_size(frame.head.kind);
    CHECK(frame.head.magic == PINFOLD_FRAME_MAGIC && frame.head.version == PINFOLD_FRAME_VERSION);
    CHECK(frame.head.kind >= 1 && frame.head.kind < PINFOLD_FRAME_KINDS);
    CHECK(frame.head.size == size && size <= PINFOLD_FRAME_MAX);
    CHECK((const uint8_t *)frame.body == message + sizeof(struct pinfold_frame_head));
    CHECK(frame.tail == message + sizeof(struct pinfold_frame_head) + body);
    CHECK(frame.tail + frame.tail_size == message + size);
    look_at(frame.body, body);
    look_at(frame.tail, frame.tail_size);

    const struct pinfold_frame_call *call = frame.body;
    const struct pinfold_frame_result *result = frame.body;
    switch (frame.head.kind) {
    case PINFOLD_FRAME_SETUP: /* the template copies the path to 4096 bytes */
        CHECK(frame.tail_size >= 1 && frame.tail_size <= 4095 && n_fds == 0);
        break;
    case PINFOLD_FRAME_START: /* the template takes all three without a check */
        CHECK(n_fds == 3 && frame.tail_size == 0);
        break;
    case PINFOLD_FRAME_DROP:
        CHECK(n_fds == 1 && frame.tail_size == 0);
        break;
    case PINFOLD_FRAME_CALL:
        CHECK(n_fds == (call->flags & PINFOLD_CALL_SPILLED ? 1 : 0));
        CHECK(call->flags & PINFOLD_CALL_SPILLED || call->payload_size == frame.tail_size);
        check_payload(frame.tail, frame.tail_size);
        break;
    case PINFOLD_FRAME_RESULT:
        CHECK(n_fds == (result->flags & PINFOLD_RESULT_SPILLED ? 1 : 0) && result->status < PINFOLD_STATUSES);
        if (result->flags & PINFOLD_RESULT_HELD) {
            CHECK(n_fds == 0 && frame.tail_size == sizeof(int32_t));
            break;
        }
        CHECK(result->flags & PINFOLD_RESULT_SPILLED || result->payload_size == frame.tail_size);
        check_payload(frame.tail, frame.tail_size);
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return -1;
    /* Aligned like the buffer of frame_receive, and not a byte longer than the message. */
    uint8_t *message = malloc(size - 1 ? size - 1 : 1);
    CHECK(message);
    memcpy(message, data + 1, size - 1);
    check_frame(message, size - 1, (enum frame_peer)(1 << (data[0] & 3)), data[0] >> 2 & 3);
    free(message);
    return 0;
}

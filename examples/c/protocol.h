/* SPDX-License-Identifier: Apache-2.0 */
/* protocol.h - send and receive the frames and payloads that pinfold_worker.h describes. */
#ifndef PROTOCOL_H
#define PROTOCOL_H

#include <pinfold_worker.h>
#include <stddef.h>
#include <sys/uio.h>

/* One frame, as it lies in memory. The body's type depends on the kind. */
struct frame {
    struct pinfold_frame_head head;
    union {
        struct pinfold_frame_setup setup;
        struct pinfold_frame_call call;
        uint8_t bytes[PINFOLD_FRAME_MAX - sizeof(struct pinfold_frame_head)];
    } body;
};

/* Send head, body and tail, with descriptors. Return 0, or -1 with errno. A signal handler may call it. */
int frame_send(int socket, enum pinfold_frame_kind kind, uint64_t id, const void *body, size_t body_size,
               const void *tail, size_t tail_size, const int *fds, int n_fds);

/* Wait for a frame and up to `n_fds` descriptors, which are -1 where none came. Return the frame's size, or 0 at
 * end-of-file. The runtime trusts the pool, so nothing else is checked. */
size_t frame_receive(int socket, struct frame *frame, int *fds, int n_fds);

/* Return where segment 0 of a payload of n segments begins, and where the segment behind `end` does. */
size_t payload_begin(uint32_t n);
size_t payload_next(size_t end);

/* Point segments[], which the caller frees, into a payload. Return their number. */
uint32_t payload_open(void *payload, struct iovec **ret_segments);

/* Return the size of the payload of these segments. */
size_t payload_size(const struct iovec *segments, uint32_t n);

/* Write the payload of these segments to `to`, which has payload_size() bytes. */
void payload_copy(uint8_t *to, const struct iovec *segments, uint32_t n);

/* Write the payload of these segments to a spill: a file without a name in `directory`, or a sealed memfd if that
 * is "". Return its read-only descriptor, or -1 with errno. */
int payload_spill(const char *directory, const struct iovec *segments, uint32_t n);

#endif

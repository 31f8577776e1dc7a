/* SPDX-License-Identifier: Apache-2.0 */
/* frame.h - sends, receives and checks frames, the messages between the pool and a guard, template or worker.
 *
 * pinfold_worker.h says what a frame is, and has its head, kinds and bodies. The decoder trusts nothing. An
 * unknown kind, a wrong size, a kind that may not travel in this direction, and a missing or surplus descriptor
 * are -EPROTO; the descriptors that came with such a frame are closed. */
#ifndef PINFOLD_FRAME_H
#define PINFOLD_FRAME_H

#include <pinfold_worker.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

/* Senders. A frame is valid only if its sender may send its kind. */
enum frame_peer { FRAME_FROM_POOL = 1, FRAME_FROM_GUARD = 2, FRAME_FROM_TEMPLATE = 4, FRAME_FROM_WORKER = 8 };

/* A received frame. `body` and `tail` point into the caller's buffer. */
struct frame {
    struct pinfold_frame_head head;
    const void *body; /* the kind's struct; aligned if the buffer is aligned to 8 */
    const uint8_t *tail;
    uint32_t tail_size;
    int n_fds;
    int fds[PINFOLD_FRAME_FDS_MAX]; /* owned by the frame until taken; -1 when taken */
};

/* Send one frame without waiting: head, body (its size follows from the kind), n_tail pieces of tail (at most
 * 8), n_fds descriptors. The sender keeps its descriptors. -EAGAIN: the socket is full; -EMSGSIZE: larger than
 * PINFOLD_FRAME_MAX; -EPIPE: the peer has closed its end (no SIGPIPE). */
int frame_send(int socket, enum pinfold_frame_kind kind, uint64_t id, const void *body, const struct iovec *tail,
               int n_tail, const int *fds, int n_fds);

/* Return whether a send that failed with this error may succeed later: the socket is full, the kernel is short
 * of memory, or too many descriptors are in flight (unix(7)). After any other error the peer is gone. */
bool frame_may_yet_go(int r);

/* Receive one frame into buffer (PINFOLD_FRAME_MAX bytes, aligned to 8) and check all of it. `flags` is as for
 * recvmsg(2), for example MSG_DONTWAIT. `allowed` is the peer at the other end. Return 1; 0 at end-of-file;
 * -EAGAIN; -EPROTO: the frame breaks a rule; -EMFILE: the frame is valid, but this process has no room for its
 * descriptors. These are then lost, and *ret_frame holds the rest.
 *
 * With MSG_PEEK, only a good frame without descriptors is taken out of the socket. Any other is -EPROTO and stays
 * there, so that this process never has, nor closes, the descriptors; nothing behind it can be received any more.
 */
int frame_receive(int socket, int flags, enum frame_peer allowed, void *buffer, struct frame *ret_frame);
/* As frame_receive. Set *ret_unread to true if the peer died or closed its end with a message unread, which
 * must be the last one sent to it. The kernel reports that once. */
int frame_receive_noting(int socket, int flags, enum frame_peer allowed, void *buffer, struct frame *ret_frame,
                         bool *ret_unread);

/* Return whether an unread message is in the socket of a peer that cannot send another. Afterwards the socket
 * can only be closed. */
bool frame_left(int socket);

/* Check a message of `size` bytes in `buffer` that came with frame->n_fds descriptors, and fill in the rest of
 * *frame, as frame_receive does after the system call. Return 0 or -EPROTO; close nothing. */
int frame_parse(const void *buffer, size_t size, enum frame_peer allowed, struct frame *frame);

/* Return the size of a kind's body; 0 for a kind without one. */
uint32_t frame_body_size(enum pinfold_frame_kind kind);

/* Close the descriptors that were not taken. */
void frame_release(struct frame *frame);

#endif

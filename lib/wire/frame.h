/* frame.h - a frame: one message between the pool and a guard, template or worker.
 *
 * A frame is one SOCK_SEQPACKET message: a head, a body of fixed size that depends on the kind, a tail of any
 * size, and the exact number of descriptors that the kind requires. All integers are little-endian. The decoder
 * trusts nothing. An unknown kind, a wrong size, a kind that may not travel in this direction, and a missing or
 * surplus descriptor are -EPROTO; the descriptors that came with such a frame are closed.
 */
#ifndef PINFOLD_FRAME_H
#define PINFOLD_FRAME_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#define FRAME_MAGIC 0x4650u /* "PF" */
#define FRAME_VERSION 1u
#define FRAME_MAX 65536u /* bytes, head included */
#define FRAME_FDS_MAX 3
#define FRAME_NOTE_MAX 4096u                  /* bytes of a note */
#define FRAME_FAILURE_MAX (UINT64_C(8) << 20) /* bytes of a result's payload whose status is not RESULT_OK */

enum frame_kind {
    FRAME_SETUP = 1,    /* pool -> template, once and first */
    FRAME_TEMPLATE = 2, /* guard -> pool, once: the template's pid */
    FRAME_READY = 3,    /* template -> pool, once; worker -> pool in spawn mode, once */
    FRAME_FAILED = 4,   /* guard, template or worker -> pool: cannot start; the tail says why */
    FRAME_START = 5,    /* pool -> template: fork or exec a worker */
    FRAME_STARTED = 6,  /* template -> pool: the worker is started, or the errno */
    FRAME_EXITED = 7,   /* template -> pool: the worker is reaped */
    FRAME_SWEPT = 8,    /* template -> pool: no orphan of this exited worker is left */
    FRAME_CALL = 9,     /* pool -> worker */
    FRAME_RESULT = 10,  /* worker -> pool */
    FRAME_STACK = 11,   /* worker -> pool: the program's stack, before a result or a death */
    FRAME_NOTE = 12,    /* worker -> pool, before its result: the runtime's note for its caller */
    FRAME_SLATE = 13,   /* pool -> worker, once and first, if it may be handed calls ahead; descriptors: slate.h */
    FRAME_PRINTED = 14, /* pool -> worker, once, before its first call, if it has a printed buffer: printed.h */
    FRAME_DROP = 15,    /* pool -> guard: a descriptor to close, which the guard does not even receive */
    FRAME_KINDS
};

/* Senders. A frame is valid only if its sender may send its kind. */
enum frame_peer { FRAME_FROM_POOL = 1, FRAME_FROM_GUARD = 2, FRAME_FROM_TEMPLATE = 4, FRAME_FROM_WORKER = 8 };

struct frame_head {
    uint16_t magic;
    uint8_t version;
    uint8_t kind;
    uint32_t size; /* of the whole message */
    uint64_t
        id; /* START, STARTED, EXITED, SWEPT: the worker's number; CALL, RESULT, STACK, NOTE: the call's; else 0 */
};

/* Tail: the spill directory's path, not NUL-terminated, 1 .. 4095 bytes. */
struct frame_setup {
    uint32_t isolation; /* enum pinfold_isolation */
    uint32_t flags;
};
#define SETUP_PDEATHSIG 1u /* workers die with the template */
#define SETUP_SEALED 2u    /* workers' spills must be sealed memfds */

struct frame_template { /* descriptors: a pidfd of the template */
    int32_t pid;
    uint32_t reserved;
};

struct frame_start {    /* descriptors: the worker's channel, its stdout, its stderr (write ends) */
    char worker_id[16]; /* 12 characters [0-9a-f], padded with NUL */
};

struct frame_started { /* descriptors: a pidfd of the worker, if error is 0; else none */
    int32_t pid;
    int32_t error;         /* errno of the fork or exec, or 0 */
    uint64_t inherited_kb; /* anonymous memory that the worker shares with the template at its start */
};

struct frame_exited {
    int32_t status; /* as from waitpid(2) */
    uint32_t flags;
    uint64_t user_us; /* getrusage(2) of the worker and the children that it waited for */
    uint64_t sys_us;
    uint64_t peak_kb; /* ru_maxrss: since the start of its last call, inherited memory included */
};
#define EXITED_ORPHANS 1u /* processes are left behind; FRAME_SWEPT follows when all are gone */

struct frame_call { /* descriptors: the spill, if CALL_SPILLED; tail: otherwise the payload */
    uint64_t payload_size;
    uint64_t result_max; /* bytes; a larger payload is RESULT_TOO_LARGE; 0: no bound */
    uint32_t flags;
    uint32_t slot; /* 1 .., the worker's own while it lives; 0: none. With CALL_OFFERED: the call's turn */
};
#define CALL_SPILLED 1u
#define CALL_OFFERED 2u /* handed ahead: the worker takes its turn on the slate (slate.h), or drops the call */

/* Descriptors: the spill, if RESULT_SPILLED. Tail: the spill's descriptor number, an int32_t, if RESULT_HELD;
 * otherwise the payload, unless it is spilled. */
struct frame_result {
    uint64_t payload_size;
    uint64_t user_us; /* used by this call alone */
    uint64_t sys_us;
    uint64_t peak_kb; /* peak resident memory since the call began, inherited memory included */
    uint32_t status;  /* enum result_status */
    uint32_t flags;
};
#define RESULT_SPILLED 1u
#define RESULT_CHILDREN 2u /* the call left processes behind: wait for the sweep before delivering the result */
#define RESULT_RETIRE 4u   /* the worker asks to be retired (threads left, memory grew, ...) */
#define RESULT_QUIET 8u    /* the call printed nothing: the worker's pipes hold only the output of others */
/* The spill is a sealed memfd that the worker holds until it is killed or gets its next call. The kernel
 * refused to send it: too many descriptors of this user are in flight (unix(7), ETOOMANYREFS). */
#define RESULT_HELD 16u

enum result_status {
    RESULT_OK = 0,
    RESULT_EXCEPTION = 1,
    RESULT_BAD = 2,       /* the codec cannot carry the value */
    RESULT_TOO_LARGE = 3, /* the payload is larger than result_max */
    RESULT_INTERNAL = 4,  /* the runtime failed, not the program (the disk is full, for example) */
    RESULT_STATUSES
};

/* A received frame. `body` and `tail` point into the caller's buffer. */
struct frame {
    struct frame_head head;
    const void *body; /* the kind's struct; aligned if the buffer is aligned to 8 */
    const uint8_t *tail;
    uint32_t tail_size;
    int n_fds;
    int fds[FRAME_FDS_MAX]; /* owned by the frame until taken; -1 when taken */
};

/* Send one frame without waiting: head, body (its size follows from the kind), n_tail pieces of tail (at most
 * 8), n_fds descriptors. The sender keeps its descriptors. -EAGAIN: the socket is full; -EMSGSIZE: larger than
 * FRAME_MAX; -EPIPE: the peer has closed its end (no SIGPIPE). */
int frame_send(int socket, enum frame_kind kind, uint64_t id, const void *body, const struct iovec *tail,
               int n_tail, const int *fds, int n_fds);

/* Return whether a send that failed with this error may succeed later: the socket is full, the kernel is short
 * of memory, or too many descriptors are in flight (unix(7)). After any other error the peer is gone. */
bool frame_may_yet_go(int r);

/* Receive one frame into buffer (FRAME_MAX bytes, aligned to 8) and check all of it. `flags` is as for recvmsg(2),
 * for example MSG_DONTWAIT. `allowed` is the peer at the other end. Return 1; 0 at end-of-file; -EAGAIN; -EPROTO:
 * the frame breaks a rule; -EMFILE: the frame is valid, but this process has no room for its descriptors. These
 * are then lost, and *ret_frame holds the rest.
 *
 * With MSG_PEEK, only a valid frame is removed from the socket. Any other stays there and keeps its descriptors
 * open, and nothing behind it can be received any more.
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
uint32_t frame_body_size(enum frame_kind kind);

/* Close the descriptors that were not taken. */
void frame_release(struct frame *frame);

#endif

/* frame.h - a frame: one message between the pool and a guard, template or worker.
 *
 * A frame is one SOCK_SEQPACKET message: a head, a body of fixed size that depends on the kind, a tail of any
 * size, and the exact number of descriptors that the kind calls for. All integers are little-endian. The decoder
 * takes nothing on trust: a kind it does not know, a size that does not fit, a kind that may not travel in this
 * direction, a missing or surplus descriptor are all -EPROTO, and descriptors that came along are closed.
 */
#ifndef PINFOLD_FRAME_H
#define PINFOLD_FRAME_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#define FRAME_MAGIC 0x4650u /* "PF" */
#define FRAME_VERSION 1u
#define FRAME_MAX 65536u /* bytes, head and all */
#define FRAME_FDS_MAX 3
#define FRAME_NOTE_MAX 4096u                  /* bytes of a note */
#define FRAME_FAILURE_MAX (UINT64_C(8) << 20) /* bytes of a result's payload whose status is not RESULT_OK */

enum frame_kind {
    FRAME_SETUP = 1,    /* pool -> template, once and first */
    FRAME_TEMPLATE = 2, /* guard -> pool, once: the template's pid */
    FRAME_READY = 3,    /* template -> pool, once; worker -> pool in spawn mode, once */
    FRAME_FAILED = 4,   /* guard, template, or worker -> pool: cannot start; the tail says why */
    FRAME_START = 5,    /* pool -> template: make a worker */
    FRAME_STARTED = 6,  /* template -> pool: it is made, or why not */
    FRAME_EXITED = 7,   /* template -> pool: it is reaped */
    FRAME_SWEPT = 8,    /* template -> pool: no orphan of this exited worker is left */
    FRAME_CALL = 9,     /* pool -> worker */
    FRAME_RESULT = 10,  /* worker -> pool */
    FRAME_STACK = 11,   /* worker -> pool: where the program stands, before a result or a death */
    FRAME_NOTE = 12,    /* worker -> pool, before its result: what the runtime tells its caller besides */
    FRAME_SLATE = 13,   /* pool -> worker, once and first, if it may be handed calls ahead; descriptors: slate.h */
    FRAME_PRINTED = 14, /* pool -> worker, once, before its first call, if it keeps output there: printed.h */
    FRAME_DROP = 15,    /* pool -> guard: a descriptor, which the guard does not even take */
    FRAME_TAKEN = 16,   /* pool -> worker: it has the spill that the worker holds */
    FRAME_KINDS
};

/* Who sends. A frame is valid only when it comes from a peer that may send its kind. */
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
#define SETUP_PDEATHSIG 1u /* workers shall die with the template */
#define SETUP_SEALED 2u    /* spills of workers shall be sealed memfds, and nothing else */

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
    uint64_t inherited_kb; /* anonymous memory that the worker shares with the template when it starts */
};

struct frame_exited {
    int32_t status; /* as waitpid(2) gives it */
    uint32_t flags;
    uint64_t user_us; /* getrusage(2) of the worker and the children that it waited for */
    uint64_t sys_us;
    uint64_t peak_kb; /* ru_maxrss: since the start of its last call, inherited memory and all */
};
#define EXITED_ORPHANS 1u /* it left processes behind; its FRAME_SWEPT follows when all are gone */

struct frame_call { /* descriptors: the spill, if CALL_SPILLED; tail: else the payload */
    uint64_t payload_size;
    uint64_t result_max; /* bytes; a larger payload is RESULT_TOO_LARGE; 0: no bound */
    uint32_t flags;
    uint32_t place; /* 1 .., its own while the worker lives; 0: it has none. With CALL_OFFERED: the call's turn */
};
#define CALL_SPILLED 1u
#define CALL_OFFERED 2u /* handed ahead: it is begun by taking its turn on the slate (slate.h), or dropped */

/* Descriptors: the spill, if RESULT_SPILLED. Tail: the number of the spill, an int32_t, if RESULT_HELD; else the payload,
 * unless it is spilled. */
struct frame_result {
    uint64_t payload_size;
    uint64_t user_us; /* what this call alone used */
    uint64_t sys_us;
    uint64_t peak_kb; /* peak resident memory since the call began, inherited memory and all */
    uint32_t status;  /* enum result_status */
    uint32_t flags;
};
#define RESULT_SPILLED 1u
#define RESULT_CHILDREN 2u /* the call left processes behind: wait for the sweep before telling anyone */
#define RESULT_RETIRE 4u   /* the worker asks not to be used again (threads left, memory grew, ...) */
#define RESULT_QUIET 8u    /* the call printed nothing: what is in the worker's pipes is another's */
/* The spill is a sealed memfd, which the worker holds until it is killed or gets FRAME_TAKEN: the pool opens nothing else
 * there, and no limit on descriptors under way (unix(7), ETOOMANYREFS) keeps it back. */
#define RESULT_HELD 16u

enum result_status {
    RESULT_OK = 0,
    RESULT_EXCEPTION = 1,
    RESULT_BAD = 2,       /* the value cannot be carried */
    RESULT_TOO_LARGE = 3, /* the payload is larger than result_max */
    RESULT_INTERNAL = 4,  /* the runtime failed, not the program (the disk is full, say) */
    RESULT_STATUSES
};

/* A frame as received. `body` and `tail` point into the caller's buffer. */
struct frame {
    struct frame_head head;
    const void *body; /* the kind's struct; suitably aligned when the buffer is aligned to 8 */
    const uint8_t *tail;
    uint32_t tail_size;
    int n_fds;
    int fds[FRAME_FDS_MAX]; /* owned by the frame until taken; -1 when taken */
};

/* Sends one frame without waiting: head, body (its size follows from the kind), the tail's n_tail pieces (at
 * most 8) and n_fds descriptors, which stay the sender's. -EAGAIN: the socket is full; -EMSGSIZE: larger than
 * FRAME_MAX; -EPIPE: nobody reads any more (no SIGPIPE). */
int frame_send(int socket, enum frame_kind kind, uint64_t id, const void *body, const struct iovec *tail,
               int n_tail, const int *fds, int n_fds);

/* Whether what failed to be sent with this error may be sent later: the socket is full, or the kernel is short of memory
 * or has too many descriptors under way (unix(7)). After any other the peer is gone. */
bool frame_may_yet_go(int r);

/* Receives one frame into buffer (FRAME_MAX bytes, aligned to 8) and checks all of it. `flags` as for recvmsg(2),
 * MSG_DONTWAIT say. `allowed` is the frame_peer that sits at the other end. Returns 1; 0 at end-of-file; -EAGAIN;
 * -EPROTO for a frame that breaks a rule; -EMFILE for a good one whose descriptors this process has no room for: they
 * are lost, and *ret_frame has all but them.
 *
 * With MSG_PEEK, only a good frame without descriptors is taken out of the socket. Any other is -EPROTO and stays there,
 * so that this process never has, nor closes, the descriptors; nothing behind it can be received any more. */
int frame_receive(int socket, int flags, enum frame_peer allowed, void *buffer, struct frame *ret_frame);
/* The same; *ret_unread is set to true if the peer has died, or closed its end, with a message unread, which must then be
 * the last that it was sent. The kernel tells that once. */
int frame_receive_noting(int socket, int flags, enum frame_peer allowed, void *buffer, struct frame *ret_frame,
                         bool *ret_unread);

/* Whether a message lies in the socket, unread, from a peer that cannot send another. Afterwards the socket is of no use
 * but to be closed. */
bool frame_left(int socket);

/* Checks a message of `size` bytes in `buffer` that came with frame->n_fds descriptors, and fills in the rest of
 * *frame: what frame_receive does after the system call. 0 or -EPROTO; closes nothing. */
int frame_parse(const void *buffer, size_t size, enum frame_peer allowed, struct frame *frame);

/* Size of a kind's body; 0 for a kind without one. */
uint32_t frame_body_size(enum frame_kind kind);

/* Closes what nobody took. */
void frame_release(struct frame *frame);

#endif

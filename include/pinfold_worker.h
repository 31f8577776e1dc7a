/* SPDX-License-Identifier: Apache-2.0 */
/* pinfold_worker.h - the protocol between a pool and a worker runtime, for the author of a runtime.
 *
 * A *runtime* is the program that a pool starts: as a *template*, which makes workers, and as those *workers*,
 * which run calls. It links no library of Pinfold. examples/c/ is a small one. docs/design.md explains the design.
 *
 * Transport. All sockets are AF_UNIX, SOCK_SEQPACKET: one message is one *frame*. A frame has a head, a body of a
 * size that its kind fixes, a tail that takes the rest, and an exact number of descriptors (SCM_RIGHTS). All
 * integers are little-endian, and so must the machine be. No struct has padding.
 *
 * The life of a template:
 *
 *   1. It starts by exec with descriptors 0 (/dev/null), 1 and 2 (its log) and PINFOLD_CONTROL_FD, its socket to
 *      the pool. No other is open. Its parent is the *guard*, whose death kills it (PR_SET_PDEATHSIG) until it has
 *      done step 2.
 *   2. It becomes a subreaper (PR_SET_CHILD_SUBREAPER), opens a pidfd of its parent, receives SETUP and loads what
 *      its workers need. Then it sets PR_SET_PDEATHSIG to SIGCONT, which wakes it if it is stopped when the guard
 *      dies, and sends READY. If it cannot start, it sends FAILED and exits. The first process of a PID namespace
 *      sees no parent: it opens no pidfd, and keeps SIGKILL.
 *   3. For each START it makes a worker and sends STARTED, with a pidfd that it opens before it can reap the
 *      worker, or with the errno for which there is no worker. It has a single thread whenever it forks.
 *   4. When it reaps a worker, it sends EXITED, once for each STARTED without an error. It inherits what the
 *      worker left behind: a child that is not a worker is an *orphan*. If there are any, it sets
 *      PINFOLD_EXITED_ORPHANS, kills orphans until none is left, and sends SWEPT.
 *   5. At end-of-file on its socket, or when the guard dies, it kills and reaps all its descendants and exits.
 *
 * The life of a worker:
 *
 *   1. It calls setsid(2) and becomes a subreaper. With PINFOLD_SETUP_PDEATHSIG it arms PR_SET_PDEATHSIG with
 *      SIGKILL, and then checks that its parent is still the template. The three descriptors of START become its
 *      *channel*, at a number of its choice, its stdout and its stderr. It closes all others that it has from the
 *      template.
 *   2. A forked worker (PINFOLD_FRESH, PINFOLD_REUSE) is ready without a frame. A spawned one execs, loads, and
 *      sends READY on its channel. A worker that cannot start sends FAILED there and exits.
 *   3. SLATE comes first, if the pool was opened with PINFOLD_AHEAD and the worker is used again. PRINTED comes
 *      before the first CALL, if the pool was opened with PINFOLD_PRINTED.
 *   4. It waits for its channel in poll(2). It must not wait in recvmsg(2), which takes a message even while the
 *      process is being killed: the pool would not know that the call had not begun.
 *   5. It receives CALL, runs it, flushes what the program printed, and sends exactly one RESULT with the call's
 *      id. A NOTE may come before; the pool keeps the first. It answers the ask signal, and announces a crash, by
 *      STACK. A call with PINFOLD_COLLECTS, which the request says in the runtime's own words, runs in a child:
 *      at STOP, the worker kills that with all it started, and sends the RESULT, with the files, within 2 s.
 *   6. With PINFOLD_FRESH it exits then, or waits to be killed. Else it waits for the next CALL.
 *   7. At end-of-file on its channel it exits.
 *
 * Descriptors. The receiver of a frame owns the descriptors that come with it, and closes them. The sender keeps
 * its own copies: the template closes those of a worker's three after the fork, and that of a pidfd after STARTED.
 *
 * Errors. A frame breaks the rules if its kind is unknown, its sender may not send that kind, its magic or version
 * differs, a size does not fit, or a descriptor is missing or surplus. The pool gives up on a peer that sends one:
 * it kills a worker, whose call ends as PINFOLD_BAD_RESULT, and replaces a template. A runtime need not check what
 * the pool sends. After a send that fails with EPIPE, the pool is gone. */
#ifndef PINFOLD_WORKER_INTERFACE_H
#define PINFOLD_WORKER_INTERFACE_H

#include <stdint.h>

#include "pinfold.h"

#ifdef __cplusplus
#include <atomic>
#define PINFOLD_ATOMIC(type) std::atomic<type>
#else
#include <stdatomic.h>
#define PINFOLD_ATOMIC(type) _Atomic(type)
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* ---- frames ------------------------------------------------------------------------------------------------- */

#define PINFOLD_FRAME_MAGIC 0x4650u /* "PF" */
#define PINFOLD_FRAME_VERSION 2u    /* of the protocol */
#define PINFOLD_FRAME_MAX 65536u    /* bytes, head included */
#define PINFOLD_FRAME_FDS_MAX 3     /* descriptors */

#define PINFOLD_CONTROL_FD 3 /* a template's socket to the pool */

enum pinfold_frame_kind {
    PINFOLD_FRAME_SETUP = 1,    /* pool -> template, once and first */
    PINFOLD_FRAME_TEMPLATE = 2, /* guard -> pool, once: the template's pid */
    PINFOLD_FRAME_READY = 3,    /* template -> pool, once; spawned worker -> pool, once */
    PINFOLD_FRAME_FAILED = 4,   /* guard, template or worker -> pool: it cannot start; the tail says why (UTF-8) */
    PINFOLD_FRAME_START = 5,    /* pool -> template: make a worker */
    PINFOLD_FRAME_STARTED = 6,  /* template -> pool: the worker is there, or the errno for which it is not */
    PINFOLD_FRAME_EXITED = 7,   /* template -> pool: the worker is reaped */
    PINFOLD_FRAME_SWEPT = 8,    /* template -> pool: no orphan of this exited worker is left */
    PINFOLD_FRAME_CALL = 9,     /* pool -> worker */
    PINFOLD_FRAME_RESULT = 10,  /* worker -> pool */
    PINFOLD_FRAME_STACK = 11,   /* worker -> pool, before a result or a death: text of where the program stands */
    PINFOLD_FRAME_NOTE = 12,    /* worker -> pool, before its result: bytes for the runtime's own caller */
    PINFOLD_FRAME_SLATE = 13,   /* pool -> worker, once and first, with PINFOLD_AHEAD; one fd */
    PINFOLD_FRAME_PRINTED = 14, /* pool -> worker, once, before its first call, with PINFOLD_PRINTED; one fd */
    PINFOLD_FRAME_DROP = 15,    /* pool -> guard: one descriptor to close, which the guard does not even receive */
    PINFOLD_FRAME_TAKEN = 16,   /* pool -> worker: the pool has the spill that the worker holds */
    PINFOLD_FRAME_STOP = 17, /* pool -> worker, during a call with PINFOLD_COLLECTS: end it and send its RESULT */
    PINFOLD_FRAME_KINDS
};

struct pinfold_frame_head {
    uint16_t magic;
    uint8_t version;
    uint8_t kind;  /* pinfold_frame_kind */
    uint32_t size; /* of the whole frame */
    uint64_t id;   /* START, STARTED, EXITED, SWEPT: the worker's number; CALL, RESULT, STACK, NOTE, STOP: the
                      call's; else 0 */
};

/* ---- frames of a template ----------------------------------------------------------------------------------- */

/* SETUP. Tail: the path of the spill directory, not NUL-terminated, 1 .. PINFOLD_SETUP_PATH_MAX bytes. */
struct pinfold_frame_setup {
    uint32_t isolation; /* pinfold_isolation */
    uint32_t flags;     /* PINFOLD_SETUP_... */
};
#define PINFOLD_SETUP_PDEATHSIG 1u /* workers die with the template (PR_SET_PDEATHSIG) */
#define PINFOLD_SETUP_SEALED 2u    /* workers' spills must be sealed memfds, which are held, not sent */
#define PINFOLD_SETUP_PATH_MAX 4095u

/* TEMPLATE. Descriptors: a pidfd of the template. */
struct pinfold_frame_template {
    int32_t pid;
    uint32_t reserved; /* 0 */
};

/* START. Descriptors: the worker's channel, its stdout and its stderr (write ends). */
struct pinfold_frame_start {
    char worker_id[PINFOLD_WORKER_ID_LENGTH + 4]; /* for people: 12 characters [0-9a-f], padded with NUL */
};

/* STARTED. Descriptors: a pidfd of the worker, if error is 0. */
struct pinfold_frame_started {
    int32_t pid;
    int32_t error;         /* the errno of the fork or exec, or 0 */
    uint64_t inherited_kb; /* anonymous memory shared with the template at the worker's start; 0 after an exec */
};

/* EXITED. */
struct pinfold_frame_exited {
    int32_t status;   /* as from waitpid(2) */
    uint32_t flags;   /* PINFOLD_EXITED_... */
    uint64_t user_us; /* getrusage(2) of the worker and the children that it waited for */
    uint64_t sys_us;
    uint64_t peak_kb; /* ru_maxrss */
};
#define PINFOLD_EXITED_ORPHANS 1u /* the worker left processes behind; SWEPT follows when all are gone */

/* ---- frames of a worker ------------------------------------------------------------------------------------- */

/* CALL. Descriptors: the spill, if PINFOLD_CALL_SPILLED. Tail: the request's payload, unless it is spilled. */
struct pinfold_frame_call {
    uint64_t payload_size;
    uint64_t result_max; /* bytes; a larger payload is PINFOLD_STATUS_TOO_LARGE; 0: no bound */
    uint32_t flags;      /* PINFOLD_CALL_... */
    uint32_t slot;       /* the worker's CPU slot, its own while it lives; 0: none. If OFFERED: the call's turn */
};
#define PINFOLD_CALL_SPILLED 1u /* the payload is in the spill */
#define PINFOLD_CALL_OFFERED 2u /* handed ahead: the worker takes its turn on the slate, or drops the call */

/* RESULT. Descriptors: the spill, if PINFOLD_RESULT_SPILLED. Tail: the number of the spill's descriptor, an
 * int32_t, if PINFOLD_RESULT_HELD; else the payload, unless it is spilled. */
struct pinfold_frame_result {
    uint64_t payload_size;
    uint64_t user_us; /* processor time of this call alone */
    uint64_t sys_us;
    uint64_t peak_kb;  /* peak resident memory since the call began, inherited memory included */
    uint32_t status;   /* pinfold_status */
    uint32_t flags;    /* PINFOLD_RESULT_... */
    int32_t ended;     /* ENDED: the exit status, 0 .. 255, or minus the number of the signal; else 0 */
    uint32_t reserved; /* 0 */
};
#define PINFOLD_RESULT_SPILLED 1u  /* the payload is in the spill; not with HELD */
#define PINFOLD_RESULT_CHILDREN 2u /* the call left processes behind: the pool waits for their sweep */
#define PINFOLD_RESULT_RETIRE 4u   /* the pool must not use the worker again (threads left, memory grew, ...) */
#define PINFOLD_RESULT_QUIET 8u    /* the call printed nothing, and the slate is open */
/* The spill is a sealed memfd, which is not sent: the pool opens it in the worker (proc(5), /proc/PID/fd). The
 * worker closes its slate before this RESULT. It holds the memfd, and does not exit, until TAKEN, a kill, or
 * end-of-file. */
#define PINFOLD_RESULT_HELD 16u

/* With a status other than OK, the payload is the runtime's own account of the failure. */
enum pinfold_status {
    PINFOLD_STATUS_OK = 0,        /* a value */
    PINFOLD_STATUS_EXCEPTION = 1, /* the program raised, did not compile, or has no such function */
    PINFOLD_STATUS_BAD = 2,       /* the value cannot be carried */
    PINFOLD_STATUS_TOO_LARGE = 3, /* the payload is larger than result_max */
    PINFOLD_STATUS_INTERNAL = 4,  /* the runtime failed, not the program (the disk is full, say) */
    PINFOLD_STATUS_ENDED = 5,     /* the program's process ended by itself, and `ended` says how */
    PINFOLD_STATUSES
};

#define PINFOLD_FAILURE_MAX                                                                                       \
    (UINT64_C(8) << 20)         /* bytes of a payload whose status is not OK; with
                                                   PINFOLD_COLLECTS, so many more than result_max */
#define PINFOLD_NOTE_MAX 60000u /* bytes of a NOTE */

/* The ask signal. A worker that gets it during a call answers from the signal's handler with STACK, without
 * waiting. The kill follows within 45 ms in any case. A worker that dies by SIGSEGV, SIGBUS, SIGFPE, SIGILL or
 * SIGABRT sends STACK before. Both are a courtesy: the call ends in the same way without them. */
#define PINFOLD_ASK_SIGNAL (SIGRTMAX - 3) /* <signal.h> */

/* ---- payloads ----------------------------------------------------------------------------------------------- */

/* The segments of a request or of a value, laid out in one piece:
 *
 *   u32 magic | u32 n | n x u64 length | zeroes to 64 | segment 0 | zeroes to 64 | segment 1 ...
 *
 * Every segment starts at a multiple of 64, so that arrays in it are aligned. Nothing follows the last segment.
 * What the segments hold is between the runtime and its caller. The same bytes travel as the tail of a frame, up
 * to PINFOLD_PAYLOAD_INLINE_MAX of them, or as the whole content of a *spill*.
 *
 * A spill is written with write(2), without holes. Without PINFOLD_SETUP_SEALED it is a file without a name in the
 * spill directory (open(2), O_TMPFILE). Its writer opens it again for reading only, closes the descriptor with
 * which it wrote, and sends the other one (SPILLED): the pool refuses a file that a process can still write to.
 * With PINFOLD_SETUP_SEALED, a worker's spill is a memfd with PINFOLD_SPILL_SEALS, which the worker holds (HELD).
 * The reader of a spill maps it privately (MAP_PRIVATE). */

#define PINFOLD_PAYLOAD_MAGIC 0x4C504650u /* "PFPL" */
#define PINFOLD_PAYLOAD_ALIGN 64u
#define PINFOLD_PAYLOAD_SEGMENTS_MAX (1u << 20) /* 1 .. so many */
#define PINFOLD_PAYLOAD_INLINE_MAX 60000u       /* bytes of a payload in a frame */

#define PINFOLD_SPILL_SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) /* fcntl(2), <fcntl.h> */

/* ---- the slate ---------------------------------------------------------------------------------------------- */

/* A page that the pool and one worker share (MAP_SHARED). It says which of the calls handed ahead the worker may
 * begin.
 *
 * A call handed ahead lies in the worker's socket while the worker runs another, and cannot be taken out again. So
 * the slate, not the socket, decides who has the call. Each such call has a *turn*, which its frame carries.
 *
 *        next             end
 *     ----|----------------|----      turns: begun | handed ahead, may be recalled | not given yet
 *
 *   - CALL with PINFOLD_CALL_OFFERED: the worker drops it, unless the slate is open, `next` is its turn and `end`
 *     is another. It begins it by a compare-and-exchange of `word` to the next turn, and notes the time in
 *     `begun`.
 *   - CALL without: the worker adds 1 to `taken` and begins it.
 *   - Before RESULT the worker looks whether both its pipes are empty (ioctl FIONREAD), `reads` is even and as it
 *     was when the call began, and the call left no process behind. If so, the RESULT is QUIET. If not, the worker
 *     sets PINFOLD_SLATE_CLOSED first, so that the output in the pipes belongs to this call alone.
 *
 * Turns are counted modulo 2 to the power of PINFOLD_SLATE_TURN_BITS. */

#define PINFOLD_SLATE_TURNS 16u /* most turns that are not over; a power of two */

/* The word: `next` in its low bits, `end` in as many bits above, and whether the slate is closed. */
#define PINFOLD_SLATE_TURN_BITS 31
#define PINFOLD_SLATE_TURN_MASK ((UINT64_C(1) << PINFOLD_SLATE_TURN_BITS) - 1)
#define PINFOLD_SLATE_CLOSED (UINT64_C(1) << 63)

struct pinfold_slate {
    PINFOLD_ATOMIC(uint64_t) word;
    PINFOLD_ATOMIC(uint32_t) reads; /* the pool adds 1 before and after it reads the worker's pipes */
    PINFOLD_ATOMIC(uint32_t) taken; /* calls not handed ahead that the worker began */
    PINFOLD_ATOMIC(int64_t) begun[PINFOLD_SLATE_TURNS]; /* by the turn modulo 16; CLOCK_MONOTONIC, nanoseconds */
};

/* ---- the printed buffer ------------------------------------------------------------------------------------- */

/* Memory that the pool and one worker share, for output that is not written to the worker's pipes yet. Output
 * waits in a buffer until that is full or flushed. A runtime that keeps its buffers here loses nothing, however
 * the worker dies. The pool looks at it when a call ends without a RESULT, or with one after it was asked to stop.
 *
 *        begin              end
 *     ----|------------------|----      bytes of one stream: written | waiting | free
 *
 * A flush writes at most PINFOLD_PRINTED_PIECE bytes at a time, which a pipe takes whole or not at all (pipe(7),
 * PIPE_BUF), or all to a pipe that is empty. `writing` says how many meanwhile. If the worker dies then, the pool
 * looks for that piece at the end of what came through the pipe.
 *
 * C's stdio does not share its buffer. A runtime may copy it to `c` before a death that it can foresee. */

#define PINFOLD_PRINTED_BYTES 32768u
#define PINFOLD_PRINTED_PIECE 4096u
#define PINFOLD_PRINTED_C_BYTES 65536u

enum { PINFOLD_PRINTED_OUT, PINFOLD_PRINTED_ERR, PINFOLD_PRINTED_STREAMS };

struct pinfold_printed_stream {
    PINFOLD_ATOMIC(uint32_t) begin;
    PINFOLD_ATOMIC(uint32_t) end;
    PINFOLD_ATOMIC(uint32_t) writing; /* bytes from `begin` on that are being written; 0: no write is under way */
};

struct pinfold_printed {
    struct pinfold_printed_stream streams[PINFOLD_PRINTED_STREAMS];
    PINFOLD_ATOMIC(uint32_t) c_size;
    uint32_t reserved; /* 0 */
    char bytes[PINFOLD_PRINTED_STREAMS][PINFOLD_PRINTED_BYTES];
    char c[PINFOLD_PRINTED_C_BYTES]; /* of C's stdout; it comes after the bytes of stdout */
};

#ifdef __cplusplus
}
#endif

#endif

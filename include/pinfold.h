/* SPDX-License-Identifier: Apache-2.0 */
/* pinfold.h - call functions of untrusted programs in warm processes, and always learn how each call ended.
 *
 * The library starts a command, the *template*, which forks *workers* on request. It moves *frames* between them
 * and the caller. It knows nothing of the language that the workers run. pinfold_worker.h is the header for
 * runtimes.
 *
 * Conventions, for every function below:
 *   - An int function returns 0 or a positive value on success, and a negative errno on failure. `ret_` parameters
 *     are written on success only. docs/errors.md lists every errno of every function.
 *   - A `pinfold_error *` may be NULL. Otherwise it receives, on failure, the errno and a sentence for a person.
 *   - No function calls exit() or writes to stdout or stderr. All state belongs to a pool. The one exception is a
 *     list of the open pools, whose locks a fork() takes so that its child's copies of them are whole.
 *   - Any thread may call any function, unless its comment says otherwise.
 *   - A child made by fork() may not use a pool that its parent opened: functions return -ECHILD. Only
 *     pinfold_queue_close and pinfold_pool_close work there. They free what the child holds, and touch nothing
 *     else.
 *   - Times are nanoseconds. `_ns` fields whose comment says "Unix" count from 1970 (CLOCK_REALTIME). All others
 *     are durations, measured on CLOCK_MONOTONIC. Sizes are bytes, or units of 1024 bytes if the name ends in
 *     `_kb`.
 *   - A struct that begins with `size` grows at its end. The library accepts the smaller struct of an older
 *     header: fields that it lacks are 0, their default, and output stops at its size. The library refuses, with
 *     -EINVAL, a struct that is larger than its own, or smaller than that of version 0.1.0. pinfold_result grows
 *     at its end as well, since the library allocates it. The other structs do not grow. */
#ifndef PINFOLD_H
#define PINFOLD_H

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define PINFOLD_API __attribute__((visibility("default")))
#else
#define PINFOLD_API
#endif

/* ---- the version -------------------------------------------------------------------------------------------- */

/* The version of this header. */
#define PINFOLD_VERSION_MAJOR 0
#define PINFOLD_VERSION_MINOR 2
#define PINFOLD_VERSION_PATCH 0

/* The version as a number, for comparisons, and as text: "0.2.0". */
#define PINFOLD_VERSION_NUMBER(major, minor, patch) ((major) << 16 | (minor) << 8 | (patch))
#define PINFOLD_VERSION PINFOLD_VERSION_NUMBER(PINFOLD_VERSION_MAJOR, PINFOLD_VERSION_MINOR, PINFOLD_VERSION_PATCH)
#define PINFOLD_VERSION_TEXT_(major, minor, patch) #major "." #minor "." #patch
#define PINFOLD_VERSION_TEXT(major, minor, patch) PINFOLD_VERSION_TEXT_(major, minor, patch)
#define PINFOLD_VERSION_STRING                                                                                    \
    PINFOLD_VERSION_TEXT(PINFOLD_VERSION_MAJOR, PINFOLD_VERSION_MINOR, PINFOLD_VERSION_PATCH)

/* Return the version of the library that runs, which may be newer than the header. Static memory. */
PINFOLD_API const char *pinfold_version(void);

/* ---- errors, outcomes, phases ------------------------------------------------------------------------------- */

/* A failure: the negative errno that the function returned, and a sentence (UTF-8, NUL-terminated). A sentence
 * that is too long is cut at its front, so that the end of a traceback survives. */
typedef struct pinfold_error {
    int code;
    char text[8188];
} pinfold_error;

/* How a call ended. Each call has exactly one outcome. */
typedef enum pinfold_outcome {
    PINFOLD_OK = 0,       /* the call returned a value */
    PINFOLD_EXCEPTION,    /* the code raised, did not compile, or has no such function */
    PINFOLD_EXITED,       /* the process ended by itself, or the pool ended it for too many processes */
    PINFOLD_SIGNALLED,    /* the process died by a signal that the pool did not send */
    PINFOLD_TIMEOUT,      /* the deadline or the program's own time (wall_ns) passed, and the pool killed it */
    PINFOLD_CPU_LIMIT,    /* the call used up its processor time */
    PINFOLD_MEMORY_LIMIT, /* the call used more memory than allowed */
    PINFOLD_OUTPUT_LIMIT, /* the result, a file, or what the call printed, is larger than allowed */
    PINFOLD_BAD_RESULT,   /* the value could not be carried, or the frame that carried it was damaged */
    PINFOLD_CANCELLED,    /* the caller gave up, and the pool killed it */
    PINFOLD_LOST,         /* the death of the template, or a kill beside it, ended it; never the program's fault */
    PINFOLD_INTERNAL,     /* the pool could not run it; never the program's fault */
    PINFOLD_OUTCOMES      /* the number of outcomes */
} pinfold_outcome;

/* Return the outcome's name in lower case ("ok", "timeout", ...), or NULL for another number. Static memory. */
PINFOLD_API const char *pinfold_outcome_name(uint32_t outcome);

/* How far a call had come when its outcome was decided. */
typedef enum pinfold_phase {
    PINFOLD_PHASE_NONE = 0, /* the outcome is PINFOLD_OK, or nobody knows */
    PINFOLD_PHASE_QUEUE,    /* the call waited behind others, in the pool or handed ahead to a worker */
    PINFOLD_PHASE_START,    /* the call's turn had come, and it waited for a worker to start, or to take it */
    PINFOLD_PHASE_RUN,      /* a worker had begun the call */
    PINFOLD_PHASES          /* the number of phases */
} pinfold_phase;

/* Return the phase's name ("", "queue", "start", "run"), or NULL for another number. Static memory. */
PINFOLD_API const char *pinfold_phase_name(uint32_t phase);

/* ---- pools -------------------------------------------------------------------------------------------------- */

/* A pool: queue, workers, template and deadlines behind one handle. A process may have several. */
typedef struct pinfold_pool pinfold_pool;

/* A completion queue of a pool: results of finished calls wait in it until a thread takes them. */
typedef struct pinfold_queue pinfold_queue;

typedef enum pinfold_isolation {
    PINFOLD_FRESH = 0, /* a worker runs one call, then the pool kills it and all that it started */
    PINFOLD_REUSE,     /* a worker runs calls one after another */
    PINFOLD_SPAWN      /* as PINFOLD_REUSE, but the template execs its workers instead of forking itself */
} pinfold_isolation;

/* pinfold_config.flags, in the order of their bits. */

/* Workers do not arm PR_SET_PDEATHSIG, and so do not die with their template. */
#define PINFOLD_NO_PDEATHSIG 1u
/* The pool keeps events for pinfold_pool_next_event. */
#define PINFOLD_EVENTS 2u
/* The pool believes no worker. It takes a spilled result only as a sealed memfd that the worker holds, which no
 * process can write to any more (memfd_create(2)), and asks for that by PINFOLD_SETUP_SEALED. With PINFOLD_FRESH,
 * metrics are the kernel's. */
#define PINFOLD_DISTRUST 4u
/* Each living worker has a CPU slot of its own, 1 .. max_workers, which its calls name. The runtime decides what a
 * slot means (a set of CPUs, say). Metrics then say how long the call waited for a CPU. */
#define PINFOLD_CPU_SLOTS 8u
/* The runtime knows PINFOLD_FRAME_SLATE. Where workers are used again, the pool hands further calls ahead to a
 * worker whose calls take less than a millisecond. */
#define PINFOLD_AHEAD 16u
/* With max_queue 0, no call may wait: with max_workers calls under way, a submit fails with -EAGAIN. */
#define PINFOLD_NO_QUEUE 32u
/* The runtime knows PINFOLD_FRAME_PRINTED and keeps unflushed output there. The pool has it when a worker dies. */
#define PINFOLD_PRINTED 64u

#define PINFOLD_FOREVER INT64_MAX /* a duration that never ends */

/* How to open a pool. Zero all of it, then set `size = sizeof(pinfold_config)`. The pool copies what it needs, so
 * nothing here has to outlive pinfold_pool_open. */
typedef struct pinfold_config {
    size_t size;
    const char *const *argv;       /* the template's command, NULL-terminated; argv[0] is an absolute path */
    const char *const *envp;       /* its whole environment, NULL-terminated; NULL: empty */
    const char *guard;             /* path of the pinfold-guard executable; NULL: where it was installed */
    const char *spill_dir;         /* an existing, writable directory for spills, at most 4095 bytes */
    uint32_t isolation;            /* pinfold_isolation */
    uint32_t max_workers;          /* calls that may run at once, 1 .. 4096 */
    uint32_t max_queue;            /* a submit fails with -EAGAIN while max_workers + max_queue calls have not
                                      ended; 0: no bound */
    uint32_t max_calls_per_worker; /* the pool replaces a reused worker after so many; 0: no bound */
    int64_t idle_timeout_ns;       /* the pool ends a worker that was idle so long; > 0, PINFOLD_FOREVER: never */
    int64_t open_timeout_ns;       /* how long the template may take to become ready; > 0 */
    uint64_t output_bytes;         /* the bound on stdout, and on stderr, of a call. Of more the pool keeps a head
                                      and a tail, neither cut inside a character of UTF-8, with the line
                                      "[... N bytes left out ...]" between them, all within the bound. It keeps
                                      the head alone where the line has no room, at most 47 bytes. 0: 1 MiB */
    uint32_t flags;                /* PINFOLD_NO_PDEATHSIG, PINFOLD_EVENTS, ... */
    uint32_t namespaces;           /* CLONE_NEW* of clone(2): the template starts in new ones, always including
                                      CLONE_NEWUSER, in which it has the same user; 0: in the caller's */
    const char *cgroup;            /* a cgroup v2 directory for this pool alone, whose children have the
                                      controllers "memory" and "pids". Each worker gets a child, named by its id,
                                      and must move there before its first call. NULL: none */
} pinfold_config;

/* Start the pool's thread and its template, and return without waiting for the template: calls may be submitted at
 * once, and wait for it. On success the caller owns *ret_pool, and gives it back with pinfold_pool_close. -EINVAL:
 * a field is out of its range. -ENOENT, -EACCES, -ENOTDIR, -ELOOP, -ENAMETOOLONG, -EPERM, -EROFS, -ENOEXEC,
 * -E2BIG: the command, the guard, the spill directory or the cgroup cannot be used. -EMFILE, -ENFILE, -ENOMEM,
 * -EAGAIN, -ENOSPC: the kernel refuses a descriptor, memory, a process, a thread or an epoll watch. -ENOSYS: the
 * kernel is too old. */
PINFOLD_API int pinfold_pool_open(const pinfold_config *config, pinfold_pool **ret_pool, pinfold_error *error);

/* Wait until the template is ready for calls. -ETIMEDOUT: not within timeout_ns. -EINTR: a signal handler ran.
 * -EIO: the template could not start (a preload failed, say), and the error's text holds what it printed.
 * -ESHUTDOWN: the pool was shut down. -ENOENT, -EACCES, -ENOEXEC, -EMFILE, -ENFILE, -ENOMEM, -EAGAIN, -ENOSPC: no
 * template could be started to replace a dead one. */
PINFOLD_API int pinfold_pool_wait_ready(pinfold_pool *pool, int64_t timeout_ns, pinfold_error *error);

/* Begin a renewal: start the next generation of the template with this command beside the one that serves, and
 * return without waiting for it. argv is as in pinfold_config, and copied; the environment stays.
 *
 * When the next template is ready, it takes over: new workers come from it, idle workers of the old one end, and
 * the old one ends after the last of its calls. The pool drops a next template that cannot start, or is not ready
 * within open_timeout_ns, and changes nothing. -EINVAL: argv is wrong. -EALREADY: another renewal is under way.
 * -ENOMEM: no memory. -ESHUTDOWN: the pool is closing. */
PINFOLD_API int pinfold_pool_renew(pinfold_pool *pool, const char *const *argv, pinfold_error *error);

/* Report how the last renewal went. 0: its template took over, or none was begun. -EINPROGRESS: it is not ready
 * yet. -EIO: the pool dropped it, and the error's text holds why, and what it printed. -ESHUTDOWN: the pool is
 * closing. */
PINFOLD_API int pinfold_pool_renewal(pinfold_pool *pool, pinfold_error *error);

/* ---- calls -------------------------------------------------------------------------------------------------- */

/* One call. Zero all of it, then set `size = sizeof(pinfold_call)`. */
typedef struct pinfold_call {
    size_t size;
    const struct iovec *segments; /* the request, in the runtime's own encoding; submit reads it */
    uint32_t n_segments;          /* 1 .. 1048576 */
    int64_t deadline_ns;          /* the caller's patience, from now, without the time in which the pool opens;
                                     > 0, PINFOLD_FOREVER: none */
    pinfold_queue *queue;         /* the queue that receives the result; NULL: the pool's own */
    void *tag;                    /* copied into the result; the pool does not look at it */
    uint64_t output_bytes;        /* 0: the pool's */
    uint64_t result_bytes;        /* the largest result accepted; 0: no bound */
    uint64_t memory_bytes;        /* anonymous, shared and swapped memory, and page tables, of the worker and all
                                     below it; 0: no bound */
    int64_t cpu_ns;               /* user and system time of the same; 0: no bound */
    uint32_t processes;           /* how many of them may live at once, the worker included; more is
                                     PINFOLD_EXITED; 0: no bound */
    uint64_t file_bytes;          /* the bound that the runtime sets on a file (RLIMIT_FSIZE): the death of a
                                     worker by SIGXFSZ is PINFOLD_OUTPUT_LIMIT; 0: no bound */
    int64_t wall_ns;              /* the program's time, from when its worker begins it; 0: no bound */
    uint64_t printed_bytes;       /* of stdout, and of stderr: more ends the call as PINFOLD_OUTPUT_LIMIT; 0: no
                                     bound */
    uint32_t flags;               /* PINFOLD_EXITS, PINFOLD_COLLECTS */
    uint32_t reserved;            /* 0 */
} pinfold_call;

/* pinfold_call.flags. */

/* The request is a whole program: that its process exits by itself with status 0 is PINFOLD_OK, without a value. */
#define PINFOLD_EXITS 1u
/* The worker brings files back, from a call that is stopped as well: once a limit was passed, the pool asks it for
 * its result (PINFOLD_FRAME_STOP), and waits up to 2 s for that before the kill. The result then has the outcome
 * of the limit, and the segments that the worker sent. A call that is cancelled is killed at once. */
#define PINFOLD_COLLECTS 2u

/* Hand the call to an idle worker, or queue it. A small request travels in a frame. The calling thread writes a
 * larger one to a spill. *ret_id identifies the call until its result is taken; no id is used twice. A failed
 * submit leaves nothing queued. -EINVAL: a field is out of its range. -EOVERFLOW: the segments are larger than
 * 2^62 bytes. -EAGAIN: too many calls have not ended (max_queue). -ENOSPC, -EDQUOT, -EFBIG: no room for the spill;
 * the error's text has the size and the room that is left. -ENOSPC also: the pool holds 2^25 calls. -ENOENT,
 * -EACCES, -EPERM, -EROFS, -EEXIST, -EIO: the spill directory has become unusable. -EMFILE, -ENFILE, -ENOMEM: no
 * descriptor or memory. -ESHUTDOWN: the pool is closing. */
PINFOLD_API int pinfold_pool_submit(pinfold_pool *pool, const pinfold_call *call, uint64_t *ret_id,
                                    pinfold_error *error);

/* Submit as pinfold_pool_submit does, for a caller that holds a lock of its own (an interpreter's, say). -EBUSY:
 * the pool's lock was held for `patience_ns`, or the request is too large for a frame. Nothing was submitted, and
 * `error` is not written. Else -EINVAL, -EAGAIN, -ENOSPC, -ENOMEM and -ESHUTDOWN as there. */
PINFOLD_API int pinfold_pool_try_submit(pinfold_pool *pool, const pinfold_call *call, int64_t patience_ns,
                                        uint64_t *ret_id, pinfold_error *error);

/* End the call as PINFOLD_CANCELLED, and kill its worker if it runs. -ENOENT: it has ended already. */
PINFOLD_API int pinfold_pool_cancel(pinfold_pool *pool, uint64_t id);

/* ---- results ------------------------------------------------------------------------------------------------ */

/* pinfold_result.flags, in the order of their bits. */

#define PINFOLD_HAS_METRICS 1u      /* the call reached a worker */
#define PINFOLD_STDOUT_TRUNCATED 2u /* the middle of stdout was dropped */
#define PINFOLD_STDERR_TRUNCATED 4u /* the middle of stderr was dropped */
#define PINFOLD_HAS_WAITS 8u        /* metrics.cpu_wait_ns and metrics.preemptions are known */
#define PINFOLD_WALL 16u            /* of PINFOLD_TIMEOUT: the program's time (wall_ns) passed, not the deadline */

#define PINFOLD_WORKER_ID_LENGTH 12

/* What a call cost. */
typedef struct pinfold_metrics {
    char worker_id[PINFOLD_WORKER_ID_LENGTH + 4]; /* NUL-terminated; "" if the call reached no worker */
    int32_t worker_pid;
    uint32_t calls_before;  /* calls that this worker had run before */
    int64_t started_at_ns;  /* Unix; when the pool gave the call to a worker, or 0 */
    int64_t finished_at_ns; /* Unix; when the pool knew its end */
    int64_t queue_ns;       /* from the submit to the start, or to the end if it never started */
    int64_t wall_ns;        /* from the start to the end */
    int64_t user_ns;        /* processor time of the worker and of the children that it waited for */
    int64_t sys_ns;
    uint64_t peak_rss_kb;  /* the call's own peak; pages inherited from the template do not count */
    uint64_t result_bytes; /* size of the result's payload */
    /* With PINFOLD_HAS_WAITS, as the kernel counts for the threads that the worker has at the end: */
    uint64_t preemptions; /* involuntary context switches */
    int64_t cpu_wait_ns;  /* time in which all threads together could have run, and waited for a CPU */
} pinfold_metrics;

/* How one call ended. The thread that takes it owns it, until pinfold_result_free. The segments lie in private,
 * writable memory, each aligned to 64 bytes. Large ones are the mapped spill itself, without a copy. */
typedef struct pinfold_result {
    uint64_t call_id;
    void *tag;         /* the call's */
    uint32_t outcome;  /* pinfold_outcome */
    uint32_t flags;    /* PINFOLD_HAS_METRICS, ... */
    int32_t exit_code; /* of a call whose process ended by itself; else -1 */
    int32_t signal;    /* the signal that ended the call's process; else 0 */
    uint32_t
        n_segments; /* OK: the value; EXCEPTION, EXITED, SIGNALLED, BAD_RESULT, INTERNAL: the runtime's account
                            of it, or 0; with PINFOLD_COLLECTS, the files as well, whatever the outcome */
    const struct iovec *segments;
    const char *reason; /* the pool's own sentence about an end that is not OK; never NULL, may be "" */
    const char *stack;  /* where the program stood when it crashed or was killed, as its runtime says; or "" */
    const char *note;   /* the runtime's message to its own caller: note_size bytes, any content; no evidence */
    size_t note_size;
    const char *out; /* stdout, out_size bytes, any content */
    const char *err; /* stderr, err_size bytes, any content */
    size_t out_size;
    size_t err_size;
    pinfold_metrics metrics;
    uint32_t phase; /* pinfold_phase */
} pinfold_result;

/* Free the result and unmap its segments. NULL is allowed. */
PINFOLD_API void pinfold_result_free(pinfold_result *result);

/* Wait for this call and take its result. One of the threads that wait here does the work of the pool's thread in
 * the meantime. -ETIMEDOUT: not within timeout_ns. -EINTR: a signal came, or the process was stopped and goes on.
 * -ENOENT: no such call, or another thread took its result. -EBUSY: another thread waits for it. */
PINFOLD_API int pinfold_pool_wait(pinfold_pool *pool, uint64_t id, int64_t timeout_ns,
                                  pinfold_result **ret_result);

/* Return the descriptor of the pool's own queue, which polls readable while results wait. The pool owns it: do not
 * read or close it. */
PINFOLD_API int pinfold_pool_notify_fd(pinfold_pool *pool);

/* Take the next result of the pool's own queue. -EAGAIN: none waits. */
PINFOLD_API int pinfold_pool_next(pinfold_pool *pool, pinfold_result **ret_result);

/* Open one more queue (for an event loop, say), to be closed before its pool. -EMFILE, -ENFILE, -ENOMEM: no
 * descriptor or memory. */
PINFOLD_API int pinfold_queue_open(pinfold_pool *pool, pinfold_queue **ret_queue);

/* Return the queue's descriptor, as pinfold_pool_notify_fd does. */
PINFOLD_API int pinfold_queue_fd(pinfold_queue *queue);

/* Take the next result of the queue. -EAGAIN: none waits. */
PINFOLD_API int pinfold_queue_next(pinfold_queue *queue, pinfold_result **ret_result);

/* Wait for the next result of the queue and take it. -ETIMEDOUT: not within timeout_ns. -EINTR: a signal handler
 * ran. -ESHUTDOWN: pinfold_queue_interrupt was called, and no result waits. */
PINFOLD_API int pinfold_queue_wait(pinfold_queue *queue, int64_t timeout_ns, pinfold_result **ret_result);

/* Wake all threads in pinfold_queue_wait of this queue, for good. */
PINFOLD_API void pinfold_queue_interrupt(pinfold_queue *queue);

/* Close the queue and free the results that wait in it. The pool drops the results of calls that still point to
 * it. NULL is allowed. */
PINFOLD_API void pinfold_queue_close(pinfold_queue *queue);

/* ---- events ------------------------------------------------------------------------------------------------- */

typedef enum pinfold_event_kind {
    PINFOLD_EVENT_CALL_START = 1, /* the pool gave a call to a worker */
    PINFOLD_EVENT_WORKER_START,   /* a worker came up */
    PINFOLD_EVENT_WORKER_EXIT     /* a worker is gone */
} pinfold_event_kind;

typedef struct pinfold_event {
    uint32_t kind; /* pinfold_event_kind */
    int32_t worker_pid;
    uint64_t call_id; /* of a CALL_START; else 0 */
    void *tag;        /* the same call's; else NULL */
    char worker_id[PINFOLD_WORKER_ID_LENGTH + 4];
    char reason[64]; /* of a WORKER_EXIT: "call done", "idle", "killed: timeout", "died: signal 11", ... */
} pinfold_event;

/* Take the next event, in the order in which they happened. The pool keeps events only with PINFOLD_EVENTS or
 * after pinfold_pool_watch. A call's start is there before its result. While events wait, the descriptor of the
 * pool's own queue polls readable as well. -EAGAIN: none waits. */
PINFOLD_API int pinfold_pool_next_event(pinfold_pool *pool, pinfold_event *ret_event);

/* Keep events from now on, as if the pool had been opened with PINFOLD_EVENTS. */
PINFOLD_API int pinfold_pool_watch(pinfold_pool *pool);

/* ---- what a pool holds and costs ---------------------------------------------------------------------------- */

typedef struct pinfold_stats {
    size_t size;
    uint64_t submitted;
    uint64_t outcomes[16]; /* ended calls, by pinfold_outcome */
    uint64_t workers_started;
    uint64_t templates_started;
    uint32_t queued;           /* calls that wait for a worker */
    uint32_t running;          /* calls that a worker has */
    uint32_t idle;             /* workers that wait for a call */
    uint32_t starting;         /* workers asked for, not up yet */
    uint32_t ending;           /* workers killed or done, not gone yet */
    int32_t template_pid;      /* 0: none is up */
    uint32_t spill_in_memory;  /* 1: the spill directory is a tmpfs, or spills are memfds */
    uint32_t generation;       /* 1, and one more for each renewal that took over */
    int64_t template_start_ns; /* how long the template that serves took to be ready */
    char spill_kind[16];       /* "O_TMPFILE", "unlinked" or "memfd" */
} pinfold_stats;

/* Take a snapshot. Set ret_stats->size first. -EINVAL: that size is wrong. */
PINFOLD_API int pinfold_pool_stats(pinfold_pool *pool, pinfold_stats *ret_stats);

/* What the pool's processes cost (proc(5), smaps_rollup). */
typedef struct pinfold_memory {
    size_t size;
    uint64_t pss_kb;          /* of the workers and the template: each page divided by the number of its users */
    uint64_t private_kb;      /* of all workers: memory that they share with no other process */
    uint64_t private_most_kb; /* of the worker that has most of it */
    uint32_t workers;         /* the number of workers that were looked at */
} pinfold_memory;

/* Look at the memory of the pool's processes. The kernel walks it in the calling thread: a millisecond or two for
 * each process. Set ret_memory->size first. -EINVAL: that size is wrong. -ENOMEM: no memory. */
PINFOLD_API int pinfold_pool_memory(pinfold_pool *pool, pinfold_memory *ret_memory);

/* ---- the end ------------------------------------------------------------------------------------------------ */

/* End what runs and waits (PINFOLD_CANCELLED), kill every process of the pool, wait until they are gone, and
 * return with the results still to be taken. Idempotent. Threads that wait for a call get its result. */
PINFOLD_API int pinfold_pool_shutdown(pinfold_pool *pool);

/* Shut the pool down, and free it and every result that nobody took. No other call on this pool may be under way
 * or follow. NULL is allowed. */
PINFOLD_API void pinfold_pool_close(pinfold_pool *pool);

#ifdef __cplusplus
}
#endif

#endif

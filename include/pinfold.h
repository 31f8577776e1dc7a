/* pinfold.h - call functions of untrusted programs in warm processes, and always learn how each call ended.
 *
 * The library starts the command it is given (the *template*), which forks *workers* on request, and moves
 * *frames* between them and the caller. It knows nothing of the language that the workers run; docs/design.md
 * describes the protocol byte by byte.
 *
 * Conventions, for every function below (docs/errors.md has them on one page):
 *   - returns 0 or a positive value on success, a negative errno on failure; `ret_` parameters are written on
 *     success only;
 *   - a `pinfold_error *` may be NULL; otherwise it receives, on failure, the sentence for a person;
 *   - no function calls exit() or writes to stdout or stderr; all state hangs off a pool, but for the list of the
 *     pools that a fork() waits for (a moment), so that its child's copies of them are whole;
 *   - every function may be called from any thread, unless it says otherwise; none may be called in a child
 *     made by fork() from the process that opened the pool (-ECHILD), but for pinfold_queue_close and
 *     pinfold_pool_close, which there free what the child holds and touch nothing else;
 *   - times are nanoseconds: `_ns` fields that say "Unix" count from 1970 (CLOCK_REALTIME), all others are
 *     durations, measured on CLOCK_MONOTONIC. Sizes are bytes unless the name ends in `_kb` (1024 bytes).
 */
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

/* The version of this header. A minor version adds to the interface; a major version may change it. */
#define PINFOLD_VERSION_MAJOR 0
#define PINFOLD_VERSION_MINOR 2
#define PINFOLD_VERSION_PATCH 0

/* The same as one number, for comparisons, and as text: "0.2.0". */
#define PINFOLD_VERSION_NUMBER(major, minor, patch) ((major) << 16 | (minor) << 8 | (patch))
#define PINFOLD_VERSION PINFOLD_VERSION_NUMBER(PINFOLD_VERSION_MAJOR, PINFOLD_VERSION_MINOR, PINFOLD_VERSION_PATCH)
#define PINFOLD_VERSION_TEXT_(major, minor, patch) #major "." #minor "." #patch
#define PINFOLD_VERSION_TEXT(major, minor, patch) PINFOLD_VERSION_TEXT_(major, minor, patch)
#define PINFOLD_VERSION_STRING                                                                                    \
    PINFOLD_VERSION_TEXT(PINFOLD_VERSION_MAJOR, PINFOLD_VERSION_MINOR, PINFOLD_VERSION_PATCH)

/* Return the version of the library that runs, which may be newer than the header. Static memory. */
PINFOLD_API const char *pinfold_version(void);

/* A pool: queue, workers, template and deadlines behind one handle. Several may live side by side. */
typedef struct pinfold_pool pinfold_pool;

/* A completion queue of a pool: where finished calls wait until somebody takes them. */
typedef struct pinfold_queue pinfold_queue;

/* What went wrong: the negative errno that was returned, and a sentence (UTF-8, NUL-terminated, cut at its
 * front when it is too long, so that the end of a traceback survives). */
typedef struct pinfold_error {
    int code;
    char text[8188];
} pinfold_error;

/* How a call ended. Exactly one per call. */
typedef enum pinfold_outcome {
    PINFOLD_OK = 0,       /* a value came back */
    PINFOLD_EXCEPTION,    /* the code raised, did not compile, or has no such function */
    PINFOLD_EXITED,       /* the process ended by itself, or was ended for too many processes */
    PINFOLD_SIGNALLED,    /* it died by a signal that the pool did not send */
    PINFOLD_TIMEOUT,      /* the deadline passed, or its own time (wall_ns); killed */
    PINFOLD_CPU_LIMIT,    /* used up its processor time */
    PINFOLD_MEMORY_LIMIT, /* used more memory than allowed */
    PINFOLD_OUTPUT_LIMIT, /* the result, or a file, is larger than allowed */
    PINFOLD_BAD_RESULT,   /* the value could not be carried, or the frame that carried it was damaged */
    PINFOLD_CANCELLED,    /* the caller gave up; killed */
    PINFOLD_LOST,         /* the template or a neighbour's kill took it down; never the candidate's fault */
    PINFOLD_INTERNAL,     /* the pool could not run it; never the candidate's fault */
    PINFOLD_OUTCOMES      /* how many there are */
} pinfold_outcome;

/* The outcome's word in lower case ("ok", "timeout", ...); NULL for a number that is none. Static memory. */
PINFOLD_API const char *pinfold_outcome_name(uint32_t outcome);

/* How far a call had come when it was decided how it ends. */
typedef enum pinfold_phase {
    PINFOLD_PHASE_NONE = 0, /* OK */
    PINFOLD_PHASE_QUEUE,    /* it waited behind other calls, in line or handed ahead */
    PINFOLD_PHASE_START,    /* its turn had come, and it waited for a worker to start, or to take it */
    PINFOLD_PHASE_RUN,      /* a worker had begun it */
    PINFOLD_PHASES          /* how many there are */
} pinfold_phase;

/* The phase's word ("", "queue", "start", "run"); NULL for a number that is none. Static memory. */
PINFOLD_API const char *pinfold_phase_name(uint32_t phase);

typedef enum pinfold_isolation {
    PINFOLD_FRESH = 0, /* a worker runs one call, then it is killed with all that it started */
    PINFOLD_REUSE,     /* a worker runs calls one after another */
    PINFOLD_SPAWN      /* as PINFOLD_REUSE, but the template execs its workers instead of forking itself */
} pinfold_isolation;

#define PINFOLD_NO_PDEATHSIG 1u /* pinfold_config.flags: workers do not ask to die with their template */
/* pinfold_config.flags: a worker's word is no evidence. A spilled result is taken as a sealed memfd alone, which nobody
 * can write to any more (memfd_create(2)); the template is told to have its workers make such (SETUP_SEALED in
 * lib/wire/frame.h). With PINFOLD_FRESH, metrics are the kernel's. */
#define PINFOLD_DISTRUST 4u
/* pinfold_config.flags: each call has a place, 1 .. max_workers, which its worker is told and no other worker that lives
 * has: what the runtime makes of it is its own (CPUs, say). The metrics then tell what the call waited for. */
#define PINFOLD_CPU_SLOTS 8u
/* pinfold_config.flags, where workers are used again: the runtime knows FRAME_SLATE (lib/wire/slate.h), and a worker whose
 * calls take less than a millisecond is handed some ahead while it is at another one. */
#define PINFOLD_AHEAD 16u
/* pinfold_config.flags: the runtime knows FRAME_PRINTED (lib/wire/printed.h), and keeps there what was printed and not
 * flushed, so that the pool has it when a worker dies. */
#define PINFOLD_PRINTED 64u
/* pinfold_config.flags: with max_queue 0, no call may wait: one more than max_workers is -EAGAIN. */
#define PINFOLD_NO_QUEUE 32u
#define PINFOLD_EVENTS 2u /* pinfold_config.flags: keep events for pinfold_pool_next_event */

#define PINFOLD_FOREVER INT64_MAX /* a duration that never ends */

/* How a pool is opened. Zero all of it, then set `size = sizeof(pinfold_config)`. The pool copies what it needs:
 * nothing here has to outlive pinfold_pool_open. */
typedef struct pinfold_config {
    size_t size;
    const char *const *argv;       /* the template's command, NULL-terminated; argv[0] is an absolute path */
    const char *const *envp;       /* its whole environment, NULL-terminated; NULL: empty */
    const char *guard;             /* path of the pinfold-guard executable; NULL: where it was installed */
    const char *spill_dir;         /* an existing, writable directory for spills */
    uint32_t isolation;            /* pinfold_isolation */
    uint32_t max_workers;          /* calls that may run at once, 1 .. 4096 */
    uint32_t max_queue;            /* with max_workers + max_queue calls that have not ended, one more is
                                      -EAGAIN; 0: no bound */
    uint32_t max_calls_per_worker; /* a reused worker is replaced after so many; 0: no bound */
    int64_t idle_timeout_ns;       /* a worker idle for so long is let go; > 0, PINFOLD_FOREVER: kept */
    int64_t open_timeout_ns;       /* how long the template may take to become ready; > 0 */
    uint64_t output_bytes;         /* how much of stdout, and of stderr, is kept per call: of more than that a head
                                      and a tail, neither cut inside a character of UTF-8, and between them the line
                                      "[... N bytes left out ...]", all within this bound; the head alone where that
                                      line has no room, at most 47 bytes; 0: 1 MiB */
    uint32_t flags;                /* PINFOLD_NO_PDEATHSIG, PINFOLD_EVENTS, PINFOLD_DISTRUST, ... */
    uint32_t namespaces;           /* CLONE_NEW* of clone(2): the template starts in new ones, CLONE_NEWUSER, in
                                      which it has the same user, always among them; 0: in the caller's */
    const char *cgroup;            /* a cgroup v2 directory for this pool alone, whose children have the
                                      controllers "memory" and "pids": each worker gets one, named by its id,
                                      and the template has to see to it that it moves there before its first
                                      call; NULL: none */
} pinfold_config;

/* Starts the pool's thread and its template, and returns without waiting for the template: calls may be submitted
 * at once and wait for it. -EINVAL: the config is wrong; -ENOENT, -EACCES: no such command, guard or directory;
 * -EMFILE, -ENOMEM and the like: what the kernel would not give. On success the caller owns *ret_pool and gives
 * it back with pinfold_pool_close. */
PINFOLD_API int pinfold_pool_open(const pinfold_config *config, pinfold_pool **ret_pool, pinfold_error *error);

/* Waits until the template is ready for calls. -ETIMEDOUT: not within timeout_ns; -EINTR: a signal handler ran;
 * -EIO: it could not start (a preload failed, say), and the error's text holds what it printed; -ESHUTDOWN: the pool
 * was shut down. */
PINFOLD_API int pinfold_pool_wait_ready(pinfold_pool *pool, int64_t timeout_ns, pinfold_error *error);

/* Starts a next generation of the template with this command (argv as in pinfold_config, copied; the environment
 * stays) beside the one that serves, and returns without waiting for it. Once it is ready, it takes over: new workers
 * come from it, idle ones of the old template are let go, calls that run there finish, and the old template ends after
 * the last of them. A next one that cannot start, or is not ready within open_timeout_ns, is dropped, and nothing
 * changes. -EINVAL: argv is wrong; -EALREADY: another renewal is under way; -ESHUTDOWN: the pool is closing. */
PINFOLD_API int pinfold_pool_renew(pinfold_pool *pool, const char *const *argv, pinfold_error *error);

/* How the renewal that was begun last went. 0: its template took over (or none was begun); -EINPROGRESS: it has yet to
 * be ready; -EIO: it was dropped, and the error's text holds why, and what it printed; -ESHUTDOWN: the pool was shut
 * down. */
PINFOLD_API int pinfold_pool_renewal(pinfold_pool *pool, pinfold_error *error);

/* One call. Zero all of it, then set `size = sizeof(pinfold_call)`. */
typedef struct pinfold_call {
    size_t size;
    const struct iovec *segments; /* the request, in the runtime's own encoding; read before submit returns */
    uint32_t n_segments;          /* 1 .. 1048576 */
    int64_t deadline_ns;          /* the caller's patience: from now, but for the time in which the pool opens;
                                     > 0, PINFOLD_FOREVER: none */
    pinfold_queue *queue;         /* where its end is told; NULL: the pool's own queue */
    void *tag;                    /* handed back in the result; never looked at */
    uint64_t output_bytes;        /* 0: the pool's */
    uint64_t result_bytes;        /* the largest result accepted; 0: no bound */
    uint64_t memory_bytes;        /* anonymous and shared memory of the worker and all below it; 0: no bound */
    int64_t cpu_ns;               /* user and system time of the same; 0: no bound */
    uint32_t processes;           /* how many of them may live at once, the worker included, or it is
                                     PINFOLD_EXITED; 0: no bound */
    uint64_t file_bytes;          /* what the runtime lets a file grow to (RLIMIT_FSIZE): a worker that dies of
                                     it, by SIGXFSZ, is PINFOLD_OUTPUT_LIMIT; 0: no bound */
    int64_t wall_ns;              /* the program's time: from when its worker begins it; 0: no bound */
} pinfold_call;

/* Hands the call to an idle worker, or queues it. Small requests travel in a frame, larger ones are written to a
 * spill here, in the calling thread. *ret_id identifies the call until its result is taken; ids are never used
 * twice. -EINVAL: the call is wrong; -EAGAIN: the queue is full (max_queue); -ENOSPC, -EMFILE: no room for the
 * spill, nothing was queued; -ESHUTDOWN: the pool is closing; -EIO: the template cannot be started. */
PINFOLD_API int pinfold_pool_submit(pinfold_pool *pool, const pinfold_call *call, uint64_t *ret_id,
                                    pinfold_error *error);

/* The same for a caller who holds a lock of his own, an interpreter's, say, and would keep others waiting. -EBUSY:
 * the pool was at work for `patience_ns`, or the request is large; nothing was submitted, nor told in `error`. */
PINFOLD_API int pinfold_pool_try_submit(pinfold_pool *pool, const pinfold_call *call, int64_t patience_ns,
                                        uint64_t *ret_id, pinfold_error *error);

/* Ends the call with PINFOLD_CANCELLED, killing its worker if it runs. -ENOENT: it has ended already. */
PINFOLD_API int pinfold_pool_cancel(pinfold_pool *pool, uint64_t id);

#define PINFOLD_HAS_METRICS 1u      /* pinfold_result.flags: the call reached a worker */
#define PINFOLD_STDOUT_TRUNCATED 2u /* pinfold_result.flags: the middle of stdout was dropped */
#define PINFOLD_STDERR_TRUNCATED 4u /* pinfold_result.flags: the middle of stderr was dropped */

#define PINFOLD_HAS_WAITS 8u /* pinfold_result.flags: cpu_wait_ns and preemptions are known */

#define PINFOLD_WALL 16u /* pinfold_result.flags: TIMEOUT: the program's time passed (wall_ns), not the deadline */

#define PINFOLD_WORKER_ID_LENGTH 12

/* What a call cost. */
typedef struct pinfold_metrics {
    char worker_id[PINFOLD_WORKER_ID_LENGTH + 4]; /* NUL-terminated; "" if the call reached no worker */
    int32_t worker_pid;
    uint32_t calls_before;  /* calls that this worker had run before */
    int64_t started_at_ns;  /* Unix; when a worker was given the call, or 0 */
    int64_t finished_at_ns; /* Unix; when its end was known */
    int64_t queue_ns;       /* from the submit to the start, or to the end if it never started */
    int64_t wall_ns;        /* from the start to the end */
    int64_t user_ns;        /* processor time of the worker and of the children it waited for */
    int64_t sys_ns;
    uint64_t peak_rss_kb;  /* the call's own peak; pages inherited from the template do not count */
    uint64_t result_bytes; /* size of the result's payload */
    /* With PINFOLD_HAS_WAITS, as the kernel counts for the threads that the worker has at the end: */
    uint64_t preemptions; /* involuntary context switches */
    int64_t cpu_wait_ns;  /* the time it could have run, and waited for a CPU; of all threads together */
} pinfold_metrics;

/* How one call ended. Owned by whoever took it, until pinfold_result_free. The segments lie in private, writable
 * memory, each aligned to 64 bytes; large ones are the mapped spill itself, copied by nobody. */
typedef struct pinfold_result {
    uint64_t call_id;
    void *tag;
    uint32_t outcome;    /* pinfold_outcome */
    uint32_t flags;      /* PINFOLD_HAS_METRICS, ... */
    int32_t exit_code;   /* of a worker that ended by itself; else -1 */
    int32_t signal;      /* that ended the worker; else 0 */
    uint32_t n_segments; /* OK: the value; EXCEPTION, BAD_RESULT, INTERNAL: the runtime's account of it, or none */
    const struct iovec *segments;
    const char *reason; /* the pool's own sentence about an end that is not OK; never NULL, may be "" */
    const char *stack;  /* where the program stood when it crashed or was killed, as its runtime tells; or "" */
    const char *note; /* what the runtime told its own caller besides: note_size bytes, any content; no evidence */
    size_t note_size;
    const char *out; /* stdout, out_size bytes, any content */
    const char *err; /* stderr, err_size bytes, any content */
    size_t out_size;
    size_t err_size;
    pinfold_metrics metrics;
    uint32_t phase; /* pinfold_phase */
} pinfold_result;

/* Frees the result and unmaps its segments. NULL is fine. */
PINFOLD_API void pinfold_result_free(pinfold_result *result);

/* Waits for this one call and takes its result; one thread that waits so does the work of the pool's own in the
 * meantime. -ETIMEDOUT: not within timeout_ns; -EINTR: a signal came, or the process was stopped and goes on; -ENOENT:
 * no such call, or its result was taken by somebody else; -EBUSY: another thread waits for it. */
PINFOLD_API int pinfold_pool_wait(pinfold_pool *pool, uint64_t id, int64_t timeout_ns,
                                  pinfold_result **ret_result);

/* The pool's own queue: a descriptor that polls readable while results wait (owned by the pool; do not read or
 * close it), and the next of them. -EAGAIN: none waits. */
PINFOLD_API int pinfold_pool_notify_fd(pinfold_pool *pool);
PINFOLD_API int pinfold_pool_next(pinfold_pool *pool, pinfold_result **ret_result);

/* More queues, one for each event loop, say. A queue must be closed before its pool; calls that still point to a
 * closed queue end unseen. pinfold_queue_wait sleeps until a result can be taken: -ETIMEDOUT, -EINTR, and
 * -ESHUTDOWN after pinfold_queue_interrupt. */
PINFOLD_API int pinfold_queue_open(pinfold_pool *pool, pinfold_queue **ret_queue);
PINFOLD_API int pinfold_queue_fd(pinfold_queue *queue);
PINFOLD_API int pinfold_queue_next(pinfold_queue *queue, pinfold_result **ret_result);
PINFOLD_API int pinfold_queue_wait(pinfold_queue *queue, int64_t timeout_ns, pinfold_result **ret_result);
PINFOLD_API void pinfold_queue_interrupt(pinfold_queue *queue);
PINFOLD_API void pinfold_queue_close(pinfold_queue *queue);

typedef enum pinfold_event_kind {
    PINFOLD_EVENT_CALL_START = 1, /* a worker was given a call */
    PINFOLD_EVENT_WORKER_START,   /* a worker came up */
    PINFOLD_EVENT_WORKER_EXIT     /* a worker is gone */
} pinfold_event_kind;

typedef struct pinfold_event {
    uint32_t kind;
    int32_t worker_pid;
    uint64_t call_id; /* of a CALL_START */
    void *tag;        /* the same call's; NULL for other events */
    char worker_id[PINFOLD_WORKER_ID_LENGTH + 4];
    char reason[64]; /* of a WORKER_EXIT: "call done", "idle", "killed: timeout", "died: signal 11", ... */
} pinfold_event;

/* The next event, in the order in which they happened; -EAGAIN: none waits. Events are kept only in a pool opened
 * with PINFOLD_EVENTS; a call's start is there before its result is. When an event comes, the pool's own queue
 * descriptor polls readable as well, until all are taken. */
PINFOLD_API int pinfold_pool_next_event(pinfold_pool *pool, pinfold_event *ret_event);

/* Keeps events from now on, as if the pool had been opened with PINFOLD_EVENTS. */
PINFOLD_API int pinfold_pool_watch(pinfold_pool *pool);

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

/* A snapshot. Set ret_stats->size first. */
PINFOLD_API int pinfold_pool_stats(pinfold_pool *pool, pinfold_stats *ret_stats);

/* What the pool's processes cost, proc(5). */
typedef struct pinfold_memory {
    size_t size;
    uint64_t pss_kb;          /* of the workers and the template: each page divided by the number of its users */
    uint64_t private_kb;      /* what workers share with no other process: of all of them, */
    uint64_t private_most_kb; /* and of the one that has most */
    uint32_t workers;         /* that were looked at */
} pinfold_memory;

/* Looks it up now. The kernel walks their memory for it, in the calling thread: a millisecond or two a process. Set
 * ret_memory->size first. */
PINFOLD_API int pinfold_pool_memory(pinfold_pool *pool, pinfold_memory *ret_memory);

/* Ends what runs and waits (PINFOLD_CANCELLED), kills every process of the pool, waits until they are gone, and
 * returns with the results still to be taken. Idempotent; threads that wait for a call get its result. */
PINFOLD_API int pinfold_pool_shutdown(pinfold_pool *pool);

/* pinfold_pool_shutdown, then frees the pool and every result that nobody took. No other call on this pool may
 * be under way or follow. NULL is fine. */
PINFOLD_API void pinfold_pool_close(pinfold_pool *pool);

#ifdef __cplusplus
}
#endif

#endif

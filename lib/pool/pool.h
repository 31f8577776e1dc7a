/* pool.h - the inside of a pool: what its files share. All of it is guarded by `lock`.
 *
 * Theory of operation: docs/design.md. In short: any thread that submits takes the lock and hands its call to an
 * idle worker, or puts it in the waiting line; one thread, the reactor, owns every descriptor and timer, takes
 * what workers and templates send, kills on time, and moves finished calls to their queues.
 */
#ifndef PINFOLD_POOL_H
#define PINFOLD_POOL_H

#include <pinfold.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/queue.h>

#include "base/deadline.h"
#include "base/handle.h"
#include "pool/ahead.h"
#include "pool/call.h"
#include "pool/cpu_slot.h"
#include "pool/renewal.h"
#include "pool/template.h"
#include "pool/worker.h"
#include "process/cgroup.h"
#include "wire/result.h"
#include "wire/spill.h"

TAILQ_HEAD(worker_list, worker);

/* A thread that sleeps for one call. Lives on that thread's stack, until it was woken as often as it shall be. */
struct waiter {
    _Atomic uint32_t woken; /* futex(2) */
    uint32_t wakes;         /* made, and to be made */
    bool over;              /* what it waits for has come, or never will */
    SLIST_ENTRY(waiter) link;
};

struct pinfold_queue {
    struct pinfold_pool *pool;
    struct call_list done;
    TAILQ_ENTRY(pinfold_queue) link;
    int notify; /* eventfd: readable while `done`, or for the pool's own queue `events`, holds something */
    bool raised;
    bool interrupted;
};

struct event {
    STAILQ_ENTRY(event) link;
    pinfold_event public;
};

struct config { /* the pool's own copy of pinfold_config */
    char **argv;
    char **envp;
    char *guard;
    char *spill_dir;
    char *cgroup;
    uint32_t isolation, max_workers, max_queue, max_calls_per_worker, flags, namespaces;
    int64_t idle_timeout_ns, open_timeout_ns;
    uint64_t output_bytes;
};

struct pinfold_pool {
    uint32_t processors; /* of the machine */
    uint64_t memory_kb;
    pid_t owner;                   /* the process that opened it; a fork of it must keep its hands off */
    LIST_ENTRY(pinfold_pool) held; /* by fork.c */
    pthread_mutex_t lock;
    pthread_cond_t ended;
    pthread_t reactor;
    bool reactor_runs;
    struct config config;
    struct spill_dir spills;
    struct cgroup cgroup;

    int epoll;
    int wake;      /* eventfd: another thread left work for the reactor */
    int timer;     /* timerfd, CLOCK_MONOTONIC */
    int ready;     /* eventfd: readable when the template serves, could not start, or the pool closes */
    int64_t armed; /* when the timer will go off; INT64_MAX: not */

    struct handle_table calls, workers, templates;
    struct deadline_heap deadlines;
    struct call_list waiting;
    struct worker_list idle;
    struct worker_list loaded; /* those with calls ahead, the one whose own call began first at the front */
    struct worker_list hungry; /* those that may be handed some */
    uint64_t newest_ahead;     /* no call that is ahead came after this one */
    uint32_t n_waiting, n_ahead, n_running, n_idle, n_starting, n_ending;
    uint32_t n_pending;     /* calls that have not ended */
    uint32_t spares_wanted; /* fresh: how many idle workers recent demand asks for */
    TAILQ_HEAD(, template) template_list;
    struct template *serving; /* the one that new workers come from: OPENING or SERVING */
    struct renewal renewal;
    uint32_t generation;
    bool *cpu_slots; /* max_workers of them, with PINFOLD_CPU_SLOTS: which are taken */
    int64_t template_start_ns;
    pinfold_error failure; /* why the last template that was to serve could not start; code 0: it could */

    struct pinfold_queue queue; /* the pool's own */
    TAILQ_HEAD(, pinfold_queue) queues;
    STAILQ_HEAD(, event) events;

    uint32_t barren;    /* templates that ended since a worker was made last */
    uint32_t stillborn; /* workers that ended by themselves without having begun a call, since one answered last */

    /* Who is woken when the one that takes events has let go of `lock`, and not to wait for it. */
    SLIST_HEAD(waiters, waiter) awaited;
    bool reacting; /* `lock` is held by one that takes events: the reactor, or the leader */
    struct waiter *leader;
    bool leading; /* it is the leader that holds `lock` */

    bool woken;   /* `wake` is raised */
    bool called;  /* it was, and has been seen */
    bool replace; /* a template that served has died: start the next one without waiting for a call */
    bool closing; /* nothing new is taken */
    bool closed;  /* the reactor has ended, and `ended` was told */

    uint64_t submitted, outcomes[PINFOLD_OUTCOMES], workers_started, templates_started;
    _Alignas(8) uint8_t buffer[FRAME_MAX]; /* the reactor's, for one frame at a time */
};

/* What a deadline in the heap belongs to (struct deadline, kind). */
enum deadline_kind { DEADLINE_CALL, DEADLINE_SAMPLE, DEADLINE_WORKER, DEADLINE_TEMPLATE };

/* Which descriptor an epoll event is about: the low three bits of its data; the rest is a handle. */
enum watch_kind {
    WATCH_POOL_WAKE,
    WATCH_POOL_TIMER,
    WATCH_WORKER_PEER,
    WATCH_WORKER_OUT,
    WATCH_WORKER_ERR,
    WATCH_TEMPLATE_CONTROL,
    WATCH_TEMPLATE_LIFELINE,
    WATCH_TEMPLATE_OTHER, /* log pipe, or the guard's pidfd: both are looked at */
};

/* reactor.c */
int reactor_start(struct pinfold_pool *pool, pinfold_error *error);
int reactor_watch(struct pinfold_pool *pool, int fd, enum watch_kind kind, uint64_t handle);
/* Ends the watch, of a descriptor that may be watched. */
void reactor_forget(struct pinfold_pool *pool, int fd);
/* Ends the watch and closes the descriptor. A fork of this process may hold it open too, so that closing alone
 * would not end the watch (epoll(7)). */
void reactor_close(struct pinfold_pool *pool, int *fd);
/* The same for a socket whose peer shall see its end, also while a fork of this process holds a copy. */
void reactor_hang_up(struct pinfold_pool *pool, int *socket);
void reactor_wake(struct pinfold_pool *pool);
/* A thread that waits for a call does the reactor's work while it waits, so that the news need not wake the reactor
 * first and then this thread: it is the leader, if no other is. With the lock, which it lets go of in between. Returns
 * 0 when `waiter` is over; -EINTR; -ETIMEDOUT when it is `until` (CLOCK_MONOTONIC; INT64_MAX: never). */
int reactor_lead(struct pinfold_pool *pool, struct waiter *waiter, int64_t until);
/* Not the leader: a template, and all workers that come from it, would run on that thread's CPUs and at its priority,
 * whatever those are. False: the reactor was woken to do it. */
bool reactor_may_spawn(struct pinfold_pool *pool);
/* What the leader waits for has come: it must learn of it, if it is not the one that asks. */
void reactor_wake_leader(struct pinfold_pool *pool);
/* Lets go of the lock, and wakes whom that was to wait for. */
void reactor_unlock(struct pinfold_pool *pool);
/* For a channel that was not read to its end: its watch tells once of what is new. */
void reactor_again(struct pinfold_pool *pool, int fd, enum watch_kind kind, uint64_t handle);
/* Sets an object's deadline and sees to it that the timer goes off in time. */
void reactor_set(struct pinfold_pool *pool, struct deadline *deadline, int64_t due);
void reactor_drop(struct pinfold_pool *pool, struct deadline *deadline);

/* pool.c */
void pool_pump(struct pinfold_pool *pool); /* does what can be done now: hands out calls, asks for workers */
/* The part of it that costs little: hands out calls. False: something else may be left to do. */
bool pool_hand_on(struct pinfold_pool *pool);
void pool_end(struct pinfold_pool *pool); /* ends every call, and begins the end of every template */
void pool_event(struct pinfold_pool *pool, uint32_t kind, const struct worker *worker, const struct call *call,
                const char *reason);
/* The pool cannot run the call that waits longest: it ends as PINFOLD_INTERNAL with this sentence. */
void pool_refuse_one(struct pinfold_pool *pool, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* A worker could not be started: not tried again for a while, and if nothing else is there to run it, the call that
 * waits longest is told. */
void pool_start_failed(struct pinfold_pool *pool, struct template *template, int code);
/* The same of one that was started, and is of no use; it is ending. */
void pool_worker_failed(struct pinfold_pool *pool, struct template *template, const char *text, size_t size);
/* If the spill directory was removed, it is made again, and so is the template, which holds the old one open as its workers
 * do. True: it was. */
bool pool_restore_spills(struct pinfold_pool *pool);
bool pool_reuses(const struct pinfold_pool *pool);
/* Copies of NULL-terminated argument lists; NULL: no memory. */
char **pool_copy_strings(const char *const *strings);
void pool_free_strings(char **strings);
bool pool_distrusts(const struct pinfold_pool *pool);   /* PINFOLD_DISTRUST, and workers die with their call */
bool pool_wants_seals(const struct pinfold_pool *pool); /* PINFOLD_DISTRUST: a spilled result is a sealed memfd */
/* In a fork of the process that opened the pool: closes all descriptors of the copy. Only what may be done in the child of a
 * fork (signal-safety(7)). */
void pool_let_go(struct pinfold_pool *pool);
/* Makes `ready` say whether a template serves, failed to, or never will. */
void pool_ready(struct pinfold_pool *pool, bool known);

/* queue.c */
int queue_init(struct pinfold_pool *pool, struct pinfold_queue *queue);
void queue_destroy(struct pinfold_queue *queue);
void queue_push(struct pinfold_queue *queue, struct call *call);
void queue_wake(struct waiter *waiter);          /* without the lock, or with it */
void queue_refresh(struct pinfold_queue *queue); /* makes `notify` say whether something is there */

#endif

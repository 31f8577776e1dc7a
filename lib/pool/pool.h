/* SPDX-License-Identifier: Apache-2.0 */
/* pool.h - the inside of a pool, shared by its files and guarded by `lock`.
 *
 * Theory of operation: docs/design.md. In short: any thread that submits takes the lock and hands its call to an
 * idle worker, or lets it wait. One thread, the reactor, owns every descriptor and timer. It receives what workers
 * and templates send, kills on time, and moves finished calls to their queues.
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

/* A thread that sleeps for one call. Lies on that thread's stack until all its wake-ups have been made. */
struct waiter {
    _Atomic uint32_t woken; /* futex(2) */
    uint32_t wakes;         /* wake-ups made or to be made */
    bool over;              /* the awaited call has ended, or never will */
    SLIST_ENTRY(waiter) link;
};

struct pinfold_queue {
    struct pinfold_pool *pool;
    struct call_list done;
    TAILQ_ENTRY(pinfold_queue) link;
    int notify; /* eventfd: readable while `done` (or `events`, for the pool's own queue) is not empty */
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
    pid_t owner;                        /* the process that opened it; its forks must not use the pool */
    LIST_ENTRY(pinfold_pool) fork_link; /* by fork.c */
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
    int ready;     /* eventfd: readable when the template serves or could not start, or the pool closes */
    int64_t armed; /* when the timer goes off; INT64_MAX: not armed */

    struct handle_table calls, workers, templates;
    struct deadline_heap deadlines;
    struct call_list waiting;
    struct worker_list idle;
    struct worker_list loaded; /* workers with calls ahead, by the begin of their own call */
    struct worker_list hungry; /* workers that may get calls ahead */
    uint64_t newest_ahead;     /* no call handed ahead came after this one */
    uint32_t n_waiting, n_ahead, n_running, n_idle, n_starting, n_ending;
    uint32_t n_pending;     /* calls that have not ended */
    uint32_t spares_wanted; /* fresh: idle workers that recent demand asks for */
    TAILQ_HEAD(, template) template_list;
    struct template *serving; /* the source of new workers: OPENING or SERVING */
    struct renewal renewal;
    uint32_t generation;
    bool *cpu_slots; /* max_workers flags, with PINFOLD_CPU_SLOTS: the slots in use */
    int64_t template_start_ns;
    pinfold_error failure; /* why the last template meant to serve could not start; code 0: it could */

    struct pinfold_queue queue; /* the pool's own */
    TAILQ_HEAD(, pinfold_queue) queues;
    STAILQ_HEAD(, event) events;

    uint32_t barren;    /* templates that ended since the last worker was made */
    uint32_t stillborn; /* workers that ended by themselves before a call, since the last result */

    /* Waiters to wake after the event thread releases `lock`, so that they do not block on it. */
    SLIST_HEAD(waiters, waiter) awaited;
    bool reacting; /* `lock` is held by an event thread: the reactor or the leader */
    struct waiter *leader;
    bool leading; /* the leader holds `lock` */

    bool woken;   /* `wake` is raised */
    bool called;  /* the reactor's wake-up was consumed */
    bool replace; /* a serving template has died: start the next one without waiting for a call */
    bool closing; /* nothing new is accepted */
    bool closed;  /* the reactor has ended, and `ended` was signalled */

    uint64_t submitted, outcomes[PINFOLD_OUTCOMES], workers_started, templates_started;
    _Alignas(8) uint8_t buffer[PINFOLD_FRAME_MAX]; /* for one received frame at a time */
};

/* reactor.c */
int reactor_start(struct pinfold_pool *pool, pinfold_error *error);
/* Call table->ready(pool, object, source), with the lock held, when the descriptor of the object with this
 * handle is readable. `table` is &pool->workers or &pool->templates, `source` below WATCH_SOURCES, `events`
 * EPOLLIN, with EPOLLET or without (epoll_ctl(2)). Return 0 or a negative errno. */
int reactor_watch(struct pinfold_pool *pool, int fd, uint32_t events, const struct handle_table *table,
                  unsigned source, uint64_t handle);
#define WATCH_SOURCES 4u
/* End the watch of a descriptor that may be watched. */
void reactor_forget(struct pinfold_pool *pool, int fd);
/* End the watch and close the descriptor. A fork of this process may hold it open, too, so that closing it
 * would not end the watch (epoll(7)). */
void reactor_close(struct pinfold_pool *pool, int *fd);
/* As reactor_close, for a socket whose peer must see end-of-file, even while a fork of this process holds a
 * copy. */
void reactor_hang_up(struct pinfold_pool *pool, int *socket);
void reactor_wake(struct pinfold_pool *pool);
/* Let a thread that waits for a call, if there is no other leader, do the reactor's work meanwhile. This saves
 * a wake-up: events need not wake the reactor first and then this thread. Called with the lock, which is
 * released in between. Return 0 when `waiter` is over; -EINTR; -ETIMEDOUT when `until` is reached
 * (CLOCK_MONOTONIC; INT64_MAX: never). */
int reactor_lead(struct pinfold_pool *pool, struct waiter *waiter, int64_t until);
/* Return whether this thread may start a template. The leader may not: the template and all its workers would
 * inherit that thread's CPUs and priority. False: the reactor was woken to do it. */
bool reactor_may_spawn(struct pinfold_pool *pool);
/* Wake the leader, whose call has ended, unless it is the calling thread. */
void reactor_wake_leader(struct pinfold_pool *pool);
/* Release the lock, then wake the waiters that were to wait for that. */
void reactor_unlock(struct pinfold_pool *pool);
/* Watch a channel again that was not read to its end: its watch is edge-triggered. */
void reactor_again(struct pinfold_pool *pool, int fd, uint32_t events, const struct handle_table *table,
                   unsigned source, uint64_t handle);
/* Set an object's deadline and arm the timer for it. */
void reactor_set(struct pinfold_pool *pool, struct deadline *deadline, int64_t due);
void reactor_drop(struct pinfold_pool *pool, struct deadline *deadline);

/* pool.c */
void pool_pump(struct pinfold_pool *pool); /* do what can be done now: hand out calls, ask for workers */
/* Do the cheap part of pool_pump: hand out calls. False: something else may be left to do. */
bool pool_hand_on(struct pinfold_pool *pool);
void pool_end(struct pinfold_pool *pool); /* end every call, and begin the end of every template */
void pool_event(struct pinfold_pool *pool, uint32_t kind, const struct worker *worker, const struct call *call,
                const char *reason);
/* End the call that waits longest as PINFOLD_INTERNAL with this sentence: the pool cannot run it. */
void pool_refuse_one(struct pinfold_pool *pool, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* A worker could not be started: do not try again for a while. If nothing else can run it, refuse the call that
 * waits longest. */
void pool_start_failed(struct pinfold_pool *pool, struct template *template, int code);
/* As pool_start_failed, for a worker that was started but is useless and ending. */
void pool_worker_failed(struct pinfold_pool *pool, struct template *template, const char *text, size_t size);
/* If the spill directory was removed, make it again and renew the template, which holds the old one open, as
 * its workers do. True: it was. */
bool pool_restore_spills(struct pinfold_pool *pool);
bool pool_reuses(const struct pinfold_pool *pool);
/* Copy or free NULL-terminated argument lists. NULL: no memory. */
char **pool_copy_strings(const char *const *strings);
void pool_free_strings(char **strings);
bool pool_distrusts(const struct pinfold_pool *pool);   /* PINFOLD_DISTRUST, and workers die with their call */
bool pool_wants_seals(const struct pinfold_pool *pool); /* PINFOLD_DISTRUST: spilled results are sealed memfds */
/* In a fork of the process that opened the pool, close all descriptors of the copy. Does only what is allowed
 * in the child of a fork (signal-safety(7)). */
void pool_close_copies(struct pinfold_pool *pool);
/* Make `ready` readable if it is known whether a template serves: it does, could not start, or never will. */
void pool_ready(struct pinfold_pool *pool, bool known);

/* queue.c */
int queue_init(struct pinfold_pool *pool, struct pinfold_queue *queue);
void queue_destroy(struct pinfold_queue *queue);
void queue_push(struct pinfold_queue *queue, struct call *call);
void queue_wake(struct waiter *waiter);          /* without the lock, or with it */
void queue_refresh(struct pinfold_queue *queue); /* make `notify` show whether something is there */

#endif

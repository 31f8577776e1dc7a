/* SPDX-License-Identifier: Apache-2.0 */
/* ahead.h - calls handed ahead to a busy worker, so that it need not wait for its next call.
 *
 * Between two short calls a worker would sleep until the reactor has woken up and handed it the next one. These
 * two wake-ups take many times as long as the calls. So a worker whose last call took less than AHEAD_QUICK_NS
 * gets some calls ahead, while all workers are busy and its present call is younger than that. The pool recalls
 * what the worker has not begun (slate.h) before it does anything to the worker, so that a kill or a deadline hits
 * one call only. It also recalls when another worker is free or the present call is not short, to avoid
 * head-of-line blocking.
 *
 * The order of submits is kept as far as it matters: a call that waits behind another, at a worker or in the pool,
 * is younger. So the oldest call is never held up by a younger one; a caller that ends its calls in the order of
 * their submits (by cancelling them, for example) can rely on that.
 *
 * Handed over one by one are calls with limits or spills, calls behind one that printed, and all calls of a pool
 * with CPU slots or control groups.
 */
#ifndef PINFOLD_AHEAD_H
#define PINFOLD_AHEAD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#define AHEAD_DEPTH 8u /* most calls ahead at one worker; less than PINFOLD_SLATE_TURNS */
#define AHEAD_MOST 64u /* most in a pool */
#define AHEAD_QUICK_NS (1 * INT64_C(1000000))

struct call;
struct pinfold_pool;
struct pinfold_slate;
struct worker;

TAILQ_HEAD(call_list, call);

struct ahead {                   /* part of struct worker */
    struct pinfold_slate *slate; /* NULL: the worker gets no calls ahead */
    struct call_list calls;      /* in the order of their turns */
    uint32_t n;
    uint32_t room; /* bytes of its socket buffer, as the kernel counts them */
    TAILQ_ENTRY(worker) loaded, hungry;
    uint32_t taken; /* from the slate, before the present call was handed over */
    bool is_loaded, is_hungry;
    bool quick; /* the last call was quick and printed nothing */
};

/* Make the slate, if this pool hands ahead, and send it: the first frame to a worker. */
int ahead_open(struct pinfold_pool *pool, struct worker *worker);
void ahead_close(struct worker *worker);

/* Prepare to hand a call to an idle worker. */
void ahead_handed(struct worker *worker);
/* Return whether the worker has taken the call that was handed to it when idle. */
bool ahead_has_taken(const struct worker *worker);
/* Called before and after each read of the worker's pipes. */
void ahead_reading(const struct worker *worker);
/* Note that the worker has sent the result of its present call. The call then began when the slate says, and is
 * not recalled any more, whatever a lying worker writes there. False: impossible, the worker has not begun the
 * call. */
bool ahead_answered(struct worker *worker);

/* The worker has begun a call, or is at none: decide again whether it may get calls ahead. */
void ahead_begun(struct pinfold_pool *pool, struct worker *worker);
void ahead_idle(struct pinfold_pool *pool, struct worker *worker);

/* Hand the calls that wait longest ahead to workers that may get some. */
void ahead_fill(struct pinfold_pool *pool);

/* Recall calls that wait behind a call that is not short, or while a worker is free. */
void ahead_relieve(struct pinfold_pool *pool);

/* Recall what the worker has not begun, which may include its present call. */
void ahead_recall(struct pinfold_pool *pool, struct worker *worker);

/* As ahead_recall. If the worker has begun one of the calls, also take the result that it must have sent
 * before, so that worker->call is what it runs now. The worker may be freed by this. */
void ahead_settle(struct pinfold_pool *pool, struct worker *worker);

/* Make the next call handed ahead the present one, after a result. False: there is none. */
bool ahead_promote(struct pinfold_pool *pool, struct worker *worker);

/* Return whether the worker has begun another call, so that its present one has a result. */
bool ahead_has_next(const struct worker *worker);

/* The worker is dead: recall what it has not begun; the rest is lost. */
void ahead_abandon(struct pinfold_pool *pool, struct worker *worker);

#endif

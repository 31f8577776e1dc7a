/* ahead.h - calls that a worker is handed while it is at another one, so that it need not wait for the next.
 *
 * Between two short calls a worker would sleep until the reactor was woken and has handed it the next one: two
 * wake-ups, many times as long as the calls. So a worker whose last call took less than AHEAD_QUICK_NS is handed some
 * ahead, while all workers are at work and as long as its present call is as young as that. What it has not begun is
 * taken back (slate.h) before anything is done to the worker, so that a kill or a deadline hits one call alone; and
 * when another worker is free, or its present call turns out not to be short, so that none waits behind that.
 *
 * The order of submits is kept as far as it matters: what waits behind a call, at a worker or in line, is younger than
 * that. A caller who ends its calls in the order in which it submitted them (a cancel, say) can so rely on it that the
 * oldest of all calls is never held up by one that ends only after it.
 *
 * Calls with limits, spills or places are handed one by one, and so are those behind one that printed.
 */
#ifndef PINFOLD_AHEAD_H
#define PINFOLD_AHEAD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#define AHEAD_DEPTH 8u /* calls that one worker is handed ahead; less than SLATE_TURNS */
#define AHEAD_MOST 64u /* in a pool */
#define AHEAD_QUICK_NS (1 * INT64_C(1000000))

struct call;
struct pinfold_pool;
struct slate;
struct worker;

TAILQ_HEAD(call_list, call);

struct ahead {              /* a part of struct worker */
    struct slate *slate;    /* NULL: it is not handed any */
    struct call_list calls; /* in the order of their turns */
    uint32_t n;
    uint32_t room; /* bytes of its socket, as the kernel counts them */
    TAILQ_ENTRY(worker) loaded, hungry;
    uint32_t taken; /* on the slate, before its present call was handed to it */
    bool is_loaded, is_hungry;
    bool quick; /* its last call was, and printed nothing */
};

/* Makes the slate, if this pool hands ahead, and sends it: the first frame of a worker's channel. */
int ahead_open(struct pinfold_pool *pool, struct worker *worker);
void ahead_close(struct worker *worker);

/* It is handed a call after it was at none. */
void ahead_handed(struct worker *worker);
/* Whether it has taken the call that it was handed so. */
bool ahead_has_taken(const struct worker *worker);
/* Stands before and after each read of its pipes. */
void ahead_reading(const struct worker *worker);
/* It has answered its present call, which began when it says, not when that was known, and is not taken back any more,
 * whatever a worker that lies writes to its slate. False: it cannot have, for it has not begun it. */
bool ahead_answered(struct worker *worker);

/* The worker is at a new call, or at none: whether it may be handed others is seen anew. */
void ahead_begun(struct pinfold_pool *pool, struct worker *worker);
void ahead_idle(struct pinfold_pool *pool, struct worker *worker);

/* Hands the calls that wait longest to workers that are done soon. */
void ahead_fill(struct pinfold_pool *pool);

/* Takes back what waits behind a call that is not short, or while a worker is free. */
void ahead_relieve(struct pinfold_pool *pool);

/* Takes back what the worker has not begun: its present call too, if that is so. */
void ahead_recall(struct pinfold_pool *pool, struct worker *worker);

/* The same; and if it has begun one of them, takes the result that it must have sent before: what the worker is at,
 * and nothing else, is its present call. The worker may be gone after it. */
void ahead_settle(struct pinfold_pool *pool, struct worker *worker);

/* It has answered: the next one that it was handed is its present call. False: there is none. */
bool ahead_promote(struct pinfold_pool *pool, struct worker *worker);

/* It has begun another call, so it has answered its present one. */
bool ahead_has_next(const struct worker *worker);

/* It is dead: what it has not begun is taken back, and the rest is lost. */
void ahead_abandon(struct pinfold_pool *pool, struct worker *worker);

#endif

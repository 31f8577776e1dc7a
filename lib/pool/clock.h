/* SPDX-License-Identifier: Apache-2.0 */
/* clock.h - the two clocks of a call, under the pool's lock. The deadline is the caller's patience and runs from
 * the submit. The program's own time (wall_ns) runs from when a worker begins the call. Both end it as
 * PINFOLD_TIMEOUT.
 *
 *   submit                          handed      begun
 *     |------- the pool opens -------|------------|-------------------------
 *     |   the deadline stands still  |  it runs   |  it runs, and so does the program's time
 *
 * The time in which a pool opens does not count: a waiting call's deadline stands still from the start of a
 * template until that serves, whether it is the first or replaces a dead one. With PINFOLD_SPAWN, each worker
 * loads what a template would; there the pool is open when the workers asked for first have loaded.
 *
 * The pool sees from outside when a worker begins a call: it has read the message from its socket, or has written
 * that to its slate (slate.h). A worker's time is never accepted if it is later than what the pool saw.
 */
#ifndef PINFOLD_CLOCK_H
#define PINFOLD_CLOCK_H

#include <pinfold.h>
#include <stdint.h>

struct call;
struct template;

struct clocks {          /* part of struct call; times are CLOCK_MONOTONIC */
    int64_t deadline_ns; /* as requested */
    int64_t wall_ns;     /* INT64_MAX: no bound */
    int64_t deadline;    /* end of the caller's patience; INT64_MAX: never, or it stands still */
    int64_t left_ns;     /* what is left while it stands still; otherwise 0 */
    int64_t begun;       /* when a worker began it; 0: not yet, or not looked */
};

void clock_new(struct clocks *clocks, int64_t submitted, int64_t deadline_ns, int64_t wall_ns);

/* The call waits, after its submit or again: its deadline runs if the pool is open. */
void clock_wait(struct pinfold_pool *pool, struct call *call);

/* The call was handed to an idle worker: its deadline runs, and its own time once it begins. */
void clock_handed(struct pinfold_pool *pool, struct call *call);

/* Handle the call's timer. */
void clock_due(struct pinfold_pool *pool, struct call *call);

/* Record the sentence for CALL_SPENT. */
void clock_say_spent(struct call *call);

/* Return how far the call has come. */
uint32_t clock_phase(const struct pinfold_pool *pool, const struct call *call);

/* The serving template is open, or there is none any more: the deadlines of waiting calls run, or stand still. */
void clock_opened(struct pinfold_pool *pool, struct template *template);
void clock_closed(struct pinfold_pool *pool);

#endif

/* clock.h - the two clocks of a call. The deadline is the caller's patience: it runs from the submit. The program's own
 * time (wall_ns) runs from the moment a worker begins the call. Both end it as PINFOLD_TIMEOUT. Under the pool's lock.
 *
 *   submit                          handed      begun
 *     |------- the pool opens -------|------------|-------------------------
 *     |   deadline stands still      |  it runs   |  it runs, and so does the program's time
 *
 * The time in which a pool opens is nobody's: the deadline of a call that waits stands still from the start of a
 * template until that serves, whether it is the first one or replaces one that died. With PINFOLD_SPAWN, each worker
 * loads what a template would, so there the pool has opened when the workers that were asked for first have loaded.
 *
 * When a worker begins a call is seen from outside: it has taken the message out of its socket, or has said so on its
 * slate (slate.h). No clock is started by a worker's word that is later than what the pool saw.
 */
#ifndef PINFOLD_CLOCK_H
#define PINFOLD_CLOCK_H

#include <pinfold.h>
#include <stdbool.h>
#include <stdint.h>

struct call;
struct template;

struct clocks {          /* a part of struct call; moments are CLOCK_MONOTONIC */
    int64_t deadline_ns; /* as it was asked for */
    int64_t wall_ns;     /* INT64_MAX: no bound */
    int64_t deadline;    /* when patience ends; INT64_MAX: never, or it stands still */
    int64_t left_ns;     /* while it stands still: what is left of it; else 0 */
    int64_t begun;       /* when a worker began it; 0: it has yet to, or nobody has looked */
};

void clock_new(struct clocks *clocks, int64_t submitted, int64_t deadline_ns, int64_t wall_ns);

/* The call waits, from its submit on or again: its deadline runs if the pool is open. */
void clock_wait(struct pinfold_pool *pool, struct call *call);

/* The call was handed to a worker that is at no other: its deadline runs, and its own time as soon as it is begun. */
void clock_handed(struct pinfold_pool *pool, struct call *call);

/* The call's timer ran out. */
void clock_due(struct pinfold_pool *pool, struct call *call);

/* For CALL_SPENT: the sentence. */
void clock_say_spent(struct call *call);

/* How far the call has come. */
uint32_t clock_phase(const struct pinfold_pool *pool, const struct call *call);

/* The template that serves is open, or none is any more: the deadlines of what waits go on, or stand still. */
void clock_opened(struct pinfold_pool *pool, struct template *template);
void clock_closed(struct pinfold_pool *pool);

#endif

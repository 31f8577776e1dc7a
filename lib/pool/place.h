/* place.h - the places of a pool with PINFOLD_PLACES: 1 .. max_workers, each with one worker that lives.
 *
 * A worker gets one with its first call and keeps it until it is gone, not only until its call is over: what a dying
 * process still does, it does there, and not where the next call runs. Under the pool's lock.
 */
#ifndef PINFOLD_PLACE_H
#define PINFOLD_PLACE_H

#include <stdbool.h>

struct pinfold_pool;
struct worker;

/* Gives the worker a place, unless it has one. False: none is free. */
bool place_take(struct pinfold_pool *pool, struct worker *worker);

/* Takes it back, if it has one. */
void place_leave(struct pinfold_pool *pool, struct worker *worker);

#endif

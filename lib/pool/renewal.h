/* renewal.h - the next generation of the template, from when it is asked for until it serves or is dropped.
 *
 *   none --pinfold_pool_renew--> asked for --reactor--> OPENING --READY--> it serves, the old one retires
 *                                                          '-----FAILED, too slow, dead--> dropped
 *
 * Whatever becomes of the template that serves meanwhile is none of its business: that is replaced as ever, and the
 * next one takes over from whichever serves, or is about to, when it is ready. Under the pool's lock.
 */
#ifndef PINFOLD_RENEWAL_H
#define PINFOLD_RENEWAL_H

#include <pinfold.h>

struct template;

struct renewal {
    char **argv;               /* the next template's command; NULL: none is asked for */
    struct template *template; /* OPENING; NULL: none, or it is not started yet */
    pinfold_error failure;     /* why the last one was dropped; code 0: it was not */
};

/* Starts what is asked for, and ends retired templates that have nothing left to do. */
void renewal_pump(struct pinfold_pool *pool);

/* Its template is ready. */
void renewal_take_over(struct pinfold_pool *pool);

/* Its template cannot start, or, with code 0, the pool closes. */
void renewal_drop(struct pinfold_pool *pool, const pinfold_error *failure);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* renewal.h - the next generation of the template, from the request until it serves or is dropped.
 *
 *   none --pinfold_pool_renew--> asked for --reactor--> OPENING --READY--> it serves, the old one retires
 *                                                          '-----FAILED, too slow, dead--> dropped
 *
 * A renewal does not depend on the serving template, which is replaced as ever if it dies. When ready, the next
 * generation takes over from the template that serves or opens at that time. Under the pool's lock.
 */
#ifndef PINFOLD_RENEWAL_H
#define PINFOLD_RENEWAL_H

#include <pinfold.h>

struct template;

struct renewal {
    char **argv;               /* the next template's command; NULL: no renewal */
    struct template *template; /* OPENING; NULL: none, or not started yet */
    pinfold_error failure;     /* why the last one was dropped; code 0: it was not */
};

/* Start a requested renewal, and end retired templates that have nothing left to do. */
void renewal_pump(struct pinfold_pool *pool);

/* Make the renewal's template, which is ready, the serving one. */
void renewal_take_over(struct pinfold_pool *pool);

/* Drop the renewal: its template cannot start or, with code 0, the pool closes. */
void renewal_drop(struct pinfold_pool *pool, const pinfold_error *failure);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* fork.h - locks every pool of the process while the process forks. */
#ifndef PINFOLD_FORK_H
#define PINFOLD_FORK_H

struct pinfold_pool;

/* Make every fork() wait for the pool's lock until fork_drop(), which must follow even after a failure. -ENOMEM */
int fork_hold(struct pinfold_pool *pool);
void fork_drop(struct pinfold_pool *pool);

#endif

/* fork.h - holds every pool of the process still while the process forks. */
#ifndef PINFOLD_FORK_H
#define PINFOLD_FORK_H

struct pinfold_pool;

/* From now until fork_drop(), which must follow also after a failure, a fork() waits for the pool's lock. -ENOMEM */
int fork_hold(struct pinfold_pool *pool);
void fork_drop(struct pinfold_pool *pool);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* fork.c - locks every pool of the process while the process forks.
 *
 * The kernel copies the descriptor table before the memory (copy_process() in kernel/fork.c), and another thread
 * may open or close descriptors in between. The child's copy of a pool would then name descriptors that are not
 * open there, or soon mean something else. So the forking thread takes the locks under which all descriptors of a
 * pool are opened and closed. pthread_atfork(3) takes no argument, hence the list.
 *
 * The child closes its copies at once, since it cannot use them. While it held them, the guard would not see the
 * end of a parent that dies or executes another program. A child that closes all descriptors by number, as daemons
 * do, and opens others would lose those when its copy of a pool is closed later.
 */
#include "pool/fork.h"

#include <pthread.h>

#include "pool/pool.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static LIST_HEAD(, pinfold_pool) pools = LIST_HEAD_INITIALIZER(pools);

static void pools_lock(void)
{
    struct pinfold_pool *pool;
    pthread_mutex_lock(&lock);
    LIST_FOREACH (pool, &pools, fork_link)
        pthread_mutex_lock(&pool->lock);
}

static void pools_unlock(void)
{
    struct pinfold_pool *pool;
    LIST_FOREACH (pool, &pools, fork_link)
        pthread_mutex_unlock(&pool->lock);
    pthread_mutex_unlock(&lock);
}

static void pools_close_copies(void)
{
    struct pinfold_pool *pool;
    LIST_FOREACH (pool, &pools, fork_link)
        pool_close_copies(pool);
    pools_unlock();
}

static int registered; /* negative errno of the registration, or 0 */

static void register_handlers(void)
{
    registered = -pthread_atfork(pools_lock, pools_unlock, pools_close_copies);
}

int fork_hold(struct pinfold_pool *pool)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, register_handlers);
    pthread_mutex_lock(&lock);
    LIST_INSERT_HEAD(&pools, pool, fork_link);
    pthread_mutex_unlock(&lock);
    return registered;
}

void fork_drop(struct pinfold_pool *pool)
{
    pthread_mutex_lock(&lock);
    LIST_REMOVE(pool, fork_link);
    pthread_mutex_unlock(&lock);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* renewal.c - starts the next generation of the template, and switches to it (renewal.h). */
#include "pool/renewal.h"

#include <unistd.h>

#include "base/error.h"
#include "base/util.h"
#include "pool/pool.h"

int pinfold_pool_renew(pinfold_pool *pool, const char *const *argv, pinfold_error *error)
{
    if (pool->owner != getpid())
        return error_set(error, -ECHILD, "the pool belongs to another process");
    if (!argv || !argv[0] || argv[0][0] != '/')
        return error_set(error, -EINVAL, "argv[0] must be the absolute path of the template's command");
    char **copy = pool_copy_strings(argv);
    if (!copy)
        return error_errno(error, -ENOMEM, "cannot hold the next template's command");
    int r = 0;
    pthread_mutex_lock(&pool->lock);
    if (pool->closing) {
        r = error_set(error, -ESHUTDOWN, "the pool is closed");
    } else if (pool->renewal.argv) {
        r = error_set(error, -EALREADY, "another renewal is under way");
    } else {
        pool->renewal.argv = TAKE_PTR(copy);
        pool->renewal.failure.code = 0;
        reactor_wake(pool);
    }
    pthread_mutex_unlock(&pool->lock);
    pool_free_strings(copy);
    return r;
}

int pinfold_pool_renewal(pinfold_pool *pool, pinfold_error *error)
{
    if (pool->owner != getpid())
        return error_set(error, -ECHILD, "the pool belongs to another process");
    int r = 0;
    pthread_mutex_lock(&pool->lock);
    if (pool->closing) {
        r = error_set(error, -ESHUTDOWN, "the pool is closed");
    } else if (pool->renewal.argv) {
        r = error_set(error, -EINPROGRESS, "the next template is not ready yet");
    } else if ((r = pool->renewal.failure.code) < 0 && error) {
        *error = pool->renewal.failure;
    }
    pthread_mutex_unlock(&pool->lock);
    return r;
}

void renewal_pump(struct pinfold_pool *pool)
{
    struct renewal *renewal = &pool->renewal;
    pinfold_error error;
    if (renewal->argv && !renewal->template && reactor_may_spawn(pool) &&
        template_open(pool, renewal->argv, &renewal->template, &error) < 0 && renewal->argv) {
        error.code = -EIO;
        renewal_drop(pool, &error);
    }
    template_end_retired(pool);
}

void renewal_take_over(struct pinfold_pool *pool)
{
    struct renewal *renewal = &pool->renewal;
    struct template *old = pool->serving;
    pool->serving = TAKE_PTR(renewal->template);
    pool_free_strings(pool->config.argv);
    pool->config.argv = TAKE_PTR(renewal->argv);
    pool->failure.code = 0;
    pool->replace = false;
    pool->generation++;
    if (old && old->open)
        clock_opened(pool, pool->serving);
    if (old)
        template_retire(pool, old);
}

void renewal_drop(struct pinfold_pool *pool, const pinfold_error *failure)
{
    struct renewal *renewal = &pool->renewal;
    renewal->template = NULL;
    pool_free_strings(TAKE_PTR(renewal->argv));
    renewal->failure = *failure;
}

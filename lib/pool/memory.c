/* SPDX-License-Identifier: Apache-2.0 */
/* memory.c - measure the memory of a pool's processes on request: the kernel walks all of it. */
#include <unistd.h>

#include "base/sized.h"
#include "base/util.h"
#include "pool/pool.h"
#include "process/usage.h"

/* List the pids of the pool's workers and, last, of the serving template (0: none). The caller frees *ret_pids. */
static int list_processes(struct pinfold_pool *pool, pid_t **ret_pids, size_t *ret_n)
{
    pthread_mutex_lock(&pool->lock);
    size_t n = 0;
    pid_t *pids = calloc(pool->workers.n + 1, sizeof(*pids));
    uint32_t at = 0;
    for (struct worker *worker; pids && (worker = handle_each(&pool->workers, &at));)
        if (worker->pid && worker->state != WORKER_ENDING)
            pids[n++] = worker->pid;
    if (pids)
        pids[n++] = pool->serving ? pool->serving->pid : 0;
    pthread_mutex_unlock(&pool->lock);
    *ret_pids = pids;
    *ret_n = n;
    return pids ? 0 : -ENOMEM;
}

int pinfold_pool_memory(pinfold_pool *pool, pinfold_memory *ret_memory)
{
    if (sized_check(&ret_memory->size, SIZED_UP_TO(pinfold_memory, workers), sizeof(*ret_memory)) < 0)
        return -EINVAL;
    if (pool->owner != getpid())
        return -ECHILD;
    _cleanup_free_ pid_t *pids = NULL;
    size_t n;
    int r = list_processes(pool, &pids, &n);
    if (r < 0)
        return r;
    pinfold_memory memory = {.workers = 0};
    uint64_t pss_kb, private_kb;
    for (size_t i = 0; i + 1 < n; i++) {
        if (usage_read_memory(pids[i], &pss_kb, &private_kb) < 0)
            continue; /* the process is gone */
        memory.workers++;
        memory.pss_kb += pss_kb;
        memory.private_kb += private_kb;
        if (private_kb > memory.private_most_kb)
            memory.private_most_kb = private_kb;
    }
    if (pids[n - 1] && usage_read_memory(pids[n - 1], &pss_kb, &private_kb) == 0)
        memory.pss_kb += pss_kb;
    sized_write(&ret_memory->size, &memory);
    return 0;
}

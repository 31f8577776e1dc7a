/* SPDX-License-Identifier: Apache-2.0 */
/* inside.c - the part of the rig that examines a pool's internals, and so cannot be linked with the shared
 * library. */
#include <linux/sockios.h>
#include <pthread.h>
#include <sched.h>
#include <sys/ioctl.h>

#include "pool/pool.h"
#include "rig.h"

int peer_of(uint64_t id)
{
    const struct call *call = handle_get(&pool->calls, id);
    return call && call->worker ? call->worker->peer : -1;
}

pid_t wait_for_start(uint64_t id)
{
    pid_t pid = wait_for_hand(id);
    for (int unread = 1; unread > 0; sched_yield()) {
        pthread_mutex_lock(&pool->lock);
        const int peer = peer_of(id);
        if (peer < 0 || ioctl(peer, SIOCOUTQ, &unread) < 0)
            unread = 0;
        pthread_mutex_unlock(&pool->lock);
    }
    return pid;
}

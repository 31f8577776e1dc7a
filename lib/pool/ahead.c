/* SPDX-License-Identifier: Apache-2.0 */
/* ahead.c - hands calls ahead and recalls them (ahead.h). */
#include "pool/ahead.h"

#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "base/util.h"
#include "pool/pool.h"
#include "wire/payload.h"
#include "wire/slate.h"

int ahead_open(struct pinfold_pool *pool, struct worker *worker)
{
    TAILQ_INIT(&worker->ahead.calls);
    if (!(pool->config.flags & PINFOLD_AHEAD) || !pool_reuses(pool) || pool->cpu_slots || pool->cgroup.fd >= 0)
        return 0;
    _cleanup_close_ int fd = -1;
    if (getsockopt(worker->peer, SOL_SOCKET, SO_SNDBUF, &worker->ahead.room, &(socklen_t){sizeof(uint32_t)}) < 0)
        return -errno;
    int r = slate_make(&worker->ahead.slate, &fd);
    return r < 0 ? r : frame_send(worker->peer, PINFOLD_FRAME_SLATE, 0, NULL, NULL, 0, &fd, 1);
}

void ahead_close(struct worker *worker)
{
    slate_unmap(&worker->ahead.slate);
}

void ahead_handed(struct worker *worker)
{
    if (!worker->ahead.slate)
        return;
    slate_open(worker->ahead.slate);
    worker->ahead.taken = slate_taken(worker->ahead.slate);
}

bool ahead_has_taken(const struct worker *worker)
{
    return !worker->ahead.slate || slate_taken(worker->ahead.slate) != worker->ahead.taken;
}

void ahead_reading(const struct worker *worker)
{
    if (worker->ahead.slate)
        slate_reading(worker->ahead.slate);
}

bool ahead_answered(struct worker *worker)
{
    struct call *call = worker->call;
    if (!call->offered)
        return true;
    if (!slate_has_begun(worker->ahead.slate, call->turn))
        return false;
    const int64_t when = slate_begun_at(worker->ahead.slate, call->turn);
    if (when > call->submitted && when <= now_ns())
        call->started = when;
    call->offered = false;
    return true;
}

static void set_hungry(struct pinfold_pool *pool, struct worker *worker, bool hungry)
{
    if (worker->ahead.is_hungry == hungry)
        return;
    worker->ahead.is_hungry = hungry;
    if (hungry)
        TAILQ_INSERT_TAIL(&pool->hungry, worker, ahead.hungry);
    else
        TAILQ_REMOVE(&pool->hungry, worker, ahead.hungry);
}

static void set_loaded(struct pinfold_pool *pool, struct worker *worker, bool loaded)
{
    if (worker->ahead.is_loaded)
        TAILQ_REMOVE(&pool->loaded, worker, ahead.loaded);
    worker->ahead.is_loaded = loaded;
    if (loaded)
        TAILQ_INSERT_TAIL(&pool->loaded, worker, ahead.loaded);
}

/* Return whether no other call may be at its worker. Its limits become the worker's while it runs, or STOP must be
 * the next frame there. */
static bool is_exclusive(const struct call *call)
{
    return limit_any(&call->limits) || call->collects;
}

/* Return whether the call must be handed over alone: also if its descriptors do not fit into the frame. */
static bool stands_alone(const struct call *call)
{
    return is_exclusive(call) || call->spill >= 0;
}

static bool is_young(const struct worker *worker)
{
    const struct call *call = worker->call;
    return call && call->state == CALL_RUNNING && now_ns() - call->started < AHEAD_QUICK_NS;
}

void ahead_begun(struct pinfold_pool *pool, struct worker *worker)
{
    struct ahead *ahead = &worker->ahead;
    set_hungry(pool, worker,
               ahead->slate && ahead->quick && worker->template->state == TEMPLATE_SERVING &&
                   !is_exclusive(worker->call));
    set_loaded(pool, worker, !TAILQ_EMPTY(&ahead->calls));
}

void ahead_idle(struct pinfold_pool *pool, struct worker *worker)
{
    set_hungry(pool, worker, false);
    set_loaded(pool, worker, false);
}

/* A recalled call stays in the socket until the worker reads it, and the largest possible call must still fit
 * behind it. The kernel counts at most twice a frame's size plus its own share. */
static bool has_room(const struct worker *worker, const struct call *call)
{
    int unread;
    return ioctl(worker->peer, SIOCOUTQ, &unread) == 0 &&
           (uint64_t)unread + 2 * (call->payload_size + PINFOLD_PAYLOAD_INLINE_MAX) + 4096 < worker->ahead.room;
}

static bool offer(struct pinfold_pool *pool, struct worker *worker, struct call *call)
{
    struct ahead *ahead = &worker->ahead;
    const struct call *last = TAILQ_EMPTY(&ahead->calls) ? worker->call : TAILQ_LAST(&ahead->calls, call_list);
    const uint32_t most = pool->config.max_calls_per_worker;
    if (last->order > call->order || ahead->n >= AHEAD_DEPTH || pool->n_ahead >= AHEAD_MOST ||
        (most && worker->calls + 1 + ahead->n >= most) || !has_room(worker, call) ||
        !slate_offer(ahead->slate, &call->turn))
        return false;
    if (worker_send(worker, call, PINFOLD_CALL_OFFERED) < 0) {
        slate_retract(ahead->slate);
        return false;
    }
    call->offered = true;
    call->worker = worker;
    worker->handed_last = false;
    call_step(pool, call, CALL_OFFER);
    TAILQ_INSERT_TAIL(&ahead->calls, call, link);
    ahead->n++;
    pool->newest_ahead = call->order;
    if (!ahead->is_loaded)
        set_loaded(pool, worker, true);
    return true;
}

void ahead_fill(struct pinfold_pool *pool)
{
    struct call *call;
    struct worker *worker;
    while ((worker = TAILQ_FIRST(&pool->hungry)) && (call = TAILQ_FIRST(&pool->waiting)) &&
           pool->n_running >= pool->config.max_workers && !stands_alone(call)) {
        set_hungry(pool, worker, false);
        if (is_young(worker) && offer(pool, worker, call))
            set_hungry(pool, worker, true); /* to the end: other workers come first */
    }
}

static void remove_call(struct ahead *ahead, struct call *call)
{
    TAILQ_REMOVE(&ahead->calls, call, link);
    ahead->n--;
}

void ahead_recall(struct pinfold_pool *pool, struct worker *worker)
{
    struct ahead *ahead = &worker->ahead;
    if (!ahead->slate)
        return;
    ahead_idle(pool, worker);
    const uint32_t from = slate_recall(ahead->slate);
    struct call *call;
    while ((call = TAILQ_LAST(&ahead->calls, call_list)) && !slate_is_before(call->turn, from)) {
        remove_call(ahead, call);
        call_return(pool, call);
    }
    call = worker->call;
    if (call && call->state == CALL_RUNNING && call->offered && !slate_is_before(call->turn, from)) {
        worker->call = NULL;
        call_return(pool, call);
        worker_step(pool, worker, WORKER_RETURN);
    }
}

/* Keep calls handed ahead older than waiting calls. Otherwise they would begin before older ones. */
static void keep_order(struct pinfold_pool *pool)
{
    const struct call *call = TAILQ_FIRST(&pool->waiting);
    struct worker *worker;
    while (call && call->order < pool->newest_ahead && (worker = TAILQ_FIRST(&pool->loaded)))
        ahead_recall(pool, worker);
    if (TAILQ_EMPTY(&pool->loaded))
        pool->newest_ahead = 0;
}

void ahead_relieve(struct pinfold_pool *pool)
{
    struct worker *worker;
    while ((worker = TAILQ_FIRST(&pool->loaded)) &&
           ((pool->n_running < pool->config.max_workers && pool->n_waiting == 0) || !is_young(worker)))
        ahead_recall(pool, worker);
    keep_order(pool);
}

void ahead_settle(struct pinfold_pool *pool, struct worker *worker)
{
    const uint64_t number = worker->number;
    ahead_recall(pool, worker);
    for (struct call *next;
         (worker = handle_get(&pool->workers, number)) && (next = TAILQ_FIRST(&worker->ahead.calls));) {
        worker_receive(pool, worker);
        if (handle_get(&pool->workers, number) && TAILQ_FIRST(&worker->ahead.calls) == next) {
            worker_damaged(pool, worker, -EPROTO, "it began a call before it had answered the one before");
            return;
        }
    }
}

bool ahead_promote(struct pinfold_pool *pool, struct worker *worker)
{
    struct call *call = TAILQ_FIRST(&worker->ahead.calls);
    if (!call)
        return false;
    remove_call(&worker->ahead, call);
    worker_begin(pool, worker, call);
    return true;
}

bool ahead_has_next(const struct worker *worker)
{
    const struct call *next = TAILQ_FIRST(&worker->ahead.calls);
    return next && slate_has_begun(worker->ahead.slate, next->turn);
}

void ahead_abandon(struct pinfold_pool *pool, struct worker *worker)
{
    ahead_recall(pool, worker);
    struct call *call;
    while ((call = TAILQ_FIRST(&worker->ahead.calls))) {
        remove_call(&worker->ahead, call);
        call->worker = NULL;
        call_step(pool, call, CALL_LOST);
    }
}

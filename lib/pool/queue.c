/* SPDX-License-Identifier: Apache-2.0 */
/* queue.c - where finished calls wait until their results are taken. */
#include <linux/futex.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>

#include "base/util.h"
#include "pool/pool.h"

int queue_init(struct pinfold_pool *pool, struct pinfold_queue *queue)
{
    queue->pool = pool;
    TAILQ_INIT(&queue->done);
    queue->notify = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return queue->notify < 0 ? -errno : 0;
}

void queue_destroy(struct pinfold_queue *queue)
{
    struct call *call;
    while ((call = TAILQ_FIRST(&queue->done))) {
        TAILQ_REMOVE(&queue->done, call, link);
        call_free(queue->pool, call);
    }
    close_fd(&queue->notify);
}

void queue_refresh(struct pinfold_queue *queue)
{
    bool wanted = !TAILQ_EMPTY(&queue->done) || queue->interrupted ||
                  (queue == &queue->pool->queue && !STAILQ_EMPTY(&queue->pool->events));
    if (wanted == queue->raised)
        return;
    uint64_t count = 1;
    ssize_t done =
        wanted ? write(queue->notify, &count, sizeof(count)) : read(queue->notify, &count, sizeof(count));
    (void)done; /* cannot fail: an eventfd refuses only if full, and is empty only if not raised */
    queue->raised = wanted;
}

static long futex(_Atomic uint32_t *word, int operation, uint32_t value, const struct timespec *until)
{
    return syscall(SYS_futex, word, operation | FUTEX_PRIVATE_FLAG, value, until, NULL, FUTEX_BITSET_MATCH_ANY);
}

void queue_wake(struct waiter *waiter)
{
    _Atomic uint32_t *word = &waiter->woken;
    atomic_fetch_add(word, 1);
    /* The waiter may be gone by now. Then nobody sleeps at this address, or a sleeper that checks again. */
    (void)futex(word, FUTEX_WAKE, 1, NULL);
}

/* Sleep until the waiter was woken more than `times` times, or `until` (CLOCK_MONOTONIC; NULL: for ever).
 * -EINTR, -ETIMEDOUT */
static int sleep_until(struct waiter *waiter, uint32_t times, const struct timespec *until)
{
    for (uint32_t now; (now = atomic_load(&waiter->woken)) <= times;)
        if (futex(&waiter->woken, FUTEX_WAIT_BITSET, now, until) < 0 && errno != EAGAIN)
            return -errno;
    return 0;
}

/* Wake the waiter, now or after the event thread releases the lock. */
static void rouse(struct pinfold_pool *pool, struct waiter *waiter)
{
    waiter->over = true;
    if (waiter == pool->leader) {
        reactor_wake_leader(pool);
        return;
    }
    waiter->wakes++;
    if (pool->reacting)
        SLIST_INSERT_HEAD(&pool->awaited, waiter, link);
    else
        queue_wake(waiter);
}

void queue_push(struct pinfold_queue *queue, struct call *call)
{
    TAILQ_INSERT_TAIL(&queue->done, call, link);
    if (call->waiter)
        rouse(queue->pool, call->waiter); /* the waiter takes the call out of the queue by itself */
    else
        queue_refresh(queue);
}

/* Take the call out of its queue and its result out of the call. */
static pinfold_result *queue_take_result(struct pinfold_queue *queue, struct call *call)
{
    TAILQ_REMOVE(&queue->done, call, link);
    queue_refresh(queue);
    pinfold_result *result = &TAKE_PTR(call->result)->public;
    call_free(queue->pool, call);
    return result;
}

static int queue_next(struct pinfold_queue *queue, pinfold_result **ret_result)
{
    struct pinfold_pool *pool = queue->pool;
    if (pool->owner != getpid())
        return -ECHILD;
    pthread_mutex_lock(&pool->lock);
    struct call *call = TAILQ_FIRST(&queue->done);
    while (call && call->waiter) /* a thread was woken for this one and will take it */
        call = TAILQ_NEXT(call, link);
    int r = call ? 0 : queue->interrupted ? -ESHUTDOWN : -EAGAIN;
    if (call)
        *ret_result = queue_take_result(queue, call);
    pthread_mutex_unlock(&pool->lock);
    return r;
}

int pinfold_queue_next(pinfold_queue *queue, pinfold_result **ret_result)
{
    int r = queue_next(queue, ret_result);
    return r == -ESHUTDOWN ? -EAGAIN : r;
}

int pinfold_pool_next(pinfold_pool *pool, pinfold_result **ret_result)
{
    return pinfold_queue_next(&pool->queue, ret_result);
}

int pinfold_queue_wait(pinfold_queue *queue, int64_t timeout_ns, pinfold_result **ret_result)
{
    int64_t until = time_add(now_ns(), timeout_ns > 0 ? timeout_ns : 0);
    for (;;) {
        int r = queue_next(queue, ret_result);
        if (r != -EAGAIN)
            return r;
        int64_t left = until - now_ns();
        if (left <= 0)
            return -ETIMEDOUT;
        struct timespec most = timespec_of(left);
        struct pollfd watched = {.fd = queue->notify, .events = POLLIN};
        if (ppoll(&watched, 1, until == INT64_MAX ? NULL : &most, NULL) < 0)
            return -errno;
    }
}

/* With a new worker for each call there are more events than results, which would wake both threads in turn. */
static bool may_lead(const struct pinfold_pool *pool)
{
    return pool_reuses(pool) && !pool->leader && !pool->closing;
}

int pinfold_pool_wait(pinfold_pool *pool, uint64_t id, int64_t timeout_ns, pinfold_result **ret_result)
{
    if (pool->owner != getpid())
        return -ECHILD;
    int64_t until = time_add(now_ns(), timeout_ns > 0 ? timeout_ns : 0);
    struct timespec absolute = timespec_of(until);
    struct waiter waiter = {.wakes = 0};

    pthread_mutex_lock(&pool->lock);
    struct call *call = handle_get(&pool->calls, id);
    int r = !call || !call->queue ? -ENOENT : call->waiter ? -EBUSY : 0;
    if (r == 0 && call->state != CALL_DONE) {
        call->waiter = &waiter;
        if (may_lead(pool)) {
            r = reactor_lead(pool, &waiter, until);
        } else {
            pthread_mutex_unlock(&pool->lock);
            r = sleep_until(&waiter, 0, until == INT64_MAX ? NULL : &absolute);
            pthread_mutex_lock(&pool->lock);
        }
        /* Nobody else can have taken the call while `waiter` was set, but its queue may have been closed. */
        call = handle_get(&pool->calls, id);
        if (call)
            call->waiter = NULL;
        if (!call || !call->queue)
            r = -ENOENT;
        else if (call->state == CALL_DONE)
            r = 0;
    }
    if (r == 0)
        *ret_result = queue_take_result(call->queue, call);
    reactor_unlock(pool);
    while (waiter.wakes > 0 && sleep_until(&waiter, waiter.wakes - 1, NULL) < 0)
        ;
    return r;
}

int pinfold_pool_notify_fd(pinfold_pool *pool)
{
    return pinfold_queue_fd(&pool->queue);
}

int pinfold_queue_fd(pinfold_queue *queue)
{
    return queue->pool->owner == getpid() ? queue->notify : -ECHILD;
}

int pinfold_queue_open(pinfold_pool *pool, pinfold_queue **ret_queue)
{
    if (pool->owner != getpid())
        return -ECHILD;
    struct pinfold_queue *queue = calloc(1, sizeof(*queue));
    if (!queue)
        return -ENOMEM;
    int r = queue_init(pool, queue);
    if (r < 0) {
        free(queue);
        return r;
    }
    pthread_mutex_lock(&pool->lock);
    TAILQ_INSERT_TAIL(&pool->queues, queue, link);
    pthread_mutex_unlock(&pool->lock);
    *ret_queue = queue;
    return 0;
}

void pinfold_queue_interrupt(pinfold_queue *queue)
{
    if (queue->pool->owner != getpid())
        return;
    pthread_mutex_lock(&queue->pool->lock);
    queue->interrupted = true;
    queue_refresh(queue);
    pthread_mutex_unlock(&queue->pool->lock);
}

void pinfold_queue_close(pinfold_queue *queue)
{
    if (!queue)
        return;
    struct pinfold_pool *pool = queue->pool;
    pthread_mutex_lock(&pool->lock);
    TAILQ_REMOVE(&pool->queues, queue, link);
    uint32_t at = 0;
    for (struct call *call; (call = handle_each(&pool->calls, &at));) {
        if (call->queue != queue)
            continue;
        if (call->waiter) /* the waiter will find the call gone, or without a queue */
            rouse(pool, call->waiter);
        if (call->state != CALL_DONE)
            call->queue = NULL;
    }
    queue_destroy(queue);
    pthread_mutex_unlock(&pool->lock);
    free(queue);
}

/* queue.c - where finished calls wait for somebody to take them. */
#include <poll.h>
#include <sys/eventfd.h>

#include "pool.h"
#include "util.h"

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
    (void)done; /* an eventfd that is not full cannot refuse, one that is raised cannot be empty */
    queue->raised = wanted;
}

void queue_push(struct pinfold_queue *queue, struct call *call)
{
    TAILQ_INSERT_TAIL(&queue->done, call, link);
    if (call->waiter)
        sem_post(&call->waiter->woken); /* it takes the call out of the line by itself */
    else
        queue_refresh(queue);
}

/* Takes the call out of its line and its result out of the call. */
static pinfold_result *take(struct pinfold_queue *queue, struct call *call)
{
    TAILQ_REMOVE(&queue->done, call, link);
    queue_refresh(queue);
    pinfold_result *result = &TAKE_PTR(call->result)->told;
    call_free(queue->pool, call);
    return result;
}

static int next(struct pinfold_queue *queue, pinfold_result **ret_result)
{
    struct pinfold_pool *pool = queue->pool;
    if (pool->owner != getpid())
        return -ECHILD;
    pthread_mutex_lock(&pool->lock);
    struct call *call = TAILQ_FIRST(&queue->done);
    while (call && call->waiter) /* somebody woke up for this one and is on the way */
        call = TAILQ_NEXT(call, link);
    int r = call ? 0 : queue->interrupted ? -ESHUTDOWN : -EAGAIN;
    if (call)
        *ret_result = take(queue, call);
    pthread_mutex_unlock(&pool->lock);
    return r;
}

int pinfold_queue_next(pinfold_queue *queue, pinfold_result **ret_result)
{
    int r = next(queue, ret_result);
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
        int r = next(queue, ret_result);
        if (r != -EAGAIN)
            return r;
        int64_t left = until - now_ns();
        if (left <= 0)
            return -ETIMEDOUT;
        struct timespec most = {.tv_sec = left / NS_PER_S, .tv_nsec = left % NS_PER_S};
        struct pollfd watched = {.fd = queue->notify, .events = POLLIN};
        if (ppoll(&watched, 1, until == INT64_MAX ? NULL : &most, NULL) < 0)
            return -errno;
    }
}

int pinfold_pool_wait(pinfold_pool *pool, uint64_t id, int64_t timeout_ns, pinfold_result **ret_result)
{
    if (pool->owner != getpid())
        return -ECHILD;
    int64_t until = time_add(now_ns(), timeout_ns > 0 ? timeout_ns : 0);
    struct timespec absolute = {.tv_sec = until / NS_PER_S, .tv_nsec = until % NS_PER_S};
    struct waiter waiter;
    sem_init(&waiter.woken, 0, 0);

    pthread_mutex_lock(&pool->lock);
    struct call *call = handle_get(&pool->calls, id);
    int r = !call || !call->queue ? -ENOENT : call->waiter ? -EBUSY : 0;
    if (r == 0 && call->state != CALL_DONE) {
        call->waiter = &waiter;
        pthread_mutex_unlock(&pool->lock);
        r = sem_clockwait(&waiter.woken, CLOCK_MONOTONIC, &absolute) < 0 ? -errno : 0;
        pthread_mutex_lock(&pool->lock);
        /* Nobody else can have taken the call while `waiter` stood in it, but its queue may have been closed. */
        call = handle_get(&pool->calls, id);
        if (call)
            call->waiter = NULL;
        if (!call || !call->queue)
            r = -ENOENT;
        else if (call->state == CALL_DONE)
            r = 0;
    }
    if (r == 0)
        *ret_result = take(call->queue, call);
    pthread_mutex_unlock(&pool->lock);
    sem_destroy(&waiter.woken);
    return r;
}

int pinfold_pool_notify_fd(pinfold_pool *pool)
{
    return pool->queue.notify;
}

int pinfold_queue_fd(pinfold_queue *queue)
{
    return queue->notify;
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
        if (call->waiter) /* it finds the call without a queue, or gone */
            sem_post(&call->waiter->woken);
        if (call->state != CALL_DONE)
            call->queue = NULL;
    }
    queue_destroy(queue);
    pthread_mutex_unlock(&pool->lock);
    free(queue);
}

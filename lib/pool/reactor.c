/* SPDX-License-Identifier: Apache-2.0 */
/* reactor.c - the pool's thread: it owns every descriptor and timer, and blocks only on them. A caller's thread
 * that waits for a call may do a part of its work (reactor_lead). */
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>

#include "base/error.h"
#include "base/util.h"
#include "pool/pool.h"

#define STACK_SIZE (256 * 1024)
#define EVENTS_AT_ONCE 64

/* The data of an event: a handle, and in the low three bits its table and the source. A handle is never 0,
 * which stands for the reactor's own descriptors. */
enum own_source { OWN_WAKE, OWN_TIMER };

static struct epoll_event watched(const struct pinfold_pool *pool, uint32_t events,
                                  const struct handle_table *table, unsigned source, uint64_t handle)
{
    const uint64_t templates = table == &pool->templates;
    return (struct epoll_event){.events = events, .data.u64 = handle << 3 | templates << 2 | source};
}

int reactor_watch(struct pinfold_pool *pool, int fd, uint32_t events, const struct handle_table *table,
                  unsigned source, uint64_t handle)
{
    struct epoll_event event = watched(pool, events, table, source, handle);
    return epoll_ctl(pool->epoll, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

void reactor_again(struct pinfold_pool *pool, int fd, uint32_t events, const struct handle_table *table,
                   unsigned source, uint64_t handle)
{
    struct epoll_event event = watched(pool, events, table, source, handle);
    (void)epoll_ctl(pool->epoll, EPOLL_CTL_MOD, fd, &event); /* the descriptor is already watched */
}

void reactor_forget(struct pinfold_pool *pool, int fd)
{
    if (fd >= 0)
        (void)epoll_ctl(pool->epoll, EPOLL_CTL_DEL, fd, NULL); /* ENOENT: it was not watched */
}

void reactor_close(struct pinfold_pool *pool, int *fd)
{
    reactor_forget(pool, *fd);
    close_fd(fd);
}

void reactor_hang_up(struct pinfold_pool *pool, int *socket)
{
    if (*socket >= 0)
        (void)shutdown(*socket, SHUT_RDWR); /* ENOTCONN: the peer is gone */
    reactor_close(pool, socket);
}

void reactor_wake(struct pinfold_pool *pool)
{
    if (pool->woken)
        return;
    uint64_t one = 1;
    pool->woken = write(pool->wake, &one, sizeof(one)) == sizeof(one);
}

static void arm(struct pinfold_pool *pool)
{
    struct deadline *first = deadline_first(&pool->deadlines);
    /* A timer that goes off too early costs one look; only one that would go off too late must be moved. */
    if (!first || first->due >= pool->armed)
        return;
    int64_t due = first->due > 0 ? first->due : 1;
    struct itimerspec at = {.it_value = {.tv_sec = due / NS_PER_S, .tv_nsec = due % NS_PER_S}};
    if (timerfd_settime(pool->timer, TFD_TIMER_ABSTIME, &at, NULL) == 0)
        pool->armed = due;
}

void reactor_set(struct pinfold_pool *pool, struct deadline *deadline, int64_t due)
{
    deadline_set(&pool->deadlines, deadline, due);
    arm(pool);
}

void reactor_drop(struct pinfold_pool *pool, struct deadline *deadline)
{
    deadline_drop(&pool->deadlines, deadline);
}

static void run_deadlines(struct pinfold_pool *pool)
{
    uint64_t count;
    ssize_t done = read(pool->timer, &count, sizeof(count));
    (void)done;
    pool->armed = INT64_MAX;
    int64_t now = now_ns();
    struct deadline *first;
    while ((first = deadline_first(&pool->deadlines)) && first->due <= now) {
        deadline_drop(&pool->deadlines, first);
        first->passed(pool, first);
    }
    arm(pool);
}

static void own_ready(struct pinfold_pool *pool, enum own_source source)
{
    if (source == OWN_TIMER) {
        run_deadlines(pool);
        return;
    }
    uint64_t count;
    ssize_t done = read(pool->wake, &count, sizeof(count));
    (void)done;
    pool->woken = false;
    pool->called = true;
}

/* A readable descriptor may belong to an object that an earlier event has freed. Its handle then finds nothing. */
static void dispatch(struct pinfold_pool *pool, uint64_t data)
{
    const unsigned source = data & (WATCH_SOURCES - 1);
    const uint64_t handle = data >> 3;
    if (handle == 0) {
        own_ready(pool, (enum own_source)source);
        return;
    }
    const struct handle_table *table = data & WATCH_SOURCES ? &pool->templates : &pool->workers;
    void *object = handle_get(table, handle);
    if (object)
        table->ready(pool, object, source);
}

static void wake_all(struct waiters *awaited)
{
    struct waiter *waiter;
    while ((waiter = SLIST_FIRST(awaited))) {
        SLIST_REMOVE_HEAD(awaited, link); /* the waiter is gone as soon as it is woken */
        queue_wake(waiter);
    }
}

void reactor_unlock(struct pinfold_pool *pool)
{
    struct waiters awaited = pool->awaited;
    SLIST_INIT(&pool->awaited);
    pool->reacting = false;
    pthread_mutex_unlock(&pool->lock);
    wake_all(&awaited);
}

/* Handle these events, with the lock held. */
static void events_take(struct pinfold_pool *pool, const struct epoll_event *events, int n)
{
    pool->reacting = true;
    for (int i = 0; i < n; i++)
        dispatch(pool, events[i].data.u64);
    if (pool->closing)
        pool_end(pool);
    else if (!pool->leading || pool->called) /* the leader pumps only if it consumed the reactor's wake-up */
        pool_pump(pool);
    else if (!pool_hand_on(pool))
        reactor_wake(pool);
    pool->called = false;
}

static void *reactor_run(void *data)
{
    struct pinfold_pool *pool = data;
    for (bool ended = false; !ended;) {
        struct epoll_event events[EVENTS_AT_ONCE];
        int n = epoll_wait(pool->epoll, events, EVENTS_AT_ONCE, -1);
        pthread_mutex_lock(&pool->lock);
        events_take(pool, events, n);
        ended = pool->closing && TAILQ_EMPTY(&pool->template_list);
        if (ended) {
            pool->closed = true;
            pthread_cond_broadcast(&pool->ended);
        }
        /* The event that woke this thread may have been meant for the leader. */
        if (pool->leader && pool->leader->over)
            reactor_wake(pool);
        reactor_unlock(pool);
    }
    return NULL;
}

/* Of two threads that wait at one epoll(7), the one that came last is woken, so the leader gets the events. */
int reactor_lead(struct pinfold_pool *pool, struct waiter *waiter, int64_t until)
{
    int r = 0;
    pool->leader = waiter;
    while (!waiter->over && r == 0) {
        int64_t left = until == INT64_MAX ? INT64_MAX : until - now_ns();
        int wait_ms = left == INT64_MAX                 ? -1
                      : left >= INT_MAX / 2 * NS_PER_MS ? INT_MAX / 2
                                                        : (int)((left + NS_PER_MS - 1) / NS_PER_MS);
        struct epoll_event events[EVENTS_AT_ONCE];
        reactor_unlock(pool);
        int n = left > 0 ? epoll_wait(pool->epoll, events, EVENTS_AT_ONCE, wait_ms) : 0;
        r = n < 0 ? -errno : left <= 0 ? -ETIMEDOUT : 0;
        pthread_mutex_lock(&pool->lock);
        pool->leading = true;
        events_take(pool, events, n);
        pool->leading = false;
        if (pool->closing) /* the reactor must see the end */
            reactor_wake(pool);
    }
    pool->leader = NULL;
    return waiter->over ? 0 : r;
}

bool reactor_may_spawn(struct pinfold_pool *pool)
{
    if (pool->leading)
        reactor_wake(pool);
    return !pool->leading;
}

void reactor_wake_leader(struct pinfold_pool *pool)
{
    if (!pool->leading)
        reactor_wake(pool);
}

int reactor_start(struct pinfold_pool *pool, pinfold_error *error)
{
    int r = reactor_watch(pool, pool->wake, EPOLLIN, NULL, OWN_WAKE, 0);
    if (r == 0)
        r = reactor_watch(pool, pool->timer, EPOLLIN, NULL, OWN_TIMER, 0);
    if (r < 0)
        return error_errno(error, r, "cannot watch the pool's own descriptors");

    /* Block all signals in this thread: they belong to the host program. */
    sigset_t all, before;
    sigfillset(&all);
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK_SIZE);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    r = pthread_create(&pool->reactor, &attributes, reactor_run, pool);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    if (r)
        return error_errno(error, -r, "cannot start the pool's thread");
    pthread_setname_np(pool->reactor, "pinfold");
    pool->reactor_runs = true;
    return 0;
}

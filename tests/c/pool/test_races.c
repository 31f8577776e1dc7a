/* SPDX-License-Identifier: Apache-2.0 */
/* Sixteen threads at three pools that do everything the interface allows at once: submit, cancel, wait, watch,
 * use queues of their own and shared ones, shut a pool down under the others, close it and open the next. A
 * test under any compiler, and meant for ThreadSanitizer: `make test-tsan`. PINFOLD_RACES is how much each
 * thread does. */
#include "rig.h"

#include <pthread.h>
#include <stdatomic.h>

#define THREADS 16
#define POOLS 3
#define WORKERS 3
#define STEPS 24 /* of each thread, unless PINFOLD_RACES is set */

/* A pool and one of its queues, shared by all threads. Users hold the lock for reading, which orders no two
 * readers; a thread that closes them holds it for writing. */
static struct shared_pool {
    pthread_rwlock_t lock;
    pinfold_pool *pool;
    pinfold_queue *queue;
    atomic_ulong accepted, delivered; /* calls whose results must come */
} shared_pools[POOLS];

static pinfold_config usual;

static void open_shared_pool(struct shared_pool *shared, uint32_t isolation)
{
    pinfold_config config = usual;
    config.isolation = isolation;
    pinfold_error error;
    EXPECT(pinfold_pool_open(&config, &shared->pool, &error) == 0);
    EXPECT(pinfold_queue_open(shared->pool, &shared->queue) == 0);
    shared->accepted = shared->delivered = 0;
}

/* Submit a call that ends by itself or by its deadline. Return 0 or -ESHUTDOWN. Counted if its result will be
 * taken. */
static int ask(struct shared_pool *shared, pinfold_queue *queue, uint64_t *seed, bool counted, uint64_t *ret_id)
{
    static const struct {
        const char *function, *argument;
        int64_t deadline_ns;
    } kinds[] = {
        {"upper", "x", BOUND},    {"upper", "y", BOUND}, {"big", "100000", BOUND},  {"fail", "", BOUND},
        {"print", "5000", BOUND}, {"exit", "3", BOUND},  {"spin", "", SECOND / 50}, {"crash", "9", BOUND},
    };
    static char large[100000];
    size_t kind = random_below(seed, COUNT_OF(kinds));
    const struct iovec segments[] = {
        {(void *)kinds[kind].function, strlen(kinds[kind].function)},
        {(void *)kinds[kind].argument, strlen(kinds[kind].argument)},
        {large, random_below(seed, 4) ? 0 : sizeof(large)},
    };
    pinfold_call call = {
        .size = sizeof(call),
        .segments = segments,
        .n_segments = 3,
        .deadline_ns = kinds[kind].deadline_ns,
        .memory_bytes = random_below(seed, 4) ? 0 : UINT64_C(1) << 30,
        .queue = queue,
    };
    if (counted)
        shared->accepted++;
    int r = pinfold_pool_submit(shared->pool, &call, ret_id, NULL);
    EXPECT(r == 0 || r == -ESHUTDOWN);
    if (r < 0 && counted)
        shared->accepted--;
    return r;
}

static void check_and_free(struct shared_pool *shared, pinfold_result *result)
{
    EXPECT(result->outcome < PINFOLD_OUTCOMES && result->outcome != PINFOLD_BAD_RESULT);
    EXPECT(result->outcome != PINFOLD_INTERNAL && result->outcome != PINFOLD_LOST);
    pinfold_result_free(result);
    shared->delivered++;
}

static void wait_for_one(struct shared_pool *shared, uint64_t *seed)
{
    uint64_t id;
    pinfold_result *result;
    if (ask(shared, NULL, seed, true, &id) < 0)
        return;
    if (random_below(seed, 3) == 0) {
        int r = pinfold_pool_cancel(shared->pool, id);
        EXPECT(r == 0 || r == -ENOENT);
    }
    int r = wait_for(shared->pool, id, random_below(seed, 3) ? BOUND : SECOND / 1000, &result);
    EXPECT(r == 0 || r == -ETIMEDOUT || r == -ENOENT); /* -ENOENT: another thread emptied the pool's queue */
    if (r == 0)
        check_and_free(shared, result);
}

/* Take results that other threads did not wait for, or are about to wait for. */
static void empty_the_pools_queue(struct shared_pool *shared)
{
    pinfold_result *result;
    while (pinfold_pool_next(shared->pool, &result) == 0)
        check_and_free(shared, result);
}

static void use_an_own_queue(struct shared_pool *shared, uint64_t *seed)
{
    pinfold_queue *queue;
    pinfold_result *result;
    uint64_t ids[3];
    int n = 0;
    EXPECT(pinfold_queue_open(shared->pool, &queue) == 0);
    bool seen = random_below(seed, 2); /* otherwise it is closed while calls run */
    while (n < 3 && ask(shared, queue, seed, seen, &ids[n]) == 0)
        n++;
    if (n > 0 && random_below(seed, 2))
        pinfold_pool_cancel(shared->pool, ids[n - 1]);
    for (int i = 0; seen && i < n; i++) {
        EXPECT(pinfold_queue_wait(queue, BOUND, &result) == 0);
        check_and_free(shared, result);
    }
    pinfold_queue_close(queue);
}

static void use_the_shared_queue(struct shared_pool *shared, uint64_t *seed)
{
    uint64_t id;
    pinfold_result *result;
    if (ask(shared, shared->queue, seed, true, &id) == 0 && random_below(seed, 2))
        pinfold_pool_cancel(shared->pool, id);
    if (random_below(seed, 8) == 0)
        pinfold_queue_interrupt(shared->queue);
    int r = random_below(seed, 2) ? pinfold_queue_next(shared->queue, &result)
                                  : pinfold_queue_wait(shared->queue, SECOND / 100, &result);
    EXPECT(r == 0 || r == -EAGAIN || r == -ETIMEDOUT || r == -ESHUTDOWN);
    if (r == 0)
        check_and_free(shared, result);
}

static void look_on(struct shared_pool *shared)
{
    pinfold_stats now = {.size = sizeof(now)};
    pinfold_event event;
    EXPECT(pinfold_pool_stats(shared->pool, &now) == 0 && now.running <= WORKERS);
    while (pinfold_pool_next_event(shared->pool, &event) == 0)
        ;
    EXPECT(pinfold_pool_notify_fd(shared->pool) >= 0 && pinfold_queue_fd(shared->queue) >= 0);
    int r = pinfold_pool_wait_ready(shared->pool, 0, NULL);
    EXPECT(r == 0 || r == -ETIMEDOUT || r == -ESHUTDOWN);
    EXPECT(pinfold_pool_watch(shared->pool) == 0);
}

/* Renew the template, while calls run. */
static void renew(struct shared_pool *shared)
{
    int r = pinfold_pool_renew(shared->pool, usual.argv, NULL);
    EXPECT(r == 0 || r == -EALREADY || r == -ESHUTDOWN);
    r = pinfold_pool_renewal(shared->pool, NULL);
    EXPECT(r == 0 || r == -EINPROGRESS || r == -ESHUTDOWN);
}

/* Replace a pool. After its shutdown every accepted call has ended, and each result is delivered once. */
static void replace(struct shared_pool *shared, uint32_t isolation)
{
    pinfold_result *result;
    pthread_rwlock_wrlock(&shared->lock);
    EXPECT(pinfold_pool_shutdown(shared->pool) == 0);
    empty_the_pools_queue(shared);
    while (pinfold_queue_next(shared->queue, &result) == 0)
        check_and_free(shared, result);
    EXPECT(shared->delivered == shared->accepted);
    pinfold_queue_close(shared->queue);
    pinfold_pool_close(shared->pool);
    open_shared_pool(shared, isolation);
    pthread_rwlock_unlock(&shared->lock);
}

static long steps;

static void *work(void *data)
{
    uint64_t seed = (uintptr_t)data + 1;
    for (long i = 0; i < steps; i++) {
        struct shared_pool *shared = &shared_pools[random_below(&seed, POOLS)];
        uint32_t what = random_below(&seed, 64);
        pthread_rwlock_rdlock(&shared->lock);
        if (what == 0)
            EXPECT(pinfold_pool_shutdown(shared->pool) == 0);
        else if (what < 3)
            renew(shared);
        else if (what < 24)
            wait_for_one(shared, &seed);
        else if (what < 40)
            use_the_shared_queue(shared, &seed);
        else if (what < 48)
            use_an_own_queue(shared, &seed);
        else if (what < 60)
            look_on(shared);
        else
            empty_the_pools_queue(shared);
        pthread_rwlock_unlock(&shared->lock);
        if (what == 0)
            replace(shared, random_below(&seed, PINFOLD_SPAWN + 1));
    }
    return NULL;
}

static void test_sixteen_threads_do_all_that_is_allowed_at_once(void **state)
{
    (void)state;
    const char *asked = getenv("PINFOLD_RACES");
    steps = asked ? strtol(asked, NULL, 10) : STEPS;
    failures = 0;
    usual = rig_config(NULL);
    usual.max_workers = WORKERS;
    usual.flags |= PINFOLD_AHEAD;
    pthread_rwlockattr_t fair;
    pthread_rwlockattr_init(&fair);
    pthread_rwlockattr_setkind_np(&fair, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    for (uint32_t i = 0; i < POOLS; i++) {
        pthread_rwlock_init(&shared_pools[i].lock, &fair);
        open_shared_pool(&shared_pools[i], i);
    }
    pthread_t threads[THREADS];
    for (uintptr_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, work, (void *)i), 0);
    for (size_t i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    for (uint32_t i = 0; i < POOLS; i++) {
        replace(&shared_pools[i], PINFOLD_FRESH); /* once more, for its count */
        pinfold_queue_close(shared_pools[i].queue);
        pinfold_pool_close(shared_pools[i].pool);
        pthread_rwlock_destroy(&shared_pools[i].lock);
    }
    pthread_rwlockattr_destroy(&fair);
    assert_int_equal(failures, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        POOL_TEST(test_sixteen_threads_do_all_that_is_allowed_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

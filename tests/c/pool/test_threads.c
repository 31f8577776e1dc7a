/* SPDX-License-Identifier: Apache-2.0 */
/* Many threads at one pool. Meant for ThreadSanitizer, too: `meson setup -Db_sanitize=thread`. */
#include "rig.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>

#define THREADS 8
#define CALLS 150

static atomic_bool stop;
static atomic_ulong accepted, taken;

static const struct {
    const char *function, *argument;
    uint32_t outcome;
} kinds[] = {
    {"upper", "x", PINFOLD_OK},    {"big", "100000", PINFOLD_OK},       {"fail", "", PINFOLD_EXCEPTION},
    {"exit", "3", PINFOLD_EXITED}, {"crash", "9", PINFOLD_SIGNALLED},   {"wrong_id", "", PINFOLD_BAD_RESULT},
    {"print", "5000", PINFOLD_OK}, {"leave_and", "return", PINFOLD_OK},
};

static void check(const pinfold_result *result, size_t kind)
{
    taken++;
    EXPECT(result->outcome == kinds[kind].outcome);
    if (result->outcome != kinds[kind].outcome)
        fprintf(stderr, "%s: %s: %s\n", kinds[kind].function, pinfold_outcome_name(result->outcome),
                result->reason);
}

/* Run one call after another with pinfold_pool_wait. */
static void *wait_for_each(void *data)
{
    uint64_t seed = (uintptr_t)data + 1;
    for (int i = 0; i < CALLS; i++) {
        size_t kind = random_below(&seed, COUNT_OF(kinds));
        uint64_t id;
        pinfold_result *result;
        EXPECT(try_submit(NULL, kinds[kind].function, kinds[kind].argument, BOUND, &id, NULL) == 0);
        accepted++;
        EXPECT(wait_for(pool, id, BOUND, &result) == 0);
        check(result, kind);
        EXPECT(pinfold_pool_wait(pool, id, 0, &result) == -ENOENT);
        pinfold_result_free(result);
    }
    return NULL;
}

/* Run a dozen at a time through a queue of its own; the tag says what should come. */
static void *take_from_a_queue(void *data)
{
    uint64_t seed = (uintptr_t)data + 1;
    pinfold_queue *queue;
    EXPECT(pinfold_queue_open(pool, &queue) == 0);
    for (int i = 0; i < CALLS / 12; i++) {
        for (int k = 0; k < 12; k++) {
            size_t kind = random_below(&seed, COUNT_OF(kinds));
            const struct iovec segments[] = {
                {(void *)kinds[kind].function, strlen(kinds[kind].function)},
                {(void *)kinds[kind].argument, strlen(kinds[kind].argument)},
            };
            pinfold_call call = {.size = sizeof(call),
                                 .segments = segments,
                                 .n_segments = 2,
                                 .deadline_ns = BOUND,
                                 .queue = queue,
                                 .tag = (void *)kind};
            uint64_t id;
            EXPECT(pinfold_pool_submit(pool, &call, &id, NULL) == 0);
            accepted++;
        }
        for (int k = 0; k < 12; k++) {
            pinfold_result *result;
            EXPECT(pinfold_queue_wait(queue, BOUND, &result) == 0);
            check(result, (size_t)result->tag);
            pinfold_result_free(result);
        }
    }
    pinfold_queue_close(queue);
    return NULL;
}

/* Submit endless calls and cancel them while they wait or run, by this thread or by their deadline. */
static void *cancel_each(void *data)
{
    uint64_t seed = (uintptr_t)data + 1;
    for (int i = 0; i < CALLS; i++) {
        uint64_t id;
        pinfold_result *result;
        bool quick = random_below(&seed, 2);
        EXPECT(try_submit(NULL, quick ? "upper" : "spin", "x", BOUND, &id, NULL) == 0);
        accepted++;
        for (uint32_t k = random_below(&seed, 2000); k > 0; k--)
            atomic_signal_fence(memory_order_seq_cst); /* to vary the moment */
        int r = pinfold_pool_cancel(pool, id);
        EXPECT(r == 0 || (r == -ENOENT && quick));
        EXPECT(wait_for(pool, id, BOUND, &result) == 0);
        EXPECT(result->outcome == (r == 0 ? PINFOLD_CANCELLED : PINFOLD_OK));
        EXPECT(pinfold_pool_cancel(pool, id) == -ENOENT);
        taken++;
        pinfold_result_free(result);
    }
    return NULL;
}

static void *look_on(void *data)
{
    (void)data;
    while (!stop) {
        pinfold_stats now = {.size = sizeof(now)};
        pinfold_event event;
        EXPECT(pinfold_pool_stats(pool, &now) == 0);
        EXPECT(now.running <= 4);
        while (pinfold_pool_next_event(pool, &event) == 0)
            ;
        EXPECT(pinfold_pool_wait_ready(pool, BOUND, NULL) == 0);
    }
    return NULL;
}

static void test_threads_share_a_pool_and_each_gets_its_own_results(void **state)
{
    (void)state;
    static void *(*const roles[])(void *) = {wait_for_each, take_from_a_queue, cancel_each};
    for (uint32_t isolation = PINFOLD_FRESH; isolation <= PINFOLD_REUSE; isolation++) {
        failures = 0;
        stop = false;
        accepted = taken = 0;
        rig_open_plain(isolation, 4);
        pthread_t threads[THREADS], looker;
        assert_int_equal(pthread_create(&looker, NULL, look_on, NULL), 0);
        for (uintptr_t i = 0; i < THREADS; i++)
            assert_int_equal(pthread_create(&threads[i], NULL, roles[i % 3], (void *)i), 0);
        for (size_t i = 0; i < THREADS; i++)
            pthread_join(threads[i], NULL);
        stop = true;
        pthread_join(looker, NULL);
        assert_int_equal(failures, 0);
        assert_int_equal(accepted, taken);
        pinfold_stats now = stats();
        uint64_t sum = 0;
        for (size_t i = 0; i < COUNT_OF(now.outcomes); i++)
            sum += now.outcomes[i];
        assert_int_equal(sum, accepted);
        assert_int_equal(now.submitted, accepted);
        assert_int_equal(now.templates_started, 1);
        pinfold_pool_close(pool);
        pool = NULL;
    }
}

/* Submit until the pool is shut down; every accepted call still ends. */
static void *submit_until_refused(void *data)
{
    (void)data;
    for (;;) {
        uint64_t id;
        pinfold_result *result;
        int r = try_submit(NULL, "upper", "x", BOUND, &id, NULL);
        if (r == -ESHUTDOWN)
            return NULL;
        EXPECT(r == 0);
        accepted++;
        EXPECT(wait_for(pool, id, BOUND, &result) == 0);
        EXPECT(result->outcome == PINFOLD_OK || result->outcome == PINFOLD_CANCELLED);
        taken++;
        pinfold_result_free(result);
    }
}

static void *shut_down(void *data)
{
    (void)data;
    EXPECT(pinfold_pool_shutdown(pool) == 0);
    return NULL;
}

static void test_a_shutdown_under_load_ends_every_call_once(void **state)
{
    (void)state;
    for (int round = 0; round < 12; round++) {
        failures = 0;
        accepted = taken = 0;
        rig_open_plain((uint32_t)round % 3, 4);
        pthread_t threads[THREADS], closers[3];
        for (size_t i = 0; i < THREADS; i++)
            assert_int_equal(pthread_create(&threads[i], NULL, submit_until_refused, NULL), 0);
        while (taken < (unsigned long)round * 20)
            sched_yield();
        for (size_t i = 0; i < COUNT_OF(closers); i++)
            assert_int_equal(pthread_create(&closers[i], NULL, shut_down, NULL), 0);
        for (size_t i = 0; i < THREADS; i++)
            pthread_join(threads[i], NULL);
        for (size_t i = 0; i < COUNT_OF(closers); i++)
            pthread_join(closers[i], NULL);
        assert_int_equal(failures, 0);
        assert_int_equal(accepted, taken);
        pinfold_pool_close(pool);
        pool = NULL;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        POOL_TEST(test_threads_share_a_pool_and_each_gets_its_own_results),
        POOL_TEST(test_a_shutdown_under_load_ends_every_call_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

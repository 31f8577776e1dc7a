/* SPDX-License-Identifier: Apache-2.0 */
/* CPU slots: each living worker has its own, and a result contains what its call waited for. */
#include "rig.h"

#include <sched.h>

static void open_with_cpu_slots(uint32_t isolation, uint32_t max_workers)
{
    pinfold_config config = rig_config(NULL);
    config.isolation = isolation;
    config.max_workers = max_workers;
    config.flags |= PINFOLD_CPU_SLOTS;
    rig_open(&config);
}

static void close_pool(void)
{
    pinfold_pool_close(pool);
    pool = NULL;
}

static int cpu_slot_of(pinfold_result *result)
{
    char text[16] = "";
    assert_outcome(result, PINFOLD_OK);
    assert_in_range(result->segments[0].iov_len, 1, sizeof(text) - 1);
    memcpy(text, result->segments[0].iov_base, result->segments[0].iov_len);
    pinfold_result_free(result);
    return atoi(text);
}

static void test_calls_that_run_at_once_have_different_places(void **state)
{
    (void)state;
    for (uint32_t isolation = PINFOLD_FRESH; isolation <= PINFOLD_SPAWN; isolation++) {
        open_with_cpu_slots(isolation, 3);
        for (int round = 0; round < 3; round++) {
            char *paths[] = {make_fifo("a"), make_fifo("b"), make_fifo("c")};
            uint64_t ids[COUNT_OF(paths)];
            unsigned seen = 0;
            for (size_t i = 0; i < COUNT_OF(paths); i++)
                ids[i] = submit("gate_cpu_slot", paths[i], PINFOLD_FOREVER);
            for (size_t i = 0; i < COUNT_OF(paths); i++)
                wait_for_start(ids[i]);
            for (size_t i = 0; i < COUNT_OF(paths); i++)
                open_gate(paths[i]);
            for (size_t i = 0; i < COUNT_OF(paths); i++)
                seen |= 1u << cpu_slot_of(take(ids[i]));
            assert_int_equal(seen, 1u << 1 | 1u << 2 | 1u << 3);
        }
        close_pool();
    }
}

static void test_a_place_is_free_when_its_worker_is_gone(void **state)
{
    (void)state;
    open_with_cpu_slots(PINFOLD_FRESH, 1);
    uint64_t first = submit("answer_and_stay", "", BOUND), second = submit("cpu_slot", "", BOUND);
    pid_t worker = wait_for_start(first);
    pinfold_event event = {0};
    while (!(event.kind == PINFOLD_EVENT_WORKER_EXIT && event.worker_pid == worker)) {
        while (pinfold_pool_next_event(pool, &event) < 0)
            sched_yield();
        assert_false(event.kind == PINFOLD_EVENT_CALL_START);
    }
    ends(first, PINFOLD_OK);
    assert_int_equal(cpu_slot_of(take(second)), 1);
    /* However the calls end. */
    runs("exit", "3", PINFOLD_EXITED);
    runs("crash", "11", PINFOLD_SIGNALLED);
    ends(submit("spin", "", SECOND / 10), PINFOLD_TIMEOUT);
    uint64_t id = submit("spin", "", PINFOLD_FOREVER);
    wait_for_start(id);
    cancel(id);
    ends(submit("kill_template", "", BOUND), PINFOLD_LOST);
    assert_int_equal(cpu_slot_of(take(submit("cpu_slot", "", BOUND))), 1);
}

static void test_a_pool_without_places_has_none(void **state)
{
    (void)state;
    rig_open_plain(PINFOLD_REUSE, 2);
    assert_int_equal(cpu_slot_of(take(submit("cpu_slot", "", BOUND))), 0);
    pinfold_result *result = take(submit("work", "1", BOUND));
    assert_false(result->flags & PINFOLD_HAS_WAITS);
    assert_int_equal(result->metrics.cpu_wait_ns, 0);
    pinfold_result_free(result);
}

static void test_the_time_that_a_call_waited_for_a_cpu_is_told(void **state)
{
    (void)state;
    cpu_set_t all, one;
    assert_int_equal(sched_getaffinity(0, sizeof(all), &all), 0);
    CPU_ZERO(&one);
    for (size_t cpu = 0; CPU_COUNT(&one) == 0; cpu++)
        if (CPU_ISSET(cpu, &all))
            CPU_SET(cpu, &one);
    assert_int_equal(sched_setaffinity(0, sizeof(one), &one), 0); /* the template and its workers share that CPU */
    open_with_cpu_slots(PINFOLD_REUSE, 2);
    assert_int_equal(sched_setaffinity(0, sizeof(all), &all), 0);
    uint64_t spinner = submit("spin", "", PINFOLD_FOREVER);
    wait_for_start(spinner);
    for (int i = 0; i < 5; i++) {
        pinfold_result *result = take(submit("work", "1", BOUND)); /* 50 ms */
        assert_outcome(result, PINFOLD_OK);
        assert_true(result->flags & PINFOLD_HAS_WAITS);
        assert_in_range(result->metrics.cpu_wait_ns, 10000000, result->metrics.wall_ns);
        assert_true(result->metrics.preemptions > 0);
        pinfold_result_free(result);
    }
    cancel(spinner);
    pinfold_result *result = take(submit("spin", "", SECOND / 10)); /* of a killed call, too */
    assert_outcome(result, PINFOLD_TIMEOUT);
    assert_true(result->flags & PINFOLD_HAS_WAITS);
    pinfold_result_free(result);
    result = take(submit("exit", "3", BOUND)); /* unknown for a worker that is gone */
    assert_outcome(result, PINFOLD_EXITED);
    assert_false(result->flags & PINFOLD_HAS_WAITS);
    pinfold_result_free(result);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        POOL_TEST(test_calls_that_run_at_once_have_different_places),
        POOL_TEST(test_a_place_is_free_when_its_worker_is_gone),
        POOL_TEST(test_a_pool_without_places_has_none),
        POOL_TEST(test_the_time_that_a_call_waited_for_a_cpu_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

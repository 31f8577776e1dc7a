/* SPDX-License-Identifier: Apache-2.0 */
/* Without descriptors or disk space a call ends with an error of ours, nothing is lost, and the pool continues
 * as soon as there is room again. */
#include "rig.h"

#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/socket.h>

#include "pool/pool.h"

static char large[1 << 20]; /* more than fits a frame */

static int submit_large(uint64_t *ret_id, pinfold_error *error)
{
    const struct iovec segments[] = {{"echo", 4}, {large, sizeof(large)}};
    pinfold_call call = {.size = sizeof(call), .segments = segments, .n_segments = 2, .deadline_ns = BOUND};
    return pinfold_pool_submit(pool, &call, ret_id, error);
}

/* Take the result, which is a value or an error of ours. Return 1 for a value. */
static int ok_or_internal(uint64_t id)
{
    pinfold_result *result = take(id);
    if (result->outcome != PINFOLD_OK)
        assert_outcome(result, PINFOLD_INTERNAL);
    if (result->outcome != PINFOLD_OK && !strstr(result->reason, "descriptor") &&
        !strstr(result->reason, "Too many open files"))
        fail_msg("%s", result->reason);
    int ok = result->outcome == PINFOLD_OK;
    pinfold_result_free(result);
    return ok;
}

static void test_a_pool_opens_or_says_that_descriptors_are_missing(void **state)
{
    (void)state;
    int opened = 0, refused = 0;
    for (int free = 0; free < 30; free++) {
        pinfold_config config = rig_config(NULL);
        pinfold_error error;
        scarce_descriptors(free);
        int r = pinfold_pool_open(&config, &pool, &error);
        plenty_descriptors();
        if (r < 0) {
            assert_int_equal(r, -EMFILE);
            assert_non_null(strstr(error.text, "Too many open files"));
            refused++;
        } else {
            pinfold_pool_close(pool);
            opened++;
        }
        pool = NULL;
    }
    assert_true(opened > 0 && refused > 0);
}

static void test_a_call_without_descriptors_is_internal_and_the_next_one_runs(void **state)
{
    (void)state;
    int ok[3] = {0};
    const int rounds = 16;
    for (uint32_t isolation = PINFOLD_FRESH; isolation <= PINFOLD_SPAWN; isolation++) {
        for (int free = 0; free < rounds; free++) {
            rig_open_plain(isolation, 1);
            runs("upper", "x", PINFOLD_OK);
            scarce_descriptors(free);
            ok[0] += ok_or_internal(submit("big", "1000000", BOUND));
            ok[1] += ok_or_internal(submit("upper", "x", BOUND));
            uint64_t id;
            pinfold_error error;
            int r = submit_large(&id, &error);
            if (r == 0) {
                ok[2] += ok_or_internal(id);
            } else {
                assert_int_equal(r, -EMFILE);
                assert_non_null(strstr(error.text, "Too many open files"));
            }
            plenty_descriptors();
            runs("upper", "x", PINFOLD_OK);
            runs("big", "1000000", PINFOLD_OK);
            assert_int_equal(stats().templates_started, 1);
            pinfold_pool_close(pool);
            pool = NULL;
        }
    }
    for (size_t i = 0; i < COUNT_OF(ok); i++)
        assert_in_range(ok[i], 1, 3 * rounds - 1); /* both were seen */
}

static void test_many_workers_start_with_descriptors_for_few(void **state)
{
    (void)state;
    for (int free = 0; free < 60; free += 3) {
        rig_open_plain(PINFOLD_REUSE, 16);
        assert_int_equal(pinfold_pool_wait_ready(pool, BOUND, NULL), 0);
        scarce_descriptors(free);
        uint64_t ids[16];
        for (size_t i = 0; i < COUNT_OF(ids); i++)
            ids[i] = submit("sleep", "20", BOUND);
        for (size_t i = 0; i < COUNT_OF(ids); i++)
            ok_or_internal(ids[i]);
        assert_int_equal(stats().templates_started, 1);
        plenty_descriptors();
        runs("upper", "x", PINFOLD_OK);
        pinfold_pool_close(pool);
        pool = NULL;
    }
}

/* Must be last: it changes the whole process. */
static void test_a_full_disk_is_told_and_lost_by_nobody(void **state)
{
    (void)state;
    if (!own_mounts() || mount("none", spill_dir, "tmpfs", 0, "size=1500k") < 0)
        skip();
    for (uint32_t isolation = PINFOLD_FRESH; isolation <= PINFOLD_SPAWN; isolation++) {
        rig_open_plain(isolation, 1);
        assert_int_equal(stats().spill_in_memory, 1);
        uint64_t id;
        pinfold_error error;
        pinfold_result *held, *result;
        held = take(submit("big", "1000000", BOUND));
        assert_outcome(held, PINFOLD_OK);

        assert_int_equal(submit_large(&id, &error), -ENOSPC);
        assert_non_null(strstr(error.text, "1048704 bytes"));
        result = take(submit("big", "1000000", BOUND));
        assert_outcome(result, PINFOLD_INTERNAL);
        assert_value(result, "No space left on device");
        pinfold_result_free(result);
        runs("upper", "x", PINFOLD_OK);

        /* There is room once the worker of that result is gone, too. */
        pinfold_result_free(held);
        int64_t end = now_ns() + BOUND;
        bool ok;
        do {
            result = take(submit("big", "1000000", BOUND));
            ok = result->outcome == PINFOLD_OK;
            pinfold_result_free(result);
        } while (!ok && now_ns() < end);
        assert_true(ok);
        pinfold_pool_close(pool);
        pool = NULL;
    }
    assert_int_equal(umount2(spill_dir, MNT_DETACH), 0);
}

/* Leave no descriptor free, whatever is closed meanwhile, until plenty_descriptors. */
static void no_descriptors(void)
{
    struct rlimit limit;
    scarce_descriptors(0);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = 3;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

static void test_whoever_waits_for_a_template_that_cannot_be_replaced_is_told(void **state)
{
    (void)state;
    rig_open_plain(PINFOLD_REUSE, 1);
    runs("upper", "x", PINFOLD_OK);
    no_descriptors();
    kill(stats().template_pid, SIGKILL);
    pinfold_error error;
    int r;
    while ((r = pinfold_pool_wait_ready(pool, BOUND, &error)) == 0)
        sched_yield();
    plenty_descriptors();
    assert_int_equal(r, -EMFILE);
    assert_non_null(strstr(error.text, "Too many open files"));
    runs("upper", "x", PINFOLD_OK);
}

static void test_a_limit_that_cannot_be_looked_after_is_internal(void **state)
{
    (void)state;
    rig_open_plain(PINFOLD_FRESH, 1);
    const struct iovec segment = {"spin", 4};
    pinfold_call call = {.size = sizeof(call),
                         .segments = &segment,
                         .n_segments = 1,
                         .deadline_ns = BOUND,
                         .memory_bytes = 1 << 30};
    uint64_t id;
    assert_int_equal(pinfold_pool_submit(pool, &call, &id, NULL), 0);
    wait_for_start(id);
    no_descriptors();
    pinfold_result *result = take(id);
    plenty_descriptors();
    assert_outcome(result, PINFOLD_INTERNAL);
    assert_non_null(strstr(result->reason, "Too many open files"));
    pinfold_result_free(result);
}

static void test_a_spill_directory_that_was_removed_is_made_again(void **state)
{
    (void)state;
    for (uint32_t isolation = PINFOLD_FRESH; isolation <= PINFOLD_SPAWN; isolation++) {
        rig_open_plain(isolation, 1);
        runs("big", "1000000", PINFOLD_OK);
        assert_int_equal(rmdir(spill_dir), 0);
        uint64_t id;
        if (isolation != PINFOLD_SPAWN) { /* found by a large call's submitter, or a worker with a large result */
            assert_int_equal(submit_large(&id, NULL), 0);
            pinfold_result_free(take(id));
        }
        pinfold_result *result = NULL;
        uint32_t outcome;
        do {
            result = take(submit("big", "1000000", BOUND));
            outcome = result->outcome;
            assert_true(outcome == PINFOLD_OK || outcome == PINFOLD_INTERNAL);
            pinfold_result_free(result);
        } while (outcome != PINFOLD_OK);
        assert_int_equal(submit_large(&id, NULL), 0);
        ends(id, PINFOLD_OK);
        pinfold_pool_close(pool);
        pool = NULL;
    }
}

/* A socket that takes no frame of that size, as if the administrator had made all socket buffers small. */
static void test_a_call_that_no_worker_can_be_handed_is_internal_and_costs_no_worker(void **state)
{
    (void)state;
    rig_open_plain(PINFOLD_REUSE, 1);
    runs("upper", "x", PINFOLD_OK);
    pthread_mutex_lock(&pool->lock);
    int r = setsockopt(TAILQ_FIRST(&pool->idle)->peer, SOL_SOCKET, SO_SNDBUF, &(int){8192}, sizeof(int));
    pthread_mutex_unlock(&pool->lock);
    assert_int_equal(r, 0);
    static char text[50001];
    memset(text, 'x', sizeof(text) - 1);
    pinfold_result *result = take(submit("upper", text, BOUND));
    assert_outcome(result, PINFOLD_INTERNAL);
    assert_non_null(strstr(result->reason, "Message too long"));
    pinfold_result_free(result);
    runs("upper", "x", PINFOLD_OK);
    assert_int_equal(stats().workers_started, 1);
}

/* A process that writes beyond the limit gets SIGXFSZ, which would end this one. */
static void test_an_argument_larger_than_this_process_may_write_is_refused(void **state)
{
    (void)state;
    rig_open_plain(PINFOLD_FRESH, 1);
    struct rlimit before, less;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    less = (struct rlimit){1 << 16, before.rlim_max};
    setrlimit(RLIMIT_FSIZE, &less);
    uint64_t id;
    pinfold_error error;
    int r = submit_large(&id, &error);
    setrlimit(RLIMIT_FSIZE, &before);
    assert_int_equal(r, -EFBIG);
    assert_non_null(strstr(error.text, "65536"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        POOL_TEST(test_a_pool_opens_or_says_that_descriptors_are_missing),
        POOL_TEST(test_a_call_without_descriptors_is_internal_and_the_next_one_runs),
        POOL_TEST(test_many_workers_start_with_descriptors_for_few),
        POOL_TEST(test_a_full_disk_is_told_and_lost_by_nobody),
        POOL_TEST(test_whoever_waits_for_a_template_that_cannot_be_replaced_is_told),
        POOL_TEST(test_a_spill_directory_that_was_removed_is_made_again),
        POOL_TEST(test_a_limit_that_cannot_be_looked_after_is_internal),
        POOL_TEST(test_a_call_that_no_worker_can_be_handed_is_internal_and_costs_no_worker),
        POOL_TEST(test_an_argument_larger_than_this_process_may_write_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

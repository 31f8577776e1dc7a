/* SPDX-License-Identifier: Apache-2.0 */
/* Every outcome of pinfold.h, caused by what a program does, in each isolation mode. */
#include "rig.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>

#include "pool/pool.h"

static uint32_t isolation; /* of the tests that follow in a group */

static void open_here(void)
{
    rig_open_plain(isolation, 4);
}

static bool reuses(void)
{
    return isolation != PINFOLD_FRESH;
}

static void test_a_value_comes_back(void **state)
{
    (void)state;
    open_here();
    pinfold_result *result = take(submit("upper", "warm", BOUND));
    assert_outcome(result, PINFOLD_OK);
    assert_int_equal(result->n_segments, 1);
    assert_value(result, "WARM");
    assert_int_equal((uintptr_t)result->segments[0].iov_base % 64, 0);
    assert_string_equal(result->reason, "");
    assert_string_equal(result->stack, "");
    assert_int_equal(result->exit_code, -1);
    assert_int_equal(result->signal, 0);
    assert_int_equal(result->flags, PINFOLD_HAS_METRICS);
    pinfold_result_free(result);
}

static void test_a_program_that_fails_is_an_exception(void **state)
{
    (void)state;
    open_here();
    pinfold_result *result = take(submit("fail", "", BOUND));
    assert_outcome(result, PINFOLD_EXCEPTION);
    assert_value(result, "it failed, as it was told to");
    pinfold_result_free(result);
    runs("no such function", "", PINFOLD_EXCEPTION);
    runs("upper", "x", PINFOLD_OK);
}

static void test_a_process_that_ends_itself_is_exited(void **state)
{
    (void)state;
    open_here();
    static const char *const codes[] = {"0", "3", "255"};
    for (size_t i = 0; i < COUNT_OF(codes); i++) {
        pinfold_result *result = take(submit("exit", codes[i], BOUND));
        assert_outcome(result, PINFOLD_EXITED);
        assert_int_equal(result->exit_code, atoi(codes[i]));
        assert_int_equal(result->signal, 0);
        assert_int_equal(result->n_segments, 0);
        assert_non_null(strstr(result->reason, codes[i]));
        pinfold_result_free(result);
    }
    pinfold_result *result = take(submit("exec", "", BOUND));
    assert_outcome(result, PINFOLD_EXITED);
    assert_int_equal(result->exit_code, 3);
    assert_memory_equal(result->err, "cannot go on\n", 13);
    pinfold_result_free(result);
    runs("upper", "x", PINFOLD_OK);
}

static void test_a_crash_is_signalled_and_says_where(void **state)
{
    (void)state;
    open_here();
    static const int signals[] = {SIGSEGV, SIGABRT, SIGFPE, SIGKILL, SIGTERM, SIGUSR1};
    for (size_t i = 0; i < COUNT_OF(signals); i++) {
        char number[8];
        snprintf(number, sizeof(number), "%d", signals[i]);
        pinfold_result *result = take(submit("crash", number, BOUND));
        assert_outcome(result, PINFOLD_SIGNALLED);
        assert_int_equal(result->signal, signals[i]);
        assert_int_equal(result->exit_code, -1);
        assert_string_equal(result->stack, i < 3 ? "crash" : "");
        assert_non_null(strstr(result->reason, number));
        assert_true(result->flags & PINFOLD_HAS_METRICS);
        pinfold_result_free(result);
    }
    runs("upper", "x", PINFOLD_OK);
}

static void test_whatever_does_not_end_times_out(void **state)
{
    (void)state;
    rig_open_plain(isolation, 8);
    static const char *const functions[] = {"spin", "sleep", "stop", "block", "stack_flood", "answer_when_asked"};
    uint64_t ids[COUNT_OF(functions)];
    for (size_t i = 0; i < COUNT_OF(functions); i++)
        ids[i] = submit(functions[i], i == 4 ? "-1" : "3600000", SECOND / 2);
    for (size_t i = 0; i < COUNT_OF(functions); i++) {
        pinfold_result *result = take(ids[i]);
        assert_outcome(result, PINFOLD_TIMEOUT);
        assert_int_equal(result->n_segments, 0);
        assert_int_equal(result->signal, 0);
        assert_non_null(strstr(result->reason, "0.5 s"));
        pinfold_result_free(result);
    }
    runs("upper", "x", PINFOLD_OK);
}

/* The stack may come too late, and is not waited for then; but it must not be late every time. */
static void test_a_timeout_says_where_the_program_stood(void **state)
{
    (void)state;
    open_here();
    bool reported = false;
    for (int i = 0; i < 100 && !reported; i++) {
        pinfold_result *result = take(submit("sleep", "3600000", SECOND / 5));
        assert_outcome(result, PINFOLD_TIMEOUT);
        reported = strcmp(result->stack, "sleep") == 0;
        assert_true(reported || strcmp(result->stack, "") == 0);
        pinfold_result_free(result);
    }
    assert_true(reported);
}

static void test_a_result_larger_than_allowed_is_output_limit(void **state)
{
    (void)state;
    open_here();
    static const struct {
        uint64_t most;
        const char *size;
        uint32_t outcome;
    } cases[] = {
        {1064, "1000", PINFOLD_OK},       {1063, "1000", PINFOLD_OUTPUT_LIMIT},
        {1000064, "1000000", PINFOLD_OK}, {1000063, "1000000", PINFOLD_OUTPUT_LIMIT},
        {0, "1000000", PINFOLD_OK},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        const struct iovec segments[] = {{"big", 3}, {(void *)cases[i].size, strlen(cases[i].size)}};
        pinfold_call call = {.size = sizeof(call),
                             .segments = segments,
                             .n_segments = 2,
                             .deadline_ns = BOUND,
                             .result_bytes = cases[i].most};
        uint64_t id;
        assert_int_equal(pinfold_pool_submit(pool, &call, &id, NULL), 0);
        pinfold_result *result = take(id);
        assert_outcome(result, cases[i].outcome);
        pinfold_result_free(result);
    }
}

static void test_a_queued_call_times_out_without_a_worker(void **state)
{
    (void)state;
    rig_open_plain(isolation, 1);
    uint64_t running = submit("spin", "", PINFOLD_FOREVER);
    next_event(PINFOLD_EVENT_CALL_START);
    pinfold_result *result = take(submit("upper", "x", SECOND / 20));
    assert_outcome(result, PINFOLD_TIMEOUT);
    assert_int_equal(result->flags & PINFOLD_HAS_METRICS, 0);
    assert_string_equal(result->metrics.worker_id, "");
    assert_int_equal(result->metrics.started_at_ns, 0);
    assert_non_null(strstr(result->reason, "before a worker was free"));
    pinfold_result_free(result);
    assert_int_equal(pinfold_pool_cancel(pool, running), 0);
    ends(running, PINFOLD_CANCELLED);
}

static void test_a_deadline_that_has_passed_already_is_a_timeout(void **state)
{
    (void)state;
    open_here();
    ends(submit("spin", "", 1), PINFOLD_TIMEOUT);
    runs("upper", "x", PINFOLD_OK); /* a worker has started */
    for (int i = 0; i < 20; i++)
        ends(submit("spin", "", 1), PINFOLD_TIMEOUT);
    runs("upper", "x", PINFOLD_OK);
}

static void test_a_running_call_is_cancelled(void **state)
{
    (void)state;
    open_here();
    uint64_t id = submit("spin", "", PINFOLD_FOREVER);
    pinfold_event start = next_event(PINFOLD_EVENT_CALL_START);
    assert_int_equal(start.call_id, id);
    int worker = open_process(start.worker_pid);
    assert_int_equal(pinfold_pool_cancel(pool, id), 0);
    pinfold_result *result = take(id);
    assert_outcome(result, PINFOLD_CANCELLED);
    assert_int_equal(result->metrics.worker_pid, start.worker_pid);
    pinfold_result_free(result);
    assert_int_equal(pinfold_pool_cancel(pool, id), -ENOENT);
    wait_for_end(worker);
    assert_string_equal(next_event(PINFOLD_EVENT_WORKER_EXIT).reason, "killed: cancelled");
    runs("upper", "x", PINFOLD_OK);
}

static void test_a_queued_call_is_cancelled_and_the_next_one_goes_on(void **state)
{
    (void)state;
    rig_open_plain(isolation, 1);
    uint64_t running = submit("spin", "", PINFOLD_FOREVER);
    next_event(PINFOLD_EVENT_CALL_START);
    uint64_t queued = submit("upper", "x", BOUND), next = submit("upper", "y", BOUND);
    assert_int_equal(stats().queued, 2);
    assert_int_equal(pinfold_pool_cancel(pool, queued), 0);
    assert_int_equal(stats().queued, 1);
    ends(queued, PINFOLD_CANCELLED);
    assert_int_equal(pinfold_pool_cancel(pool, running), 0);
    ends(next, PINFOLD_OK);
    ends(running, PINFOLD_CANCELLED);
    assert_int_equal(pinfold_pool_cancel(pool, 4242), -ENOENT);
    assert_int_equal(pinfold_pool_cancel(pool, 0), -ENOENT);
}

static void test_a_worker_that_is_killed_by_somebody_else_is_signalled(void **state)
{
    (void)state;
    open_here();
    uint64_t id = submit("spin", "", PINFOLD_FOREVER);
    kill(wait_for_start(id), SIGKILL);
    pinfold_result *result = take(id);
    assert_outcome(result, PINFOLD_SIGNALLED);
    assert_int_equal(result->signal, SIGKILL);
    pinfold_result_free(result);
    runs("upper", "x", PINFOLD_OK);
}

static void test_a_program_that_closes_its_channel_is_exited(void **state)
{
    (void)state;
    open_here();
    pinfold_result *result = take(submit("close", "", BOUND));
    assert_outcome(result, PINFOLD_EXITED);
    assert_int_equal(result->exit_code, -1);
    assert_non_null(strstr(result->reason, "closed"));
    pinfold_result_free(result);
    runs("upper", "x", PINFOLD_OK);
}

static void test_a_channel_that_the_caller_closed_is_internal(void **state)
{
    (void)state;
    open_here();
    uint64_t id = submit("spin", "", BOUND);
    pid_t pid = wait_for_start(id);
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    pthread_mutex_lock(&pool->lock);
    int replaced = dup3(null, peer_of(id), O_CLOEXEC);
    pthread_mutex_unlock(&pool->lock);
    close(null);
    assert_true(replaced >= 0);
    kill(pid, SIGKILL);
    ends(id, PINFOLD_INTERNAL);
    runs("upper", "x", PINFOLD_OK);
}

static void test_output_is_captured_whatever_the_outcome(void **state)
{
    (void)state;
    open_here();
    pinfold_result *result = take(submit("print_and_crash", "", BOUND));
    assert_outcome(result, PINFOLD_SIGNALLED);
    assert_string_equal(result->out, "last words");
    assert_string_equal(result->err, "last complaint");
    assert_int_equal(result->out_size, 10);
    assert_int_equal(result->err_size, 14);
    pinfold_result_free(result);

    result = take(submit("print", "1000", BOUND));
    assert_outcome(result, PINFOLD_OK);
    assert_int_equal(result->out_size, 1000);
    assert_string_equal(result->err, "printed\n");
    assert_int_equal(result->flags, PINFOLD_HAS_METRICS);
    pinfold_result_free(result);

    result = take(submit("upper", "x", BOUND));
    assert_string_equal(result->out, "");
    assert_string_equal(result->err, "");
    pinfold_result_free(result);
}

static void test_a_flood_of_output_keeps_head_and_tail(void **state)
{
    (void)state;
    open_here();
    pinfold_result *result = take(submit("print", "50000000", BOUND));
    assert_outcome(result, PINFOLD_OK);
    assert_int_equal(result->flags, PINFOLD_HAS_METRICS | PINFOLD_STDOUT_TRUNCATED);
    assert_in_range(result->out_size, (1 << 20) - 100, 1 << 20);
    assert_memory_equal(result->out, "all work and no play", 20);
    assert_non_null(strstr(result->out, "bytes left out"));
    assert_string_equal(result->err, "printed\n");
    pinfold_result_free(result);

    const struct iovec segments[] = {{"print", 5}, {"3000", 4}};
    pinfold_call call = {
        .size = sizeof(call), .segments = segments, .n_segments = 2, .deadline_ns = BOUND, .output_bytes = 1000};
    uint64_t id;
    assert_int_equal(pinfold_pool_submit(pool, &call, &id, NULL), 0);
    result = take(id);
    assert_in_range(result->out_size, 900, 1000);
    assert_true(result->flags & PINFOLD_STDOUT_TRUNCATED);
    pinfold_result_free(result);
}

/* What a program leaves behind is gone before its result is delivered, except behind a value whose worker did
 * not report it. */
static void test_what_a_program_leaves_behind_is_swept_before_its_end_is_told(void **state)
{
    (void)state;
    open_here();
    static const struct {
        const char *how;
        uint32_t outcome;
    } cases[] = {{"return", PINFOLD_OK}, {"exit", PINFOLD_EXITED}, {"crash", PINFOLD_SIGNALLED}};
    for (int round = 0; round < 5; round++) {
        for (size_t i = 0; i < COUNT_OF(cases); i++) {
            pinfold_result *result = take(submit("leave_and", cases[i].how, BOUND));
            assert_outcome(result, cases[i].outcome);
            pid_t daemon = atoi(result->out);
            assert_true(daemon > 0);
            assert_false(exists(daemon));
            pinfold_result_free(result);
        }
    }
    pid_t daemon = 0;
    for (int64_t time_ns = SECOND / 4; daemon == 0; time_ns *= 2) { /* until the call got that far */
        assert_true(time_ns < BOUND);
        pinfold_result *result = take(submit("leave_and", "spin", time_ns));
        assert_outcome(result, PINFOLD_TIMEOUT);
        daemon = atoi(result->out);
        pinfold_result_free(result);
    }
    pinfold_pool_close(pool);
    pool = NULL;
    assert_false(exists(daemon));
}

static void test_a_process_that_goes_on_printing_does_not_hold_up_the_end(void **state)
{
    (void)state;
    open_here();
    pinfold_result *result = take(submit("leave_printer", "", BOUND));
    assert_outcome(result, PINFOLD_OK);
    assert_value(result, "left");
    pinfold_result_free(result);
    runs("upper", "x", PINFOLD_OK);
}

static void test_a_note_of_the_runtime_comes_with_the_result(void **state)
{
    (void)state;
    open_here();
    for (int i = 0; i < 3; i++) {
        pinfold_result *result = take(submit("note", "of use", BOUND));
        assert_outcome(result, PINFOLD_OK);
        assert_int_equal(result->note_size, 6);
        assert_string_equal(result->note, "of use");
        pinfold_result_free(result);
    }
    pinfold_result *result = take(submit("upper", "x", BOUND));
    assert_int_equal(result->note_size, 0);
    pinfold_result_free(result);
    runs("note_too_long", "", PINFOLD_BAD_RESULT);
}

static void test_segments_of_every_size_go_both_ways(void **state)
{
    (void)state;
    open_here();
    static const uint32_t sizes[] = {0, 1, 59900, 60000, 65536, 300000, 5000000};
    static uint8_t bytes[5000000];
    uint64_t seed = 1;
    for (size_t i = 0; i < sizeof(bytes); i += 8)
        memcpy(bytes + i, &(uint64_t){random_next(&seed)}, 8);
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        const struct iovec segments[] = {{"echo", 4}, {bytes, sizes[i]}, {"", 0}, {bytes + 1, 77}};
        pinfold_call call = {.size = sizeof(call), .segments = segments, .n_segments = 4, .deadline_ns = BOUND};
        uint64_t id;
        assert_int_equal(pinfold_pool_submit(pool, &call, &id, NULL), 0);
        pinfold_result *result = take(id);
        assert_outcome(result, PINFOLD_OK);
        assert_int_equal(result->n_segments, 3);
        for (uint32_t k = 0; k < 3; k++) {
            assert_int_equal(result->segments[k].iov_len, segments[k + 1].iov_len);
            assert_int_equal((uintptr_t)result->segments[k].iov_base % 64, 0);
            if (segments[k + 1].iov_len) {
                assert_memory_equal(result->segments[k].iov_base, segments[k + 1].iov_base,
                                    segments[k + 1].iov_len);
                memset(result->segments[k].iov_base, 1, result->segments[k].iov_len); /* ours to write */
            }
        }
        pinfold_result_free(result);
    }
}

static void test_metrics_are_those_of_the_call(void **state)
{
    (void)state;
    open_here();
    runs("work", "200", PINFOLD_OK);
    pinfold_result *result = take(submit("work", "64", BOUND));
    const pinfold_metrics *metrics = &result->metrics;
    assert_outcome(result, PINFOLD_OK);
    assert_int_equal(strlen(metrics->worker_id), PINFOLD_WORKER_ID_LENGTH);
    assert_int_equal(strspn(metrics->worker_id, "0123456789abcdef"), PINFOLD_WORKER_ID_LENGTH);
    assert_true(metrics->worker_pid > 0 && metrics->worker_pid != getpid());
    assert_int_equal(metrics->calls_before, reuses() ? 1 : 0);
    assert_true(metrics->wall_ns >= metrics->user_ns && metrics->queue_ns >= 0);
    assert_in_range(metrics->finished_at_ns - metrics->started_at_ns, metrics->wall_ns, metrics->wall_ns);
    assert_in_range(metrics->user_ns + metrics->sys_ns, 40000000, BOUND);
    assert_in_range(metrics->peak_rss_kb, 64 << 10, 190 << 10); /* not the 200 MiB of the call before */
    assert_int_equal(metrics->result_bytes, 64);
    pinfold_result_free(result);

    /* What it used is known although it was killed. It may take a while until it has used anything. */
    bool known = false;
    for (int64_t time_ns = SECOND / 5; !known; time_ns *= 2) {
        assert_true(time_ns < BOUND);
        result = take(submit("spin", "", time_ns));
        assert_outcome(result, PINFOLD_TIMEOUT);
        known = result->metrics.user_ns > 0 && result->metrics.peak_rss_kb > 0;
        pinfold_result_free(result);
    }
}

static void test_a_worker_holds_its_own_descriptors_and_environment_only(void **state)
{
    (void)state;
    pinfold_config config = rig_config(NULL);
    config.isolation = isolation;
    config.envp = (const char *const[]){"ONE=1", "TWO=2", NULL};
    rig_open(&config);
    pinfold_result *result = take(submit("descriptors", "", BOUND));
    assert_value(result, "0 1 2 3 ");
    pinfold_result_free(result);
    result = take(submit("environment", "", BOUND));
    assert_value(result, "ONE=1\nTWO=2\n");
    pinfold_result_free(result);
}

static void test_workers_are_used_again_only_if_they_are_to_be(void **state)
{
    (void)state;
    pinfold_config config = rig_config(NULL);
    config.isolation = isolation;
    config.max_workers = 1;
    config.max_calls_per_worker = 3;
    rig_open(&config);
    static const char *const reused[] = {"1", "2", "3", "1", "2", "3", "1"};
    for (size_t i = 0; i < COUNT_OF(reused); i++) {
        pinfold_result *result = take(submit("count", "", BOUND));
        assert_value(result, reuses() ? reused[i] : "1");
        assert_int_equal(result->metrics.calls_before, reuses() ? i % 3 : 0);
        pinfold_result_free(result);
    }
    if (reuses())
        assert_string_equal(next_event(PINFOLD_EVENT_WORKER_EXIT).reason, "recycled: 3 calls");
    else
        assert_string_equal(next_event(PINFOLD_EVENT_WORKER_EXIT).reason, "call done");
}

/* The look must not recurse as deep as the tree on the stack of the looking thread. */
static void test_a_deep_tree_of_processes_is_counted_to_its_end(void **state)
{
    (void)state;
    rig_open_plain(PINFOLD_FRESH, 1);
    const struct iovec segments[] = {{"chain", 5}, {"300", 3}};
    pinfold_call call = {
        .size = sizeof(call), .segments = segments, .n_segments = 2, .deadline_ns = BOUND, .processes = 290};
    uint64_t id;
    assert_int_equal(pinfold_pool_submit(pool, &call, &id, NULL), 0);
    pinfold_result *result = take(id);
    assert_outcome(result, PINFOLD_EXITED);
    assert_non_null(strstr(result->reason, "of 290 allowed"));
    pinfold_result_free(result);
}

static void test_a_hung_call_hurts_no_neighbour(void **state)
{
    (void)state;
    open_here();
    uint64_t hung[3], quick[200];
    for (size_t i = 0; i < COUNT_OF(hung); i++)
        hung[i] = submit(i % 2 ? "stop" : "block", "", SECOND);
    for (size_t i = 0; i < COUNT_OF(quick); i++)
        quick[i] = submit("upper", "quick", BOUND);
    for (size_t i = 0; i < COUNT_OF(quick); i++)
        ends(quick[i], PINFOLD_OK);
    for (size_t i = 0; i < COUNT_OF(hung); i++)
        ends(hung[i], PINFOLD_TIMEOUT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        POOL_TEST(test_a_value_comes_back),
        POOL_TEST(test_a_program_that_fails_is_an_exception),
        POOL_TEST(test_a_process_that_ends_itself_is_exited),
        POOL_TEST(test_a_crash_is_signalled_and_says_where),
        POOL_TEST(test_whatever_does_not_end_times_out),
        POOL_TEST(test_a_timeout_says_where_the_program_stood),
        POOL_TEST(test_a_result_larger_than_allowed_is_output_limit),
        POOL_TEST(test_a_queued_call_times_out_without_a_worker),
        POOL_TEST(test_a_deadline_that_has_passed_already_is_a_timeout),
        POOL_TEST(test_a_running_call_is_cancelled),
        POOL_TEST(test_a_queued_call_is_cancelled_and_the_next_one_goes_on),
        POOL_TEST(test_a_worker_that_is_killed_by_somebody_else_is_signalled),
        POOL_TEST(test_a_program_that_closes_its_channel_is_exited),
        POOL_TEST(test_a_channel_that_the_caller_closed_is_internal),
        POOL_TEST(test_output_is_captured_whatever_the_outcome),
        POOL_TEST(test_a_flood_of_output_keeps_head_and_tail),
        POOL_TEST(test_what_a_program_leaves_behind_is_swept_before_its_end_is_told),
        POOL_TEST(test_a_process_that_goes_on_printing_does_not_hold_up_the_end),
        POOL_TEST(test_a_note_of_the_runtime_comes_with_the_result),
        POOL_TEST(test_segments_of_every_size_go_both_ways),
        POOL_TEST(test_metrics_are_those_of_the_call),
        POOL_TEST(test_a_worker_holds_its_own_descriptors_and_environment_only),
        POOL_TEST(test_workers_are_used_again_only_if_they_are_to_be),
        POOL_TEST(test_a_deep_tree_of_processes_is_counted_to_its_end),
        POOL_TEST(test_a_hung_call_hurts_no_neighbour),
    };
    static const char *const names[] = {"fresh", "reuse", "spawn"};
    int failed = 0;
    for (isolation = PINFOLD_FRESH; isolation <= PINFOLD_SPAWN; isolation++)
        failed += cmocka_run_group_tests_name(names[isolation], tests, NULL, NULL);
    return failed;
}

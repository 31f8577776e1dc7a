/* SPDX-License-Identifier: Apache-2.0 */
/* Calls that are whole programs, calls that bring files back, and the bound on what a call prints. */
#include "rig.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

static uint64_t submit_as(const pinfold_call *how, const char *function, const char *argument)
{
    const struct iovec segments[] = {{(void *)(uintptr_t)function, strlen(function)},
                                     {(void *)(uintptr_t)argument, strlen(argument)}};
    pinfold_call call = *how;
    call.size = sizeof(call);
    call.segments = segments;
    call.n_segments = 2;
    if (!call.deadline_ns)
        call.deadline_ns = BOUND;
    uint64_t id;
    pinfold_error error;
    if (pinfold_pool_submit(pool, &call, &id, &error) < 0)
        fail_msg("%s", error.text);
    return id;
}

static pinfold_result *run_as(const pinfold_call *how, const char *function, const char *argument)
{
    return take(submit_as(how, function, argument));
}

static const pinfold_call plain, program = {.flags = PINFOLD_EXITS}, collecting = {.flags = PINFOLD_COLLECTS},
                                 files_bounded = {.file_bytes = 1000};

static void test_an_exit_with_status_0_is_the_result_of_a_program_alone(void **state)
{
    (void)state;
    rig_open_plain(PINFOLD_FRESH, 2);
    static const struct {
        const pinfold_call *how;
        const char *status;
        uint32_t outcome;
    } cases[] = {
        {&program, "0", PINFOLD_OK},
        {&program, "3", PINFOLD_EXITED},
        {&plain, "0", PINFOLD_EXITED},
        {&collecting, "0", PINFOLD_EXITED},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        pinfold_result *result = run_as(cases[i].how, "exit", cases[i].status);
        assert_outcome(result, cases[i].outcome);
        assert_int_equal(result->exit_code, cases[i].status[0] - '0');
        assert_int_equal(result->n_segments, 0);
        pinfold_result_free(result);
    }
}

static void test_a_worker_says_how_the_process_of_its_call_ended(void **state)
{
    (void)state;
    rig_open_plain(PINFOLD_FRESH, 2);
    static const struct {
        const pinfold_call *how;
        const char *end;
        uint32_t outcome;
        int exit_code, signal;
    } cases[] = {
        {&program, "0", PINFOLD_OK, 0, 0},
        {&plain, "0", PINFOLD_EXITED, 0, 0},
        {&program, "7", PINFOLD_EXITED, 7, 0},
        {&program, "255", PINFOLD_EXITED, 255, 0},
        {&plain, "7", PINFOLD_EXITED, 7, 0},
        {&program, "-9", PINFOLD_SIGNALLED, -1, SIGKILL},
        {&plain, "-11", PINFOLD_SIGNALLED, -1, SIGSEGV},
        {&program, "-25", PINFOLD_SIGNALLED, -1, SIGXFSZ},
        {&files_bounded, "-25", PINFOLD_OUTPUT_LIMIT, -1, SIGXFSZ},
        {&program, "256", PINFOLD_BAD_RESULT, -1, 0},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        pinfold_result *result = run_as(cases[i].how, "ended", cases[i].end);
        assert_outcome(result, cases[i].outcome);
        assert_int_equal(result->exit_code, cases[i].exit_code);
        assert_int_equal(result->signal, cases[i].signal);
        if (cases[i].outcome == PINFOLD_BAD_RESULT)
            assert_int_equal(result->n_segments, 0);
        else
            assert_value(result, "value");
        pinfold_result_free(result);
    }
    for (int status = 0; status < 5; status++) {
        char text[] = {(char)('0' + status), '\0'};
        ends(submit("status_and_end", text, BOUND), PINFOLD_BAD_RESULT);
    }
}

static void test_a_call_that_is_stopped_brings_its_files_back(void **state)
{
    (void)state;
    rig_open_plain(PINFOLD_FRESH, 2);
    const pinfold_call cases[] = {
        {.flags = PINFOLD_COLLECTS, .wall_ns = SECOND / 50},
        {.flags = PINFOLD_COLLECTS, .deadline_ns = SECOND / 5},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        pinfold_result *result = run_as(&cases[i], "collect", "");
        assert_outcome(result, PINFOLD_TIMEOUT);
        assert_value(result, "value");
        assert_int_equal(result->exit_code, -1);
        pinfold_result_free(result);
    }
    /* Without the flag nobody asks. */
    pinfold_result *result = run_as(&(const pinfold_call){.wall_ns = SECOND / 50}, "collect", "");
    assert_outcome(result, PINFOLD_TIMEOUT);
    assert_int_equal(result->n_segments, 0);
    pinfold_result_free(result);
}

static void test_a_worker_that_does_not_stop_is_killed(void **state)
{
    (void)state;
    rig_open_plain(PINFOLD_FRESH, 2);
    static const char *const ways[] = {"deaf", "crash"};
    for (size_t i = 0; i < COUNT_OF(ways); i++) {
        pinfold_result *result =
            run_as(&(const pinfold_call){.flags = PINFOLD_COLLECTS, .wall_ns = SECOND / 50}, "collect", ways[i]);
        assert_outcome(result, PINFOLD_TIMEOUT);
        assert_int_equal(result->n_segments, 0);
        pinfold_result_free(result);
    }
    runs("upper", "x", PINFOLD_OK);
}

static void test_a_call_that_is_cancelled_is_not_asked(void **state)
{
    (void)state;
    pinfold_config config = rig_config(NULL);
    rig_open(&config);
    uint64_t id = submit_as(&collecting, "collect", "");
    wait_for_start(id);
    assert_int_equal(pinfold_pool_cancel(pool, id), 0);
    pinfold_result *result = take(id);
    assert_outcome(result, PINFOLD_CANCELLED);
    assert_int_equal(result->n_segments, 0);
    pinfold_result_free(result);
}

static void test_a_call_that_ends_before_it_is_stopped_has_its_value(void **state)
{
    (void)state;
    rig_open_plain(PINFOLD_FRESH, 2);
    pinfold_result *result = run_as(&collecting, "collect", "early");
    assert_outcome(result, PINFOLD_OK);
    assert_value(result, "value");
    pinfold_result_free(result);
}

static void test_the_account_of_a_failure_is_bounded_and_files_come_on_top(void **state)
{
    (void)state;
    rig_open_plain(PINFOLD_FRESH, 2);
    const uint64_t mib = 1 << 20;
    const struct {
        pinfold_call how;
        const char *bytes;
        uint32_t outcome;
    } cases[] = {
        {{.flags = 0}, "8380000", PINFOLD_EXCEPTION},
        {{.flags = 0}, "8400000", PINFOLD_BAD_RESULT},
        {{.flags = PINFOLD_COLLECTS}, "30000000", PINFOLD_EXCEPTION},
        {{.flags = PINFOLD_COLLECTS, .result_bytes = mib}, "9000000", PINFOLD_EXCEPTION},
        {{.flags = PINFOLD_COLLECTS, .result_bytes = mib}, "9500000", PINFOLD_BAD_RESULT},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        pinfold_result *result = run_as(&cases[i].how, "fail_at_length", cases[i].bytes);
        assert_outcome(result, cases[i].outcome);
        pinfold_result_free(result);
    }
}

static void test_a_call_that_prints_too_much_is_ended(void **state)
{
    (void)state;
    rig_open_plain(PINFOLD_FRESH, 2);
    static const char *const streams[] = {"1", "2"};
    for (size_t i = 0; i < COUNT_OF(streams); i++) {
        pinfold_result *result = run_as(&(const pinfold_call){.printed_bytes = 100000, .output_bytes = 50},
                                        "print_forever", streams[i]);
        assert_outcome(result, PINFOLD_OUTPUT_LIMIT);
        assert_non_null(strstr(result->reason, i ? "stderr has more than the 100000 bytes allowed"
                                                 : "stdout has more than the 100000 bytes allowed"));
        pinfold_result_free(result);
    }
}

static void test_what_a_finished_call_printed_is_counted_to_the_byte(void **state)
{
    (void)state;
    rig_open_plain(PINFOLD_FRESH, 2);
    static const struct {
        uint64_t printed_bytes;
        const char *function, *text;
        uint32_t outcome;
    } cases[] = {
        {7, "say", "exactly", PINFOLD_OK},
        {6, "say", "exactly", PINFOLD_OUTPUT_LIMIT},
        {0, "say", "exactly", PINFOLD_OK},
        {7, "exit_with_words", "", PINFOLD_EXITED},
        {6, "exit_with_words", "", PINFOLD_OUTPUT_LIMIT},
        {13, "print_and_crash", "", PINFOLD_OUTPUT_LIMIT},
        {14, "print_and_crash", "", PINFOLD_SIGNALLED},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        pinfold_result *result = run_as(&(const pinfold_call){.printed_bytes = cases[i].printed_bytes},
                                        cases[i].function, cases[i].text);
        assert_outcome(result, cases[i].outcome);
        /* What is printed after a stream has had too much may be there or not: the call is being ended. */
        const bool crashes = strcmp(cases[i].function, "print_and_crash") == 0;
        if (!crashes || cases[i].outcome != PINFOLD_OUTPUT_LIMIT)
            assert_int_equal(result->out_size, crashes ? 10 : 7);
        pinfold_result_free(result);
    }
}

static void test_an_unknown_flag_is_refused(void **state)
{
    (void)state;
    rig_open_plain(PINFOLD_FRESH, 1);
    const struct iovec segment = {(void *)(uintptr_t) "upper", 5};
    const pinfold_call wrong[] = {{.flags = 4}, {.reserved = 1}};
    for (size_t i = 0; i < COUNT_OF(wrong); i++) {
        pinfold_call call = wrong[i];
        uint64_t id;
        call.size = sizeof(call);
        call.segments = &segment;
        call.n_segments = 1;
        call.deadline_ns = BOUND;
        assert_int_equal(pinfold_pool_submit(pool, &call, &id, NULL), -EINVAL);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        POOL_TEST(test_an_exit_with_status_0_is_the_result_of_a_program_alone),
        POOL_TEST(test_a_worker_says_how_the_process_of_its_call_ended),
        POOL_TEST(test_a_call_that_is_stopped_brings_its_files_back),
        POOL_TEST(test_a_worker_that_does_not_stop_is_killed),
        POOL_TEST(test_a_call_that_is_cancelled_is_not_asked),
        POOL_TEST(test_a_call_that_ends_before_it_is_stopped_has_its_value),
        POOL_TEST(test_the_account_of_a_failure_is_bounded_and_files_come_on_top),
        POOL_TEST(test_a_call_that_prints_too_much_is_ended),
        POOL_TEST(test_what_a_finished_call_printed_is_counted_to_the_byte),
        POOL_TEST(test_an_unknown_flag_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

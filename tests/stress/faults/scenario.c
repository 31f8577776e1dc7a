/* SPDX-License-Identifier: Apache-2.0 */
/* scenario.c - one pool, a few calls of every kind, and the end; one of the calls that the library makes on the way
 * may be made to fail (faults.h). Whatever fails: the pool opens or says why not, every call that it takes has one
 * outcome, its own or an error of ours, a call after that runs, and nothing is left when the pool is closed. */
#include "rig.h"

static uint32_t isolation;
static char large[200 * 1024]; /* more than fits a frame */

static const struct step {
    const char *function, *argument;
    uint32_t outcome;
    int64_t deadline_ns;
    const char *value; /* NULL: not looked at */
    bool limited;
} steps[] = {
    {"print", "5000", PINFOLD_OK, BOUND, "", false},
    {"upper", "x", PINFOLD_OK, BOUND, "X", false},
    {"echo", large, PINFOLD_OK, BOUND, large, false},
    {"crash", "11", PINFOLD_SIGNALLED, BOUND, NULL, false},
    {"exit", "3", PINFOLD_EXITED, BOUND, NULL, false},
    {"leave_and", "return", PINFOLD_OK, BOUND, NULL, false},
    {"sleep", "50", PINFOLD_OK, BOUND, "slept", true},
    {"spin", "", PINFOLD_TIMEOUT, SECOND / 20, NULL, false},
    {"spin", "", PINFOLD_CANCELLED, PINFOLD_FOREVER, NULL, false},
};

/* What is called in the end. */
static const struct step upper = {"upper", "x", PINFOLD_OK, BOUND, "X", false};

static void check_error(int r, const pinfold_error *error)
{
    assert_true(r < 0);
    assert_int_equal(error->code, r);
    assert_true(strlen(error->text) > 0);
}

/* 0: it was not taken, with a reason. */
static uint64_t try_step(const struct step *step, pinfold_queue *queue)
{
    const struct iovec segments[] = {
        {(void *)step->function, strlen(step->function)},
        {(void *)step->argument, strlen(step->argument)},
    };
    pinfold_call call = {
        .size = sizeof(call),
        .segments = segments,
        .n_segments = 2,
        .deadline_ns = step->deadline_ns,
        .queue = queue,
        .memory_bytes = step->limited ? 1 << 30 : 0,
        .processes = step->limited ? 64 : 0,
    };
    uint64_t id = 0;
    pinfold_error error = {.code = 0};
    int r = pinfold_pool_submit(pool, &call, &id, &error);
    if (r == 0)
        return id;
    check_error(r, &error);
    return 0;
}

/* Whether it was an error of ours. */
static bool check_result(const struct step *step, pinfold_result *result)
{
    bool ours = result->outcome == PINFOLD_INTERNAL || result->outcome == PINFOLD_LOST;
    if (!ours)
        assert_outcome(result, step->outcome);
    if (result->outcome == PINFOLD_OK && step->value)
        assert_value(result, step->value);
    if (result->outcome != PINFOLD_OK)
        assert_true(strlen(result->reason) > 0);
    assert_true(result->out[result->out_size] == '\0' && result->err[result->err_size] == '\0');
    pinfold_result_free(result);
    return ours;
}

static bool check_end(const struct step *step, uint64_t id)
{
    pinfold_result *result = NULL;
    int r;
    do
        r = pinfold_pool_wait(pool, id, BOUND, &result);
    while (r == -EINTR);
    if (r < 0)
        fail_msg("waiting for %s: %s", step->function, strerror(-r));
    bool ours = check_result(step, result);
    assert_int_equal(pinfold_pool_wait(pool, id, 0, &result), -ENOENT);
    return ours;
}

static void check_end_in(pinfold_queue *queue, const struct step *step, uint64_t id)
{
    pinfold_result *result = NULL;
    int r;
    do
        r = pinfold_queue_wait(queue, BOUND, &result);
    while (r == -EINTR);
    if (r < 0)
        fail_msg("waiting for a queue: %s", strerror(-r));
    assert_int_equal(result->call_id, id);
    check_result(step, result);
    assert_int_equal(pinfold_queue_next(queue, &result), -EAGAIN);
}

static void run_all(pinfold_queue *queue)
{
    uint64_t ids[COUNT_OF(steps)];
    for (size_t i = 0; i < COUNT_OF(steps); i++)
        ids[i] = try_step(&steps[i], NULL);
    if (ids[COUNT_OF(steps) - 1]) {
        int r = pinfold_pool_cancel(pool, ids[COUNT_OF(steps) - 1]);
        assert_true(r == 0 || r == -ENOENT); /* the pool may have ended it before */
    }
    for (size_t i = 0; i < COUNT_OF(steps); i++)
        if (ids[i])
            check_end(&steps[i], ids[i]);
    if (queue) {
        uint64_t id = try_step(&upper, queue);
        if (id)
            check_end_in(queue, &upper, id);
    }
}

static void test_one_failure_is_told_and_survived(void **state)
{
    (void)state;
    pinfold_error error = {.code = 0};
    memset(large, 'x', sizeof(large) - 1);
    pinfold_config config = rig_config(NULL);
    config.isolation = isolation;
    config.max_workers = 2;
    config.max_calls_per_worker = 4;
    int r = pinfold_pool_open(&config, &pool, &error);
    if (r < 0) {
        check_error(r, &error);
        rig_open(&config);
    }
    r = pinfold_pool_wait_ready(pool, BOUND, &error);
    if (r < 0)
        check_error(r, &error);
    pinfold_queue *queue = NULL;
    r = pinfold_queue_open(pool, &queue);
    assert_true(r <= 0);
    run_all(queue);
    pinfold_event event;
    while ((r = pinfold_pool_next_event(pool, &event)) == 0)
        ;
    assert_int_equal(r, -EAGAIN);
    /* What fails fails once; it may be among these. */
    int failed = 0;
    for (int i = 0; i < 3; i++) {
        uint64_t id = try_step(&upper, NULL);
        failed += !id || check_end(&upper, id);
    }
    assert_in_range(failed, 0, 1);
    pinfold_queue_close(queue);
}

int main(int argc, char **argv)
{
    isolation = argc > 1 ? (uint32_t)atoi(argv[1]) : PINFOLD_FRESH;
    const struct CMUnitTest tests[] = {POOL_TEST(test_one_failure_is_told_and_survived)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

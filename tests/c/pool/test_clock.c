/* SPDX-License-Identifier: Apache-2.0 */
/* The two clocks of a call: which one ran out, how the call ends then, and what it did until then. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/util.h"
#include "pool/pool.h"
#include "rig.h"

#define BRIEF (30 * NS_PER_MS)

static uint64_t submit_with(const char *function, const char *argument, int64_t deadline_ns, int64_t wall_ns)
{
    const struct iovec segments[] = {
        {(void *)function, strlen(function)},
        {(void *)argument, strlen(argument)},
    };
    const pinfold_call call = {
        .size = sizeof(call),
        .segments = segments,
        .n_segments = 2,
        .deadline_ns = deadline_ns,
        .wall_ns = wall_ns,
    };
    uint64_t id = 0;
    assert_int_equal(pinfold_pool_submit(pool, &call, &id, NULL), 0);
    return id;
}

/* Check that the call has not ended after twice its time. */
static void stands_still(uint64_t id)
{
    pinfold_result *result = NULL;
    int r = wait_for(pool, id, 2 * BRIEF, &result);
    if (r == 0)
        fail_msg("it has ended: %s", result->reason);
    assert_int_equal(r, -ETIMEDOUT);
}

static void times_out(uint64_t id, uint32_t phase, bool spent)
{
    pinfold_result *result = take(id);
    assert_outcome(result, PINFOLD_TIMEOUT);
    if (result->phase != phase)
        fail_msg("phase %s: %s", pinfold_phase_name(result->phase), result->reason);
    assert_int_equal(!!(result->flags & PINFOLD_WALL), spent);
    if (spent && phase == PINFOLD_PHASE_RUN)
        assert_true(result->metrics.wall_ns >= BRIEF);
    pinfold_result_free(result);
}

static const uint32_t modes[] = {PINFOLD_FRESH, PINFOLD_REUSE, PINFOLD_SPAWN};

static void open_mode(uint32_t isolation, const char *argument, uint32_t flags)
{
    pinfold_config config = rig_config(argument);
    config.isolation = isolation;
    config.max_workers = 1;
    config.flags = flags | (isolation == PINFOLD_FRESH ? 0 : PINFOLD_AHEAD);
    rig_open(&config);
}

static void close_it(void)
{
    pinfold_pool_close(pool);
    pool = NULL;
}

static void test_a_programs_time_counts_from_when_its_worker_begins_it(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(modes); i++) {
        open_mode(modes[i], NULL, 0);
        runs("upper", "x", PINFOLD_OK); /* from here on calls are handed ahead where that is allowed */
        char *path = make_fifo("gate");
        uint64_t one = submit("gate", path, BOUND), next = submit_with("spin", "", BOUND, BRIEF);
        stands_still(next);
        open_gate(path);
        ends(one, PINFOLD_OK);
        times_out(next, PINFOLD_PHASE_RUN, true);
        runs("upper", "x", PINFOLD_OK);
        close_it();
    }
}

static void test_the_sooner_of_the_two_clocks_counts(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(modes); i++) {
        open_mode(modes[i], NULL, 0);
        runs("upper", "x", PINFOLD_OK);
        times_out(submit_with("spin", "", BOUND, BRIEF), PINFOLD_PHASE_RUN, true);
        runs("upper", "x", PINFOLD_OK); /* a worker is there for the next call at once, or soon */
        pinfold_result *result = take(submit_with("spin", "", 10 * BRIEF, BOUND));
        assert_outcome(result, PINFOLD_TIMEOUT);
        assert_int_equal(result->flags & PINFOLD_WALL, 0);
        pinfold_result_free(result);
        ends(submit_with("upper", "x", BOUND, BOUND), PINFOLD_OK);
        close_it();
    }
}

static void test_a_call_that_is_spent_spares_the_calls_that_were_handed_ahead_behind_it(void **state)
{
    (void)state;
    open_mode(PINFOLD_REUSE, NULL, 0);
    for (int round = 0; round < 10; round++) {
        uint64_t ids[24], one;
        for (size_t i = 0; i < COUNT_OF(ids) / 2; i++)
            ids[i] = submit_with("upper", "x", BOUND, BOUND);
        one = submit_with("spin", "", BOUND, BRIEF);
        for (size_t i = COUNT_OF(ids) / 2; i < COUNT_OF(ids); i++)
            ids[i] = submit_with("upper", "x", BOUND, BOUND);
        times_out(one, PINFOLD_PHASE_RUN, true);
        for (size_t i = 0; i < COUNT_OF(ids); i++)
            ends(ids[i], PINFOLD_OK);
    }
}

static void test_calls_with_a_time_of_their_own_are_handed_ahead(void **state)
{
    (void)state;
    open_mode(PINFOLD_REUSE, NULL, 0);
    runs("upper", "x", PINFOLD_OK);
    for (int64_t end = now_ns() + BOUND;;) {
        char *path = make_fifo("gate");
        uint64_t one = submit_with("gate", path, BOUND, BOUND), next = submit_with("upper", "x", BOUND, BOUND);
        pthread_mutex_lock(&pool->lock);
        const bool ahead = pool->n_ahead == 1;
        pthread_mutex_unlock(&pool->lock);
        open_gate(path);
        ends(one, PINFOLD_OK);
        ends(next, PINFOLD_OK);
        if (ahead)
            break;
        assert_true(now_ns() < end);
    }
}

static void test_a_call_that_waits_behind_others_is_in_the_queue(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(modes); i++) {
        open_mode(modes[i], NULL, 0);
        runs("upper", "x", PINFOLD_OK);
        char *path = make_fifo("gate");
        uint64_t one = submit("gate", path, BOUND);
        times_out(submit_with("upper", "x", BRIEF, BRIEF), PINFOLD_PHASE_QUEUE, false);
        open_gate(path);
        ends(one, PINFOLD_OK);
        close_it();
    }
}

static void test_a_call_for_which_a_worker_is_being_started_is_at_its_start(void **state)
{
    (void)state;
    open_mode(PINFOLD_FRESH, "ignores", 0); /* the template ignores what it is asked for */
    assert_int_equal(pinfold_pool_wait_ready(pool, BOUND, NULL), 0);
    uint64_t first = submit_with("upper", "x", 2 * BRIEF, 0), second = submit_with("upper", "x", BRIEF, 0);
    times_out(second, PINFOLD_PHASE_QUEUE, false);
    times_out(first, PINFOLD_PHASE_START, false);
}

/* Return the pid of an idle worker, which is stopped now. */
static pid_t stop_a_worker(void)
{
    pinfold_result *result = take(submit("upper", "x", BOUND));
    const pid_t pid = result->metrics.worker_pid;
    pinfold_result_free(result);
    stop_process(pid);
    return pid;
}

static void test_a_call_that_its_worker_has_not_begun_is_at_its_start(void **state)
{
    (void)state;
    for (size_t i = 1; i < COUNT_OF(modes); i++) {
        open_mode(modes[i], NULL, 0);
        stop_a_worker();
        times_out(submit_with("upper", "x", BRIEF, BRIEF), PINFOLD_PHASE_START, false);
        runs("upper", "x", PINFOLD_OK);

        /* The program's own time does not pass before it begins. */
        const pid_t pid = stop_a_worker();
        uint64_t id = submit_with("spin", "", BOUND, BRIEF);
        stands_still(id);
        kill(pid, SIGCONT);
        times_out(id, PINFOLD_PHASE_RUN, true);
        close_it();
    }
}

static void test_a_worker_that_never_begins_its_call_has_as_long_as_to_be_ready(void **state)
{
    (void)state;
    pinfold_config config = rig_config(NULL);
    config.isolation = PINFOLD_REUSE;
    config.max_workers = 1;
    rig_open(&config);
    stop_a_worker();
    pthread_mutex_lock(&pool->lock);
    pool->config.open_timeout_ns = BRIEF;
    pthread_mutex_unlock(&pool->lock);
    times_out(submit_with("upper", "x", PINFOLD_FOREVER, BOUND), PINFOLD_PHASE_START, true);
}

static void test_the_time_in_which_a_pool_opens_is_nobodys(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(modes); i++) {
        char *path = make_fifo("opens");
        open_mode(modes[i], path, 0);
        uint64_t running = submit_with("spin", "", BRIEF, 0), waiting = submit_with("upper", "x", BRIEF, 0);
        stands_still(running);
        stands_still(waiting);
        open_gate(path);
        ends(running, PINFOLD_TIMEOUT);
        pinfold_result_free(take(waiting)); /* in time or not, but it ends */
        close_it();
    }
}

/* Return what is left of the call's deadline while that stands still; otherwise 0. */
static int64_t left_of(uint64_t id)
{
    pthread_mutex_lock(&pool->lock);
    const struct call *call = handle_get(&pool->calls, id);
    const int64_t left_ns = call ? call->clocks.left_ns : 0;
    pthread_mutex_unlock(&pool->lock);
    return left_ns;
}

static void test_the_time_in_which_a_pool_opens_again_is_nobodys(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(modes); i++) {
        char *path = make_fifo("opens"), *again = NULL;
        open_mode(modes[i], path, PINFOLD_EVENTS);
        assert_true(asprintf(&again, "%s", path) > 0);
        open_gate(path);
        runs("upper", "x", PINFOLD_OK);
        assert_int_equal(mkfifo(again, 0600), 0);
        /* A waiting call whose deadline stands still, and one that comes meanwhile. */
        char *gate = make_fifo("gate");
        uint64_t one = submit("gate", gate, BOUND), waiting = submit_with("upper", "x", BOUND, 0);
        wait_for_hand(one);
        kill(stats().template_pid, SIGKILL);
        ends(one, PINFOLD_LOST);
        const int64_t left_ns = left_of(waiting);
        assert_in_range(left_ns, 1, BOUND - 1);
        uint64_t late = submit_with("spin", "", BRIEF, 0);
        stands_still(late);
        assert_int_equal(left_of(waiting), left_ns);
        open_gate(again);
        ends(waiting, PINFOLD_OK);
        ends(late, PINFOLD_TIMEOUT);
        unlink(gate);
        free(gate);
        close_it();
    }
}

static void test_an_opening_that_never_ends_is_over_in_its_own_time(void **state)
{
    (void)state;
    pinfold_config config = rig_config("hangs");
    config.open_timeout_ns = 2 * BRIEF;
    rig_open(&config);
    pinfold_result *result = take(submit_with("upper", "x", BRIEF, BRIEF));
    assert_outcome(result, PINFOLD_INTERNAL);
    assert_int_equal(result->phase, PINFOLD_PHASE_START);
    assert_non_null(strstr(result->reason, "not ready within"));
    pinfold_result_free(result);
}

static void test_a_spawned_worker_that_never_loads_stops_no_clock_for_ever(void **state)
{
    (void)state;
    pinfold_config config = rig_config("stillborn");
    config.isolation = PINFOLD_SPAWN;
    config.max_workers = 1;
    rig_open(&config);
    pinfold_result *result = take(submit_with("upper", "x", BRIEF, 0));
    assert_true(result->outcome == PINFOLD_TIMEOUT || result->outcome == PINFOLD_INTERNAL);
    assert_int_equal(result->phase, PINFOLD_PHASE_START);
    pinfold_result_free(result);
}

static void test_every_outcome_that_is_no_value_has_its_phase(void **state)
{
    (void)state;
    open_mode(PINFOLD_FRESH, NULL, 0);
    static const struct {
        const char *function, *argument;
        uint32_t outcome, phase;
    } ends_so[] = {
        {"upper", "x", PINFOLD_OK, PINFOLD_PHASE_NONE},
        {"crash", "11", PINFOLD_SIGNALLED, PINFOLD_PHASE_RUN},
        {"exec", "", PINFOLD_EXITED, PINFOLD_PHASE_RUN},
        {"garbage", "", PINFOLD_BAD_RESULT, PINFOLD_PHASE_RUN},
    };
    for (size_t i = 0; i < COUNT_OF(ends_so); i++) {
        pinfold_result *result = take(submit(ends_so[i].function, ends_so[i].argument, BOUND));
        assert_outcome(result, ends_so[i].outcome);
        assert_int_equal(result->phase, ends_so[i].phase);
        pinfold_result_free(result);
    }
    char *path = make_fifo("gate");
    uint64_t one = submit("gate", path, BOUND), next = submit("upper", "x", BOUND);
    open_gate(path); /* it has begun: open_gate found a reader */
    ends(one, PINFOLD_OK);
    ends(next, PINFOLD_OK);
    path = make_fifo("gate");
    one = submit("gate", path, BOUND);
    next = submit("upper", "x", BOUND);
    assert_int_equal(pinfold_pool_cancel(pool, next), 0);
    pinfold_result *result = take(next);
    assert_int_equal(result->phase, PINFOLD_PHASE_QUEUE);
    pinfold_result_free(result);
    open_gate(path);
    ends(one, PINFOLD_OK);
    for (uint32_t phase = 0; phase < PINFOLD_PHASES; phase++)
        assert_non_null(pinfold_phase_name(phase));
    assert_null(pinfold_phase_name(PINFOLD_PHASES));
}

static void test_a_call_whose_time_is_negative_is_refused(void **state)
{
    (void)state;
    rig_open_plain(PINFOLD_FRESH, 1);
    const struct iovec segment = {(void *)"upper", 5};
    const pinfold_call call = {
        .size = sizeof(call), .segments = &segment, .n_segments = 1, .deadline_ns = BOUND, .wall_ns = -1};
    pinfold_error error;
    uint64_t id;
    assert_int_equal(pinfold_pool_submit(pool, &call, &id, &error), -EINVAL);
    assert_non_null(strstr(error.text, "wall_ns"));
}

/* ---- how many calls may be under way ------------------------------------------------------------------------ */

static void test_calls_are_refused_by_how_many_have_not_ended(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(modes); i++) {
        for (uint32_t queue = 0; queue < 2; queue++) {
            char *opens = make_fifo("opens");
            pinfold_config config = rig_config(opens);
            config.isolation = modes[i];
            config.max_workers = 2;
            config.max_queue = queue;
            config.flags = PINFOLD_AHEAD | (queue ? 0 : PINFOLD_NO_QUEUE);
            rig_open(&config);
            uint64_t ids[3] = {0}, more;
            for (uint32_t n = 0; n < 2 + queue; n++) /* none has a worker yet, and none is one too many */
                assert_int_equal(try_submit(NULL, "upper", "x", BOUND, &ids[n], NULL), 0);
            assert_int_equal(try_submit(NULL, "upper", "x", BOUND, &more, NULL), -EAGAIN);
            open_gate(opens);
            for (int round = 0; round < 20; round++) /* never more than that many unfinished: never refused */
                for (uint32_t n = 0; n < 2 + queue; n++) {
                    ends(ids[n], PINFOLD_OK);
                    assert_int_equal(try_submit(NULL, "upper", "x", BOUND, &ids[n], NULL), 0);
                }
            for (uint32_t n = 0; n < 2 + queue; n++)
                ends(ids[n], PINFOLD_OK);
            close_it();
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        POOL_TEST(test_a_programs_time_counts_from_when_its_worker_begins_it),
        POOL_TEST(test_the_sooner_of_the_two_clocks_counts),
        POOL_TEST(test_a_call_that_is_spent_spares_the_calls_that_were_handed_ahead_behind_it),
        POOL_TEST(test_calls_with_a_time_of_their_own_are_handed_ahead),
        POOL_TEST(test_a_call_that_waits_behind_others_is_in_the_queue),
        POOL_TEST(test_a_call_for_which_a_worker_is_being_started_is_at_its_start),
        POOL_TEST(test_a_call_that_its_worker_has_not_begun_is_at_its_start),
        POOL_TEST(test_a_worker_that_never_begins_its_call_has_as_long_as_to_be_ready),
        POOL_TEST(test_the_time_in_which_a_pool_opens_is_nobodys),
        POOL_TEST(test_the_time_in_which_a_pool_opens_again_is_nobodys),
        POOL_TEST(test_an_opening_that_never_ends_is_over_in_its_own_time),
        POOL_TEST(test_a_spawned_worker_that_never_loads_stops_no_clock_for_ever),
        POOL_TEST(test_every_outcome_that_is_no_value_has_its_phase),
        POOL_TEST(test_a_call_whose_time_is_negative_is_refused),
        POOL_TEST(test_calls_are_refused_by_how_many_have_not_ended),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

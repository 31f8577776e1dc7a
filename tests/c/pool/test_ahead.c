/* SPDX-License-Identifier: Apache-2.0 */
/* Calls handed ahead to a busy worker: each still ends by itself, and only by itself. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/util.h"
#include "pool/pool.h"
#include "rig.h"
#include "wire/slate.h"

#define BATCH 24

/* Take the results; return whether any of the calls was handed ahead. Tests repeat what they do until that
 * happens. */
static bool some_next(const uint64_t *ids, size_t n)
{
    bool seen = false;
    for (size_t i = 0; i < n; i++) {
        pinfold_result *result = take(ids[i]);
        assert_outcome(result, PINFOLD_OK);
        seen = seen || *(const char *)result->segments[0].iov_base == '1';
        pinfold_result_free(result);
    }
    return seen;
}

static pinfold_config ahead_config(uint32_t max_workers)
{
    pinfold_config config = rig_config(NULL);
    config.isolation = PINFOLD_REUSE;
    config.max_workers = max_workers;
    config.flags |= PINFOLD_AHEAD;
    return config;
}

static void open_quick(uint32_t max_workers)
{
    pinfold_config config = ahead_config(max_workers);
    rig_open(&config);
    runs("upper", "x", PINFOLD_OK);
}

static int64_t a_while(void)
{
    return now_ns() + BOUND;
}

static void test_a_worker_has_its_next_call_before_it_has_answered(void **state)
{
    (void)state;
    open_quick(1);
    bool seen = false;
    for (int64_t end = a_while(); !seen;) {
        assert_true(now_ns() < end);
        uint64_t ids[BATCH];
        for (size_t i = 0; i < BATCH; i++)
            ids[i] = submit("report_next", "", BOUND);
        seen = some_next(ids, BATCH);
    }
    assert_int_equal(stats().workers_started, 1);
}

/* Submit batches with one call of another kind in them until calls behind that one were handed ahead, surely or
 * most likely: the calls before it show that. `deadline_ns` is that one call's. */
static void one_among_many(const char *function, const char *argument, int64_t deadline_ns, uint32_t outcome,
                           uint32_t max_workers)
{
    open_quick(max_workers);
    unsigned rounds = 0;
    for (int64_t end = a_while(); rounds < 25;) {
        assert_true(now_ns() < end);
        uint64_t before[BATCH], after[BATCH];
        for (size_t i = 0; i < BATCH; i++)
            before[i] = submit("report_next", "", BOUND);
        uint64_t one = submit(function, argument, deadline_ns);
        for (size_t i = 0; i < BATCH; i++)
            after[i] = submit("upper", i % 2 ? "odd" : "even", BOUND);
        rounds += some_next(before, BATCH);
        for (size_t i = 0; i < BATCH; i++) {
            pinfold_result *result = take(after[i]);
            assert_outcome(result, PINFOLD_OK);
            assert_value(result, i % 2 ? "ODD" : "EVEN");
            pinfold_result_free(result);
        }
        ends(one, outcome);
    }
}

static void test_a_crash_spares_the_calls_behind_it(void **state)
{
    (void)state;
    one_among_many("crash", "11", BOUND, PINFOLD_SIGNALLED, 2);
}

static void test_a_deadline_spares_the_calls_behind_it(void **state)
{
    (void)state;
    one_among_many("spin", "", 20 * NS_PER_MS, PINFOLD_TIMEOUT, 1);
}

static void test_a_damaged_frame_spares_the_calls_behind_it(void **state)
{
    (void)state;
    one_among_many("garbage", "", BOUND, PINFOLD_BAD_RESULT, 1);
}

static void test_an_exit_spares_the_calls_behind_it(void **state)
{
    (void)state;
    one_among_many("exec", "", BOUND, PINFOLD_EXITED, 2);
}

static void test_a_worker_that_answers_what_it_has_not_begun_harms_nobody_else(void **state)
{
    (void)state;
    open_quick(1);
    unsigned rounds = 0;
    for (int64_t end = a_while(); rounds < 10;) {
        assert_true(now_ns() < end);
        uint64_t before[4], liar, after[4];
        for (size_t i = 0; i < COUNT_OF(before); i++)
            before[i] = submit("report_next", "", BOUND);
        liar = submit("lie", "", BOUND);
        for (size_t i = 0; i < COUNT_OF(after); i++)
            after[i] = submit("upper", "x", BOUND);
        some_next(before, COUNT_OF(before));
        pinfold_result *result = take(liar);
        /* On a busy machine both of its results arrive before the pool reads. */
        if (result->outcome != PINFOLD_BAD_RESULT)
            assert_outcome(result, PINFOLD_OK);
        rounds += result->outcome == PINFOLD_OK && *(const char *)result->segments[0].iov_base != '0';
        pinfold_result_free(result);
        for (size_t i = 0; i < COUNT_OF(after); i++) {
            /* The call that the liar settled may have been handed to it by then. The liar then answers it
             * rightly. */
            result = take(after[i]);
            if (result->outcome == PINFOLD_OK && result->segments[0].iov_len == 1)
                assert_value(result, "X");
            else if (result->outcome == PINFOLD_OK)
                assert_value(result, "value");
            else
                assert_true(result->outcome == PINFOLD_EXITED || result->outcome == PINFOLD_BAD_RESULT);
            pinfold_result_free(result);
        }
    }
}

static void test_what_a_call_prints_is_its_own(void **state)
{
    (void)state;
    open_quick(1);
    unsigned rounds = 0;
    for (int64_t end = a_while(); rounds < 25;) {
        assert_true(now_ns() < end);
        uint64_t silent[2 * BATCH], loud[BATCH];
        char text[BATCH][24];
        for (size_t i = 0; i < BATCH; i++) { /* behind the second, the next is handed ahead */
            silent[2 * i] = submit("report_next", "", BOUND);
            silent[2 * i + 1] = submit("report_next", "", BOUND);
            snprintf(text[i], sizeof(text[i]), "text of %zu", i);
            loud[i] = submit("say", text[i], BOUND);
        }
        rounds += some_next(silent, COUNT_OF(silent));
        for (size_t i = 0; i < BATCH; i++) {
            pinfold_result *result = take(loud[i]);
            assert_outcome(result, PINFOLD_OK);
            assert_string_equal(result->out, text[i]);
            pinfold_result_free(result);
        }
    }
}

static void test_what_was_taken_back_leaves_room_for_the_next_call(void **state)
{
    (void)state;
    open_quick(1);
    char text[50000];
    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    for (int round = 0; round < 50; round++) {
        uint64_t ids[BATCH];
        for (size_t i = 0; i < BATCH; i++)
            ids[i] = submit(i % 2 ? "upper" : "say", text, BOUND);
        for (size_t i = 0; i < BATCH; i++)
            ends(ids[i], PINFOLD_OK);
    }
    assert_int_equal(stats().workers_started, 1);
}

static void test_what_is_cancelled_ahead_never_begins_and_harms_nobody(void **state)
{
    (void)state;
    open_quick(1);
    for (int round = 0; round < 200; round++) {
        uint64_t ids[BATCH];
        int r[BATCH];
        for (size_t i = 0; i < BATCH; i++)
            ids[i] = submit("upper", "x", BOUND);
        /* A call that has begun is cancelled all the same, or is over. */
        for (size_t i = 0; i < BATCH; i++)
            r[i] = i % 3 ? -ENOENT : pinfold_pool_cancel(pool, ids[i]);
        for (size_t i = 0; i < BATCH; i++)
            ends(ids[i], r[i] == 0 ? PINFOLD_CANCELLED : PINFOLD_OK);
    }
}

/* Return whether calls wait beside an idle worker although the reactor has woken up. Any leftover timer would
 * end that, but late. */
static bool is_forgotten(void)
{
    pthread_mutex_lock(&pool->lock);
    bool forgotten = pool->n_waiting > 0 && pool->n_idle > 0 && !pool->woken;
    pthread_mutex_unlock(&pool->lock);
    return forgotten;
}

static void test_what_a_cancel_takes_back_goes_on_also_if_it_came_too_late(void **state)
{
    (void)state;
    open_quick(1);
    for (size_t round = 0; round < 2000; round++) {
        uint64_t ids[BATCH];
        for (size_t i = 0; i < BATCH; i++)
            ids[i] = submit("upper", "x", BOUND);
        ends(ids[0], PINFOLD_OK);
        for (size_t i = 0; i < round % 64; i++)
            stats(); /* the worker gets a little further in each round */
        int r = pinfold_pool_cancel(pool, ids[1]);
        assert_false(is_forgotten());
        ends(ids[1], r == 0 ? PINFOLD_CANCELLED : PINFOLD_OK);
        for (size_t i = 2; i < BATCH; i++)
            ends(ids[i], PINFOLD_OK);
    }
}

static void test_a_deadline_is_kept_ahead_and_harms_nobody(void **state)
{
    (void)state;
    open_quick(1);
    pinfold_result *first = take(submit("pid", "", BOUND));
    for (int round = 0; round < 20; round++) {
        runs("upper", "x", PINFOLD_OK);
        char *path = make_fifo("gate");
        uint64_t one = submit("gate", path, BOUND), next = submit("pid", "", 20 * NS_PER_MS);
        ends(next, PINFOLD_TIMEOUT); /* while the first one holds the worker */
        open_gate(path);
        ends(one, PINFOLD_OK);
    }
    pinfold_result *last = take(submit("pid", "", BOUND));
    assert_int_equal(last->segments[0].iov_len, first->segments[0].iov_len);
    assert_memory_equal(last->segments[0].iov_base, first->segments[0].iov_base, first->segments[0].iov_len);
    pinfold_result_free(first);
    pinfold_result_free(last);
}

/* Keep eight calls running and take them in the order of their submits. Some run until it is their turn, and
 * are cancelled. */
static void *be_a_client(void *data)
{
    uint64_t seed = (uintptr_t)data + 1, ids[8] = {0};
    bool endless[8] = {false};
    for (size_t i = 0; i < 600 + COUNT_OF(ids); i++) {
        size_t at = i % COUNT_OF(ids);
        pinfold_result *result;
        int r = 0;
        if (endless[at])
            EXPECT(pinfold_pool_cancel(pool, ids[at]) == 0);
        if (ids[at])
            r = wait_for(pool, ids[at], BOUND, &result);
        EXPECT(r == 0);
        if (r < 0)
            return NULL;
        if (ids[at]) {
            EXPECT(result->outcome == (endless[at] ? PINFOLD_CANCELLED : PINFOLD_OK));
            pinfold_result_free(result);
        }
        endless[at] = random_below(&seed, 12) == 0;
        ids[at] = 0;
        if (i < 600)
            EXPECT(try_submit(NULL, endless[at] ? "block" : "upper", "x",
                              endless[at] ? PINFOLD_FOREVER : 5 * SECOND, &ids[at], NULL) == 0);
    }
    return NULL;
}

static void test_clients_that_end_their_calls_in_order_never_wait_for_each_other(void **state)
{
    (void)state;
    open_quick(2);
    pthread_t clients[3];
    for (uintptr_t i = 0; i < COUNT_OF(clients); i++)
        assert_int_equal(pthread_create(&clients[i], NULL, be_a_client, (void *)i), 0);
    for (size_t i = 0; i < COUNT_OF(clients); i++)
        pthread_join(clients[i], NULL);
    assert_int_equal(failures, 0);
}

static void test_nothing_waits_behind_a_long_call_when_another_worker_is_free(void **state)
{
    (void)state;
    open_quick(2);
    for (int round = 0; round < 50; round++) {
        uint64_t ids[BATCH];
        for (size_t i = 0; i < BATCH / 2; i++)
            ids[i] = submit("upper", "x", BOUND);
        char *path = make_fifo("gate");
        uint64_t one = submit("gate", path, BOUND);
        for (size_t i = BATCH / 2; i < BATCH; i++)
            ids[i] = submit("upper", "x", BOUND);
        for (size_t i = 0; i < BATCH; i++)
            ends(ids[i], PINFOLD_OK);
        open_gate(path); /* only now: all others ended while it held its worker */
        ends(one, PINFOLD_OK);
    }
}

static void test_a_worker_is_handed_no_more_calls_than_it_may_run(void **state)
{
    (void)state;
    pinfold_config config = ahead_config(1);
    config.max_calls_per_worker = 5;
    rig_open(&config);
    uint64_t ids[100];
    for (size_t i = 0; i < COUNT_OF(ids); i++)
        ids[i] = submit("count", "", BOUND);
    for (size_t i = 0; i < COUNT_OF(ids); i++) {
        pinfold_result *result = take(ids[i]);
        assert_outcome(result, PINFOLD_OK);
        assert_in_range(*(const char *)result->segments[0].iov_base, '1', '5');
        assert_int_equal(result->metrics.calls_before, *(const char *)result->segments[0].iov_base - '1');
        pinfold_result_free(result);
    }
    assert_int_equal(stats().workers_started, 20);
}

static void test_calls_ahead_count_as_queued(void **state)
{
    (void)state;
    pinfold_config config = ahead_config(1);
    config.max_queue = 3;
    rig_open(&config);
    for (int round = 0; round < 50; round++) {
        runs("upper", "x", PINFOLD_OK);
        char *path = make_fifo("gate");
        uint64_t id, one = submit("gate", path, BOUND), waits[3];
        for (size_t i = 0; i < COUNT_OF(waits); i++)
            waits[i] = submit("upper", "x", BOUND);
        assert_int_equal(stats().queued, 3);
        assert_int_equal(try_submit(NULL, "upper", "x", BOUND, &id, NULL), -EAGAIN);
        open_gate(path);
        ends(one, PINFOLD_OK);
        for (size_t i = 0; i < COUNT_OF(waits); i++)
            ends(waits[i], PINFOLD_OK);
    }
}

static void test_a_template_that_dies_loses_what_has_begun_and_nothing_else(void **state)
{
    (void)state;
    pinfold_config config = ahead_config(2);
    config.flags |= PINFOLD_NO_PDEATHSIG; /* the workers live on for a moment */
    rig_open(&config);
    runs("upper", "x", PINFOLD_OK);
    for (int round = 0; round < 20; round++) {
        uint64_t ids[4 * BATCH], lost = 0;
        for (size_t i = 0; i < COUNT_OF(ids); i++)
            ids[i] = submit("upper", "x", BOUND);
        const uint64_t templates = stats().templates_started;
        kill(stats().template_pid, SIGKILL);
        for (size_t i = 0; i < COUNT_OF(ids); i++) {
            pinfold_result *result = take(ids[i]);
            assert_true(result->outcome == PINFOLD_OK || result->outcome == PINFOLD_LOST);
            lost += result->outcome == PINFOLD_LOST;
            pinfold_result_free(result);
        }
        assert_true(lost <= 2);
        while (stats().templates_started == templates) /* the pool has not seen the death yet */
            pinfold_result_free(take(submit("upper", "x", BOUND)));
        runs("upper", "x", PINFOLD_OK); /* there is a template again */
    }
}

/* ---- the slate alone ---------------------------------------------------------------------------------------- */

static void test_a_turn_is_begun_or_taken_back_and_never_both(void **state)
{
    (void)state;
    struct pinfold_slate *slate;
    int fd;
    uint32_t turn;
    assert_int_equal(slate_make(&slate, &fd), 0);
    close(fd);
    /* Past the 31 bits of the turns. */
    slate->word = (UINT64_C(0x7ffffffe) << 31) | 0x7ffffffe;
    for (uint32_t i = 0; i < 100; i++) {
        uint32_t first;
        assert_true(slate_offer(slate, &first) && slate_offer(slate, &turn));
        assert_false(slate_begin(slate, turn));
        assert_false(slate_has_begun(slate, first));
        assert_true(slate_begin(slate, first));
        assert_false(slate_begin(slate, first));
        assert_true(slate_has_begun(slate, first) && slate_begun_at(slate, first) > 0);
        assert_int_equal(slate_recall(slate), turn);
        assert_false(slate_begin(slate, turn));
        assert_true(slate_is_before(first, turn) && !slate_is_before(turn, first));
    }
    for (uint32_t i = 0; i < PINFOLD_SLATE_TURNS; i++)
        assert_true(slate_offer(slate, &turn));
    assert_false(slate_offer(slate, &turn));
    slate_close(slate);
    assert_false(slate_begin(slate, slate_recall(slate)));
    assert_false(slate_offer(slate, &turn));
    slate_open(slate);
    assert_true(slate_offer(slate, &turn) && slate_begin(slate, turn));
    slate_unmap(&slate);
}

static void test_a_slate_cannot_be_made_smaller(void **state)
{
    (void)state;
    struct pinfold_slate *slate;
    int fd;
    assert_int_equal(slate_make(&slate, &fd), 0);
    assert_int_equal(ftruncate(fd, 0), -1);
    close(fd);
    slate_unmap(&slate);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        POOL_TEST(test_a_worker_has_its_next_call_before_it_has_answered),
        POOL_TEST(test_a_crash_spares_the_calls_behind_it),
        POOL_TEST(test_a_deadline_spares_the_calls_behind_it),
        POOL_TEST(test_a_damaged_frame_spares_the_calls_behind_it),
        POOL_TEST(test_an_exit_spares_the_calls_behind_it),
        POOL_TEST(test_a_worker_that_answers_what_it_has_not_begun_harms_nobody_else),
        POOL_TEST(test_what_a_call_prints_is_its_own),
        POOL_TEST(test_what_was_taken_back_leaves_room_for_the_next_call),
        POOL_TEST(test_what_is_cancelled_ahead_never_begins_and_harms_nobody),
        POOL_TEST(test_what_a_cancel_takes_back_goes_on_also_if_it_came_too_late),
        POOL_TEST(test_a_deadline_is_kept_ahead_and_harms_nobody),
        POOL_TEST(test_clients_that_end_their_calls_in_order_never_wait_for_each_other),
        POOL_TEST(test_nothing_waits_behind_a_long_call_when_another_worker_is_free),
        POOL_TEST(test_a_worker_is_handed_no_more_calls_than_it_may_run),
        POOL_TEST(test_calls_ahead_count_as_queued),
        POOL_TEST(test_a_template_that_dies_loses_what_has_begun_and_nothing_else),
        cmocka_unit_test(test_a_turn_is_begun_or_taken_back_and_never_both),
        cmocka_unit_test(test_a_slate_cannot_be_made_smaller),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

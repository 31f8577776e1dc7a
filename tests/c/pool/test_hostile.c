/* SPDX-License-Identifier: Apache-2.0 */
/* A worker that breaks the protocol ends its own call as bad_result, is killed, and harms nothing else. */
#include "rig.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/util.h"
#include "pool/pool.h"

/* Of the tests that follow in a group. */
static uint32_t isolation;
static bool distrusts; /* as with boxed workers: spills are sealed memfds */

static void open_pool(uint32_t max_workers)
{
    pinfold_config config = rig_config(NULL);
    config.isolation = isolation;
    config.max_workers = max_workers;
    if (distrusts)
        config.flags |= PINFOLD_DISTRUST;
    rig_open(&config);
}

static const struct {
    const char *function, *reason;
} attacks[] = {
    {"wrong_id", "nobody asked for"},
    {"garbage", "damaged frame"},
    {"empty_message", "damaged frame"},
    {"too_large", "damaged frame"},
    {"wrong_kind", "damaged frame"},
    {"wrong_status", "damaged frame"},
    {"wrong_size", "damaged frame"},
    {"damaged_table", "payload of the result is damaged"},
    {"no_spill", "damaged frame"},
    {"three_spills", "damaged frame"},
    {"writer_open", "still open for writing"},
    {"writer_sent", "still open for writing"},
    {"writer_mapped", "still open for writing"},
    {"spill_short", "is none"},
    {"spill_long", "is none"},
    {"spill_huge", "is none"},
    {"spill_damaged", "payload of the result is damaged"},
    {"spill_unsealed", "is none"},
    {"spill_with_a_hole", "is none"},
    {"spill_of_huge_pages", "is none"},
    {"spill_pipe", "is none"},
    {"spill_directory", "is none"},
    {"spill_elsewhere", "is none"},
    {"spill_device", "is none"},
    {"spill_socket", "is none"},
    {"spill_writable", "is none"},
    {"spill_shrinkable", "is none"},
    {"spill_sealed_short", "is none"},
    {"spill_sealed_path", "is none"},
    {"spill_leased", "still open for writing"},
    {"fd_flood", "damaged frame"},
    {"held_unsealed", "is no sealed memfd"},
    {"held_short", "is none"},
    {"held_nothing", "is none"},
    {"held_below", "is none"},
    {"held_file", "is none"},
    {"held_pipe", "is none"},
    {"held_terminal", "is none"},
    {"held_channel", "is none"},
    {"held_and_sent", "damaged frame"},
};

/* Return whether the result has this reason. Where workers are boxed, a spill is examined in another way. */
static bool is_told(const pinfold_result *result, const char *function, const char *reason)
{
    static const char *const sent[] = {"writer_sent", "spill_sealed_path"};
    static const char *const files[] = {"writer_open", "writer_mapped", "spill_damaged", "spill_leased"};
    for (size_t i = 0; distrusts && i < COUNT_OF(sent); i++)
        if (strcmp(function, sent[i]) == 0)
            reason = "damaged frame";
    for (size_t i = 0; distrusts && i < COUNT_OF(files); i++)
        if (strcmp(function, files[i]) == 0)
            reason = "is none";
    if (distrusts && strncmp(function, "spill_", 6) == 0 && strstr(result->reason, "is no sealed memfd"))
        return strcmp(function, "spill_sealed_short") != 0;
    return strstr(result->reason, reason) != NULL;
}

static void test_every_damaged_answer_is_a_bad_result_and_the_pool_goes_on(void **state)
{
    (void)state;
    open_pool(2);
    for (size_t i = 0; i < COUNT_OF(attacks); i++) {
        uint64_t neighbour = submit("upper", "neighbour", BOUND);
        uint64_t id = submit(attacks[i].function, "", BOUND);
        pinfold_event start;
        do
            start = next_event(PINFOLD_EVENT_CALL_START);
        while (start.call_id != id);
        pinfold_result *result = take(id);
        if (result->outcome != PINFOLD_BAD_RESULT || !is_told(result, attacks[i].function, attacks[i].reason))
            fail_msg("%s: %s: %s", attacks[i].function, pinfold_outcome_name(result->outcome), result->reason);
        assert_int_equal(result->n_segments, 0);
        assert_int_equal(result->signal, 0);
        assert_true(result->flags & PINFOLD_HAS_METRICS);
        assert_false(exists(start.worker_pid));
        pinfold_result_free(result);
        ends(neighbour, PINFOLD_OK);
        runs("upper", "after", PINFOLD_OK);
    }
    assert_int_equal(stats().outcomes[PINFOLD_BAD_RESULT], COUNT_OF(attacks));
    assert_int_equal(stats().templates_started, 1);
}

/* Let the call send everything before the pool reads any of it. */
static void send_all_at_once(const char *path)
{
    pthread_mutex_lock(&pool->lock);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    struct pollfd watched = {.fd = fd};
    assert_int_equal(poll(&watched, 1, -1), 1); /* its reader closed it */
    close(fd);
    pthread_mutex_unlock(&pool->lock);
}

static void test_of_two_results_at_once_neither_counts(void **state)
{
    (void)state;
    _cleanup_free_ char *path = make_fifo("fifo");
    open_pool(1);
    static const char *const reasons[][2] = {
        {"two_results", "it sent more than one result"},
        {"result_and_garbage", "it sent a damaged frame"},
    };
    for (size_t i = 0; i < COUNT_OF(reasons); i++) {
        uint64_t id = submit(reasons[i][0], path, BOUND);
        pid_t worker = wait_for_start(id);
        send_all_at_once(path);
        pinfold_result *result = take(id);
        assert_outcome(result, PINFOLD_BAD_RESULT);
        assert_string_equal(result->reason, reasons[i][1]);
        assert_int_equal(result->n_segments, 0);
        assert_false(exists(worker));
        pinfold_result_free(result);
        runs("upper", "after", PINFOLD_OK);
    }
    unlink(path);
}

static void test_a_result_after_the_first_was_told_changes_nothing_and_ends_the_worker(void **state)
{
    (void)state;
    _cleanup_free_ char *path = make_fifo("fifo");
    rig_open_plain(isolation, 1);
    pinfold_result *result = take(submit("late_result", path, BOUND));
    assert_outcome(result, PINFOLD_OK);
    assert_value(result, "value");
    pinfold_result_free(result);
    if (isolation != PINFOLD_FRESH) /* otherwise it is killed already */
        close(open(path, O_WRONLY | O_CLOEXEC));
    next_event(PINFOLD_EVENT_WORKER_EXIT);
    runs("upper", "after", PINFOLD_OK);
    assert_int_equal(stats().outcomes[PINFOLD_EXCEPTION], 0);
    unlink(path);
}

static void test_frames_out_of_turn_mean_nothing(void **state)
{
    (void)state;
    rig_open_plain(isolation, 1);
    pinfold_result *result = take(submit("out_of_turn", "", BOUND));
    assert_outcome(result, PINFOLD_OK);
    assert_value(result, "in turn");
    assert_string_equal(result->stack, "");
    pinfold_result_free(result);
    runs("upper", "after", PINFOLD_OK);
}

static void test_a_worker_that_says_it_cannot_start_leaves_its_call_internal(void **state)
{
    (void)state;
    rig_open_plain(isolation, 1);
    pinfold_result *result = take(submit("decline", "", BOUND));
    assert_outcome(result, PINFOLD_INTERNAL);
    assert_string_equal(result->reason, "the worker could not start: no memory");
    pinfold_result_free(result);
    runs("upper", "after", PINFOLD_OK);
}

static void test_a_flood_of_stacks_is_taken_and_hurts_nobody(void **state)
{
    (void)state;
    rig_open_plain(isolation, 2);
    uint64_t flood = submit("stack_flood", "5000", BOUND);
    for (int i = 0; i < 50; i++)
        runs("upper", "meanwhile", PINFOLD_OK);
    pinfold_result *result = take(flood);
    assert_outcome(result, PINFOLD_OK);
    assert_value(result, "after the flood");
    assert_int_equal(strlen(result->stack), 60000);
    pinfold_result_free(result);
}

static void test_what_comes_behind_a_result_that_is_being_told_changes_nothing(void **state)
{
    (void)state;
    _cleanup_free_ char *path = make_fifo("fifo");
    open_pool(1);
    uint64_t id = submit("result_and_more", path, BOUND);
    wait_for_start(id);
    send_all_at_once(path);
    pinfold_result *result = take(id);
    assert_outcome(result, PINFOLD_OK);
    assert_value(result, "value");
    pinfold_result_free(result);
    runs("upper", "after", PINFOLD_OK);
    unlink(path);
}

static void test_a_large_value_comes_whole(void **state)
{
    (void)state;
    open_pool(1);
    pinfold_result *result = take(submit("big", "1000000", BOUND));
    assert_outcome(result, PINFOLD_OK);
    assert_int_equal(result->n_segments, 1);
    assert_int_equal(result->segments[0].iov_len, 1000000);
    assert_int_equal(result->metrics.result_bytes, 1000064);
    pinfold_result_free(result);
}

static void test_a_sealed_memfd_is_a_spill_too(void **state)
{
    (void)state;
    open_pool(1);
    pinfold_result *result = take(submit("spill_sealed", "", BOUND));
    assert_outcome(result, PINFOLD_OK);
    assert_value(result, "value");
    pinfold_result_free(result);
}

static void test_a_sealed_memfd_is_taken_from_its_worker(void **state)
{
    (void)state;
    open_pool(1);
    pinfold_result *result = take(submit("held_sealed", "", BOUND));
    assert_outcome(result, PINFOLD_OK);
    assert_value(result, "value");
    pinfold_result_free(result);
}

/* Return whether another process finds the file locked (fcntl(2), F_GETLK). */
static bool is_locked(int fd)
{
    pid_t other = fork();
    if (other == 0) {
        struct flock lock = {.l_type = F_WRLCK};
        _exit(fcntl(fd, F_GETLK, &lock) == 0 && lock.l_type != F_UNLCK ? 0 : 1);
    }
    int status;
    return other > 0 && waitpid(other, &status, 0) == other && status == 0;
}

/* When a process closes any descriptor of a file, its locks on the file end. */
static void test_whatever_a_box_sends_the_caller_keeps_its_locks(void **state)
{
    (void)state;
    static const char *const ways[] = {"drop_refused", "drop_surplus", "drop_with_words", "held_path"};
    char path[] = "/tmp/pinfold-locked-XXXXXX";
    int fd = mkostemp(path, O_CLOEXEC);
    struct flock lock = {.l_type = F_WRLCK};
    assert_int_equal(fcntl(fd, F_SETLK, &lock), 0);
    open_pool(1);
    for (size_t i = 0; i < COUNT_OF(ways); i++) {
        runs(ways[i], path, PINFOLD_BAD_RESULT);
        runs("upper", "after", PINFOLD_OK);
        if (!is_locked(fd))
            fail_msg("%s: no lock is left", ways[i]);
    }
    unlink(path);
    close(fd);
}

static void test_a_box_sends_no_descriptor_however_good(void **state)
{
    (void)state;
    open_pool(1);
    runs("spill_sealed", "", PINFOLD_BAD_RESULT);
}

/* The last descriptor of a large file takes long to close. A stopped guard has not closed it, and nobody else
 * has. */
static void test_what_a_worker_sends_besides_a_result_its_guard_closes(void **state)
{
    (void)state;
    static const struct {
        const char *function;
        uint32_t outcome;
    } ways[] = {
        {"drop_refused", PINFOLD_BAD_RESULT},    {"drop_surplus", PINFOLD_BAD_RESULT},
        {"drop_with_words", PINFOLD_BAD_RESULT}, {"drop_behind_garbage", PINFOLD_BAD_RESULT},
        {"drop_behind_nothing", PINFOLD_EXITED}, {"drop_behind_result", PINFOLD_OK},
    };
    open_pool(1);
    for (size_t i = 0; i < COUNT_OF(ways); i++) {
        if (ways[i].outcome == PINFOLD_OK && isolation == PINFOLD_FRESH) /* a fresh worker is killed at once */
            continue;
        _cleanup_free_ char *path = make_fifo("fifo"), *gate = make_fifo("fifo.gate");
        int reader = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
        runs("upper", "opens the pool", PINFOLD_OK);
        pid_t guard = parent_of(stats().template_pid);
        stop_process(guard);
        uint64_t id = submit(ways[i].function, path, BOUND);
        pid_t worker = wait_for_start(id);
        if (strncmp(ways[i].function, "drop_behind_", 12) == 0 && ways[i].outcome != PINFOLD_OK)
            send_all_at_once(gate);
        ends(id, ways[i].outcome);
        if (ways[i].outcome == PINFOLD_OK)
            close(open(gate, O_WRONLY | O_CLOEXEC));
        while (next_event(PINFOLD_EVENT_WORKER_EXIT).worker_pid != worker)
            ;
        struct pollfd watched = {.fd = reader, .events = POLLIN};
        if (poll(&watched, 1, 0) != 0)
            fail_msg("%s: closed", ways[i].function);
        kill(guard, SIGCONT);
        assert_int_equal(poll(&watched, 1, -1), 1);
        close(reader);
        unlink(path);
        unlink(gate);
    }
}

/* A fresh worker is killed after its result, whatever it continues to do. */
static void test_a_worker_that_stays_after_its_answer_is_killed(void **state)
{
    (void)state;
    rig_open_plain(PINFOLD_FRESH, 1);
    uint64_t id = submit("answer_and_stay", "", BOUND);
    pid_t worker = wait_for_start(id);
    ends(id, PINFOLD_OK);
    pinfold_event event = next_event(PINFOLD_EVENT_WORKER_EXIT);
    assert_string_equal(event.reason, "call done");
    assert_int_equal(event.worker_pid, worker);
    assert_false(exists(worker));
}

static void test_a_worker_that_kills_its_template_is_lost_and_the_pool_goes_on(void **state)
{
    (void)state;
    rig_open_plain(isolation, 2);
    uint64_t neighbour = submit("spin", "", PINFOLD_FOREVER);
    wait_for_start(neighbour);
    runs("kill_template", "", PINFOLD_LOST);
    ends(neighbour, PINFOLD_LOST);
    runs("upper", "after", PINFOLD_OK);
    assert_int_equal(stats().templates_started, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        POOL_TEST(test_every_damaged_answer_is_a_bad_result_and_the_pool_goes_on),
        POOL_TEST(test_of_two_results_at_once_neither_counts),
        POOL_TEST(test_a_result_after_the_first_was_told_changes_nothing_and_ends_the_worker),
        POOL_TEST(test_frames_out_of_turn_mean_nothing),
        POOL_TEST(test_a_worker_that_says_it_cannot_start_leaves_its_call_internal),
        POOL_TEST(test_a_flood_of_stacks_is_taken_and_hurts_nobody),
        POOL_TEST(test_what_comes_behind_a_result_that_is_being_told_changes_nothing),
        POOL_TEST(test_a_large_value_comes_whole),
        POOL_TEST(test_a_sealed_memfd_is_a_spill_too),
        POOL_TEST(test_a_sealed_memfd_is_taken_from_its_worker),
        POOL_TEST(test_a_worker_that_stays_after_its_answer_is_killed),
        POOL_TEST(test_a_worker_that_kills_its_template_is_lost_and_the_pool_goes_on),
    };
    const struct CMUnitTest distrusting[] = {
        POOL_TEST(test_every_damaged_answer_is_a_bad_result_and_the_pool_goes_on),
        POOL_TEST(test_of_two_results_at_once_neither_counts),
        POOL_TEST(test_what_comes_behind_a_result_that_is_being_told_changes_nothing),
        POOL_TEST(test_a_large_value_comes_whole),
        POOL_TEST(test_a_sealed_memfd_is_taken_from_its_worker),
        POOL_TEST(test_a_box_sends_no_descriptor_however_good),
        POOL_TEST(test_whatever_a_box_sends_the_caller_keeps_its_locks),
        POOL_TEST(test_what_a_worker_sends_besides_a_result_its_guard_closes),
    };
    static const char *const names[] = {"fresh", "reuse", "spawn"};
    int failed = 0;
    for (isolation = PINFOLD_FRESH; isolation <= PINFOLD_SPAWN; isolation++) {
        distrusts = false;
        failed += cmocka_run_group_tests_name(names[isolation], tests, NULL, NULL);
        distrusts = true;
        failed += cmocka_run_group_tests_name(names[isolation], distrusting, NULL, NULL);
    }
    return failed;
}

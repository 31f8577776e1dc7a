/* SPDX-License-Identifier: Apache-2.0 */
/* The functions of pinfold.h, one by one: what they accept, what they refuse, which threads they wake, and
 * ownership. */
#include "pool/pool.h"
#include "rig.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>

static bool readable(int fd)
{
    struct pollfd watched = {.fd = fd, .events = POLLIN};
    return poll(&watched, 1, 0) == 1;
}

static void wait_readable(int fd)
{
    struct pollfd watched = {.fd = fd, .events = POLLIN};
    assert_int_equal(RETRY_EINTR(poll(&watched, 1, (int)(BOUND / NS_PER_MS))), 1);
}

/* ---- opening ------------------------------------------------------------------------------------------------ */

static void refused(const pinfold_config *config, int code, const char *word)
{
    pinfold_error error = {.code = 4242};
    pinfold_pool *opened = (pinfold_pool *)4242;
    int r = pinfold_pool_open(config, &opened, &error);
    if (r != code || error.code != code || !strstr(error.text, word))
        fail_msg("%d, not %d: %s", r, code, error.text);
    assert_int_equal(pinfold_pool_open(config, &opened, NULL), code);
    assert_ptr_equal(opened, (pinfold_pool *)4242);
}

static void test_a_wrong_config_is_refused_by_the_name_of_its_field(void **state)
{
    (void)state;
    const pinfold_config right = rig_config(NULL);
#define WRONG(field, value)                                                                                       \
    do {                                                                                                          \
        pinfold_config config = right;                                                                            \
        config.field = value;                                                                                     \
        refused(&config, -EINVAL, #field);                                                                        \
    } while (0)
    static const char *const none[] = {NULL}, *const relative[] = {"true", NULL};
    char long_path[5000];
    memset(long_path, '/', sizeof(long_path) - 1);
    long_path[sizeof(long_path) - 1] = '\0';
    WRONG(size, 0);
    WRONG(size, sizeof(pinfold_config) + 8);
    WRONG(argv, NULL);
    WRONG(argv, none);
    WRONG(argv, relative);
    WRONG(spill_dir, NULL);
    WRONG(spill_dir, "");
    WRONG(spill_dir, long_path);
    WRONG(isolation, 3);
    WRONG(max_workers, 0);
    WRONG(max_workers, 4097);
    WRONG(idle_timeout_ns, 0);
    WRONG(idle_timeout_ns, -1);
    WRONG(open_timeout_ns, 0);
    WRONG(open_timeout_ns, INT64_MIN);
    WRONG(output_bytes, UINT64_MAX);
    WRONG(flags, 1u << 31);
}

static void test_what_is_not_there_is_refused_at_once(void **state)
{
    (void)state;
    pinfold_config config = rig_config(NULL);
    config.guard = "/nowhere/pinfold-guard";
    refused(&config, -ENOENT, "/nowhere/pinfold-guard");
    config.guard = "/dev/null";
    refused(&config, -EACCES, "/dev/null");
    config = rig_config(NULL);
    config.argv = (const char *const[]){"/nowhere/python", NULL};
    refused(&config, -ENOENT, "/nowhere/python");
    config.argv = (const char *const[]){"/dev/null", NULL};
    refused(&config, -EACCES, "/dev/null");
    config = rig_config(NULL);
    config.spill_dir = "/nowhere/spills";
    refused(&config, -ENOENT, "/nowhere/spills");
    config.spill_dir = "/dev/null";
    refused(&config, -ENOTDIR, "/dev/null");
}

static void test_the_pool_keeps_nothing_of_the_config(void **state)
{
    (void)state;
    char *argv[] = {strdup(RUNTIME), NULL}, *envp[] = {strdup("A=1"), NULL};
    char *guard = strdup(GUARD), *directory = strdup(spill_dir);
    pinfold_config config = rig_config(NULL);
    config.argv = (const char *const *)argv;
    config.envp = (const char *const *)envp;
    config.guard = guard;
    config.spill_dir = directory;
    rig_open(&config);
    free(argv[0]);
    free(envp[0]);
    free(guard);
    free(directory);
    memset(&config, 0xAA, sizeof(config));
    runs("upper", "x", PINFOLD_OK);
    uint64_t id = submit("kill_template", "", BOUND); /* the next template is started from the copies */
    ends(id, PINFOLD_LOST);
    pinfold_result *result = take(submit("environment", "", BOUND));
    assert_value(result, "A=1\n");
    pinfold_result_free(result);
}

static void test_a_next_template_has_nothing_of_a_thread_that_waits(void **state)
{
    (void)state;
    cpu_set_t usual, one, its;
    assert_int_equal(sched_getaffinity(0, sizeof(usual), &usual), 0);
    if (CPU_COUNT(&usual) < 2)
        skip();
    rig_open_plain(PINFOLD_FRESH, 1);
    runs("upper", "x", PINFOLD_OK);
    CPU_ZERO(&one);
    for (size_t cpu = 0; CPU_COUNT(&one) == 0; cpu++)
        if (CPU_ISSET(cpu, &usual))
            CPU_SET(cpu, &one);
    assert_int_equal(sched_setaffinity(0, sizeof(one), &one), 0);
    bool equal = true;
    for (int i = 0; i < 5; i++) {
        ends(submit("kill_template", "", BOUND), PINFOLD_LOST);
        runs("upper", "x", PINFOLD_OK);
        equal =
            sched_getaffinity(stats().template_pid, sizeof(its), &its) == 0 && CPU_EQUAL(&its, &usual) && equal;
    }
    assert_int_equal(sched_setaffinity(0, sizeof(usual), &usual), 0);
    assert_true(equal);
}

static void test_a_relative_spill_directory_is_the_same_for_all(void **state)
{
    (void)state;
    _cleanup_close_ int before = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(chdir(spill_dir), 0);
    pinfold_config config = rig_config(NULL);
    config.spill_dir = ".";
    rig_open(&config);
    assert_int_equal(chdir("/proc"), 0); /* where no spill can be made */
    ends(submit("kill_template", "", BOUND), PINFOLD_LOST);
    runs("big", "1000000", PINFOLD_OK);
    assert_int_equal(fchdir(before), 0);
}

static void test_a_pool_becomes_ready(void **state)
{
    (void)state;
    rig_open_plain(PINFOLD_FRESH, 1);
    assert_int_equal(pinfold_pool_wait_ready(pool, BOUND, NULL), 0);
    assert_int_equal(pinfold_pool_wait_ready(pool, 0, NULL), 0);
    assert_true(stats().template_pid > 0);
}

static void test_every_descriptor_of_a_pool_is_closed_on_exec(void **state)
{
    (void)state;
    rig_open_plain(PINFOLD_FRESH, 4);
    runs("big", "1000000", PINFOLD_OK);
    pinfold_queue *queue;
    assert_int_equal(pinfold_queue_open(pool, &queue), 0);
    for (int fd = 3; fd < (int)descriptors_used(); fd++) {
        int flags = fcntl(fd, F_GETFD);
        if (flags >= 0 && !(flags & FD_CLOEXEC)) {
            char path[32], target[256] = "";
            snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
            if (readlink(path, target, sizeof(target) - 1) > 0 && !strstr(target, "pipe") && !strchr(target, '/'))
                fail_msg("%d -> %s", fd, target);
        }
    }
    pinfold_queue_close(queue);
}

/* ---- submitting --------------------------------------------------------------------------------------------- */

static void test_a_wrong_call_is_refused_by_the_name_of_its_field(void **state)
{
    (void)state;
    rig_open_plain(PINFOLD_FRESH, 1);
    const struct iovec segment = {"upper", 5};
    const pinfold_call right = {
        .size = sizeof(right), .segments = &segment, .n_segments = 1, .deadline_ns = BOUND};
    uint64_t id = 4242;
#define WRONG_CALL(field, value, word)                                                                            \
    do {                                                                                                          \
        pinfold_error error = {.code = 0};                                                                        \
        pinfold_call call = right;                                                                                \
        call.field = value;                                                                                       \
        assert_int_equal(pinfold_pool_submit(pool, &call, &id, &error), -EINVAL);                                 \
        assert_int_equal(error.code, -EINVAL);                                                                    \
        assert_non_null(strstr(error.text, word));                                                                \
        assert_int_equal(pinfold_pool_submit(pool, &call, &id, NULL), -EINVAL);                                   \
    } while (0)
    WRONG_CALL(size, 8, "size");
    WRONG_CALL(segments, NULL, "segments");
    WRONG_CALL(n_segments, 0, "segments");
    WRONG_CALL(n_segments, (1u << 20) + 1, "segments");
    WRONG_CALL(deadline_ns, 0, "deadline_ns");
    WRONG_CALL(deadline_ns, -1, "deadline_ns");
    WRONG_CALL(cpu_ns, -1, "cpu_ns");
    assert_int_equal(id, 4242);
    assert_int_equal(stats().submitted, 0);
}

static void test_a_queue_of_another_pool_is_refused(void **state)
{
    (void)state;
    rig_open_plain(PINFOLD_REUSE, 1);
    pinfold_pool *other = pool;
    pinfold_queue *queue;
    assert_int_equal(pinfold_queue_open(other, &queue), 0);
    rig_open_plain(PINFOLD_REUSE, 1);
    uint64_t id;
    assert_int_equal(try_submit(queue, "upper", "x", BOUND, &id, NULL), -EINVAL);
    pinfold_queue_close(queue);
    pinfold_pool_close(other);
}

static void test_a_full_queue_is_eagain_until_a_call_leaves_it(void **state)
{
    (void)state;
    pinfold_config config = rig_config(NULL);
    config.max_workers = 1;
    config.max_queue = 2;
    rig_open(&config);
    uint64_t running = submit("spin", "", PINFOLD_FOREVER), id;
    wait_for_start(running);
    uint64_t first = submit("upper", "a", BOUND), second = submit("upper", "b", BOUND);
    pinfold_error error;
    assert_int_equal(try_submit(NULL, "upper", "c", BOUND, &id, &error), -EAGAIN);
    assert_non_null(strstr(error.text, "2 calls"));
    assert_int_equal(stats().submitted, 3);
    cancel(first);
    first = submit("upper", "d", BOUND);
    cancel(running);
    ends(second, PINFOLD_OK);
    ends(first, PINFOLD_OK);
}

static void test_no_more_calls_run_at_once_than_there_may_be_workers(void **state)
{
    (void)state;
    rig_open_plain(PINFOLD_FRESH, 2);
    uint64_t ids[6];
    for (size_t i = 0; i < COUNT_OF(ids); i++)
        ids[i] = submit("spin", "", PINFOLD_FOREVER);
    for (size_t i = 0; i < COUNT_OF(ids); i++) {
        wait_for_start(ids[i]);
        if (i >= 1) {
            assert_int_equal(stats().running, 2);
            assert_int_equal(stats().queued, COUNT_OF(ids) - 1 - i);
            cancel(ids[i - 1]);
        }
    }
    cancel(ids[COUNT_OF(ids) - 1]);
    assert_int_equal(stats().outcomes[PINFOLD_CANCELLED], COUNT_OF(ids));
    assert_int_equal(stats().submitted, COUNT_OF(ids));
}

static void test_calls_start_in_the_order_of_their_submits(void **state)
{
    (void)state;
    rig_open_plain(PINFOLD_REUSE, 1);
    uint64_t ids[50];
    for (size_t i = 0; i < COUNT_OF(ids); i++)
        ids[i] = submit("upper", "x", BOUND);
    for (size_t i = 0; i < COUNT_OF(ids); i++)
        assert_int_equal(next_event(PINFOLD_EVENT_CALL_START).call_id, ids[i]);
    for (size_t i = 0; i < COUNT_OF(ids); i++)
        ends(ids[i], PINFOLD_OK);
}

/* ---- waiting ------------------------------------------------------------------------------------------------ */

static void test_waiting_for_what_is_not_there_says_so(void **state)
{
    (void)state;
    rig_open_plain(PINFOLD_FRESH, 1);
    pinfold_result *result = (pinfold_result *)4242;
    assert_int_equal(pinfold_pool_wait(pool, 0, BOUND, &result), -ENOENT);
    assert_int_equal(pinfold_pool_wait(pool, UINT64_MAX, BOUND, &result), -ENOENT);
    uint64_t id = submit("spin", "", PINFOLD_FOREVER);
    assert_int_equal(pinfold_pool_wait(pool, id, 0, &result), -ETIMEDOUT);
    assert_int_equal(pinfold_pool_wait(pool, id, -SECOND, &result), -ETIMEDOUT);
    assert_int_equal(pinfold_pool_wait(pool, id, INT64_MIN, &result), -ETIMEDOUT);
    assert_int_equal(pinfold_pool_wait(pool, id, NS_PER_MS, &result), -ETIMEDOUT);
    assert_ptr_equal(result, (pinfold_result *)4242);
    cancel(id);
    assert_int_equal(pinfold_pool_wait(pool, id, BOUND, &result), -ENOENT);
    assert_int_equal(pinfold_pool_next(pool, &result), -EAGAIN);
    assert_ptr_equal(result, (pinfold_result *)4242);
    pinfold_result_free(NULL);
}

struct waiting {
    pthread_t thread;
    uint64_t id;
    pinfold_queue *queue;
    int r;
    pinfold_result *result;
};

static void *wait_in_thread(void *data)
{
    struct waiting *waiting = data;
    do /* busy: the test was faster, and is checking whether this thread waits */
        waiting->r = waiting->queue ? pinfold_queue_wait(waiting->queue, PINFOLD_FOREVER, &waiting->result)
                                    : pinfold_pool_wait(pool, waiting->id, PINFOLD_FOREVER, &waiting->result);
    while (waiting->r == -EBUSY);
    return NULL;
}

static void start_waiting(struct waiting *waiting)
{
    assert_int_equal(pthread_create(&waiting->thread, NULL, wait_in_thread, waiting), 0);
}

/* Return once another thread waits for the call: until then this thread may wait. */
static void wait_until_waited_for(uint64_t id)
{
    pinfold_result *result;
    int r;
    do
        r = pinfold_pool_wait(pool, id, 1, &result);
    while (r == -ETIMEDOUT);
    assert_int_equal(r, -EBUSY);
}

static void test_a_submit_that_must_not_wait_gives_up(void **state)
{
    (void)state;
    rig_open_plain(PINFOLD_REUSE, 1);
    static char large[1 << 16];
    struct iovec segments[] = {{"upper", 5}, {"x", 1}};
    pinfold_call call = {
        .size = sizeof(call), .segments = segments, .n_segments = 2, .deadline_ns = PINFOLD_FOREVER};
    uint64_t id;
    pinfold_error error;
    pthread_mutex_lock(&pool->lock);
    assert_int_equal(pinfold_pool_try_submit(pool, &call, NS_PER_MS, &id, &error), -EBUSY);
    pthread_mutex_unlock(&pool->lock);
    segments[1] = (struct iovec){large, sizeof(large)};
    assert_int_equal(pinfold_pool_try_submit(pool, &call, PINFOLD_FOREVER - 1, &id, &error), -EBUSY);
    assert_int_equal(stats().submitted, 0);
    segments[1] = (struct iovec){"x", 1};
    assert_int_equal(pinfold_pool_try_submit(pool, &call, PINFOLD_FOREVER - 1, &id, &error), 0);
    ends(id, PINFOLD_OK);
    call.n_segments = 0;
    assert_int_equal(pinfold_pool_try_submit(pool, &call, 0, &id, &error), -EINVAL);
}

static void waits_until_cancelled(const char *function, const char *argument)
{
    struct waiting waiting = {.id = submit(function, argument, PINFOLD_FOREVER)};
    start_waiting(&waiting);
    wait_until_waited_for(waiting.id);
    assert_int_equal(pinfold_pool_cancel(pool, waiting.id), 0);
    pthread_join(waiting.thread, NULL);
    assert_int_equal(waiting.r, 0);
    assert_outcome(waiting.result, PINFOLD_CANCELLED);
    pinfold_result_free(waiting.result);
}

static void test_one_thread_waits_for_a_call_and_another_is_turned_away(void **state)
{
    (void)state;
    rig_open_plain(PINFOLD_FRESH, 1);
    waits_until_cancelled("spin", "");
    pinfold_result *result;
    assert_int_equal(pinfold_pool_next(pool, &result), -EAGAIN); /* only the waiter got it */
}

static void test_whoever_waits_learns_of_a_cancel_that_nothing_else_comes_of(void **state)
{
    (void)state;
    rig_open_plain(PINFOLD_REUSE, 1);
    uint64_t running = submit("spin", "", PINFOLD_FOREVER);
    wait_for_start(running);
    for (int i = 0; i < 20; i++)
        waits_until_cancelled("upper", "x");
    cancel(running);
}

static void test_two_who_wait_are_each_told(void **state)
{
    (void)state;
    rig_open_plain(PINFOLD_REUSE, 2);
    for (int i = 0; i < 200; i++) {
        struct waiting waiting = {.id = submit("upper", "x", BOUND)};
        start_waiting(&waiting);
        runs("upper", "y", PINFOLD_OK);
        pthread_join(waiting.thread, NULL);
        assert_int_equal(waiting.r, 0);
        pinfold_result_free(waiting.result);
    }
}

static void test_many_frames_at_once_are_all_read(void **state)
{
    (void)state;
    rig_open_plain(PINFOLD_REUSE, 1);
    for (int i = 0; i < 100; i++)
        runs("word_flood", "150", PINFOLD_OK);
}

static void interrupt(int signal)
{
    (void)signal;
}

static void test_a_signal_handler_interrupts_a_wait(void **state)
{
    (void)state;
    rig_open_plain(PINFOLD_FRESH, 1);
    struct sigaction action = {.sa_handler = interrupt}, before;
    sigaction(SIGUSR1, &action, &before);
    struct waiting waiting = {.id = submit("spin", "", PINFOLD_FOREVER)};
    start_waiting(&waiting);
    wait_until_waited_for(waiting.id);
    pinfold_result *result;
    do { /* the thread waits or is about to sleep when the signal comes: repeat until it is hit */
        pthread_kill(waiting.thread, SIGUSR1);
    } while (pinfold_pool_wait(pool, waiting.id, NS_PER_MS, &result) == -EBUSY);
    pthread_join(waiting.thread, NULL);
    assert_int_equal(waiting.r, -EINTR);
    cancel(waiting.id); /* it can be waited for again */
    sigaction(SIGUSR1, &before, NULL);
}

static void test_the_descriptor_is_readable_exactly_while_results_wait(void **state)
{
    (void)state;
    pinfold_config config = rig_config(NULL);
    config.flags = 0;
    rig_open(&config);
    int fd = pinfold_pool_notify_fd(pool);
    pinfold_result *result;
    assert_false(readable(fd));
    uint64_t ids[3];
    for (size_t i = 0; i < COUNT_OF(ids); i++)
        ids[i] = submit("upper", "x", BOUND);
    for (size_t i = 0; i < COUNT_OF(ids); i++) {
        wait_readable(fd);
        assert_int_equal(pinfold_pool_next(pool, &result), 0);
        assert_outcome(result, PINFOLD_OK);
        pinfold_result_free(result);
    }
    assert_false(readable(fd));
    assert_int_equal(pinfold_pool_next(pool, &result), -EAGAIN);
    for (size_t i = 0; i < COUNT_OF(ids); i++)
        assert_int_equal(pinfold_pool_wait(pool, ids[i], 0, &result), -ENOENT);
    runs("upper", "x", PINFOLD_OK); /* waiting for a call takes it from the queue, too */
    assert_false(readable(fd));
}

/* ---- queues ------------------------------------------------------------------------------------------------- */

static void test_results_go_to_the_queue_of_their_call(void **state)
{
    (void)state;
    rig_open_plain(PINFOLD_REUSE, 4);
    pinfold_queue *queues[3];
    uint64_t ids[30], seen[3] = {0};
    for (size_t q = 0; q < COUNT_OF(queues); q++)
        assert_int_equal(pinfold_queue_open(pool, &queues[q]), 0);
    for (size_t i = 0; i < COUNT_OF(ids); i++)
        assert_int_equal(try_submit(queues[i % 3], "upper", "x", BOUND, &ids[i], NULL), 0);
    for (size_t i = 0; i < COUNT_OF(ids); i++) {
        pinfold_result *result;
        wait_readable(pinfold_queue_fd(queues[i % 3]));
        if (i % 2)
            assert_int_equal(pinfold_queue_wait(queues[i % 3], BOUND, &result), 0);
        else
            assert_int_equal(pinfold_queue_next(queues[i % 3], &result), 0);
        size_t k = 0;
        while (k < COUNT_OF(ids) && ids[k] != result->call_id)
            k++;
        assert_int_equal(k % 3, i % 3);
        seen[k % 3]++;
        ids[k] = 0;
        pinfold_result_free(result);
    }
    for (size_t q = 0; q < COUNT_OF(queues); q++) {
        pinfold_result *result;
        assert_int_equal(seen[q], 10);
        assert_false(readable(pinfold_queue_fd(queues[q])));
        assert_int_equal(pinfold_queue_next(queues[q], &result), -EAGAIN);
        assert_int_equal(pinfold_queue_wait(queues[q], 0, &result), -ETIMEDOUT);
        assert_int_equal(pinfold_queue_wait(queues[q], -1, &result), -ETIMEDOUT);
        assert_int_equal(pinfold_queue_wait(queues[q], INT64_MIN, &result), -ETIMEDOUT);
        assert_int_equal(pinfold_queue_wait(queues[q], NS_PER_MS, &result), -ETIMEDOUT);
        pinfold_queue_close(queues[q]);
    }
    pinfold_queue_close(NULL);
}

static void test_an_interrupt_wakes_who_waits_on_a_queue_after_the_results(void **state)
{
    (void)state;
    rig_open_plain(PINFOLD_REUSE, 1);
    struct waiting waiting = {0};
    for (long i = 0; i < 100; i++) {
        assert_int_equal(pinfold_queue_open(pool, &waiting.queue), 0);
        start_waiting(&waiting);
        nanosleep(&(struct timespec){.tv_nsec = i * 10000}, NULL); /* before it sleeps, or after */
        pinfold_queue_interrupt(waiting.queue);
        pthread_join(waiting.thread, NULL);
        assert_int_equal(waiting.r, -ESHUTDOWN);
        if (i < 99)
            pinfold_queue_close(waiting.queue);
    }

    uint64_t id;
    assert_int_equal(try_submit(waiting.queue, "upper", "x", BOUND, &id, NULL), 0);
    pinfold_stats now;
    do
        now = stats();
    while (now.outcomes[PINFOLD_OK] == 0);
    assert_int_equal(pinfold_queue_wait(waiting.queue, BOUND, &waiting.result), 0);
    pinfold_result_free(waiting.result);
    assert_int_equal(pinfold_queue_wait(waiting.queue, BOUND, &waiting.result), -ESHUTDOWN);
    assert_int_equal(pinfold_queue_next(waiting.queue, &waiting.result), -EAGAIN);
    pinfold_queue_close(waiting.queue);
}

static void test_calls_of_a_closed_queue_end_unseen(void **state)
{
    (void)state;
    rig_open_plain(PINFOLD_REUSE, 1);
    pinfold_queue *queue;
    uint64_t done, running, waiting;
    pinfold_result *result;
    assert_int_equal(pinfold_queue_open(pool, &queue), 0);
    assert_int_equal(try_submit(queue, "upper", "x", BOUND, &done, NULL), 0);
    assert_int_equal(try_submit(queue, "sleep", "100", BOUND, &running, NULL), 0);
    assert_int_equal(try_submit(queue, "upper", "x", BOUND, &waiting, NULL), 0);
    wait_for_start(running); /* so the first is done */
    pinfold_queue_close(queue);
    assert_int_equal(pinfold_pool_wait(pool, done, BOUND, &result), -ENOENT);
    assert_int_equal(pinfold_pool_wait(pool, running, BOUND, &result), -ENOENT);
    runs("upper", "y", PINFOLD_OK); /* behind the others, which have ended then */
    assert_int_equal(stats().outcomes[PINFOLD_OK], 4);
    assert_int_equal(pinfold_pool_cancel(pool, waiting), -ENOENT);
}

static void test_who_waits_for_a_call_of_a_queue_that_is_closed_is_let_go(void **state)
{
    (void)state;
    rig_open_plain(PINFOLD_FRESH, 1);
    pinfold_queue *queue;
    struct waiting waiting = {0};
    assert_int_equal(pinfold_queue_open(pool, &queue), 0);
    assert_int_equal(try_submit(queue, "spin", "", PINFOLD_FOREVER, &waiting.id, NULL), 0);
    start_waiting(&waiting);
    wait_until_waited_for(waiting.id);
    pinfold_queue_close(queue);
    pthread_join(waiting.thread, NULL);
    assert_int_equal(waiting.r, -ENOENT);
}

/* ---- events and stats --------------------------------------------------------------------------------------- */

static void test_events_come_in_order_and_before_the_result(void **state)
{
    (void)state;
    rig_open_plain(PINFOLD_FRESH, 1);
    int tag;
    const struct iovec segment = {"exit", 4};
    pinfold_call call = {
        .size = sizeof(call), .segments = &segment, .n_segments = 1, .deadline_ns = BOUND, .tag = &tag};
    uint64_t id;
    assert_int_equal(pinfold_pool_submit(pool, &call, &id, NULL), 0);
    pinfold_result *result = take(id);
    assert_ptr_equal(result->tag, &tag);
    pinfold_event event;
    assert_int_equal(pinfold_pool_next_event(pool, &event), 0);
    assert_int_equal(event.kind, PINFOLD_EVENT_WORKER_START);
    assert_string_equal(event.worker_id, result->metrics.worker_id);
    assert_int_equal(event.worker_pid, result->metrics.worker_pid);
    event = next_event(PINFOLD_EVENT_CALL_START);
    assert_int_equal(event.call_id, id);
    assert_ptr_equal(event.tag, &tag);
    assert_string_equal(event.worker_id, result->metrics.worker_id);
    event = next_event(PINFOLD_EVENT_WORKER_EXIT);
    assert_string_equal(event.worker_id, result->metrics.worker_id);
    assert_string_equal(event.reason, "exited: 0");
    pinfold_result_free(result);
}

static void test_events_are_kept_from_the_time_they_are_asked_for(void **state)
{
    (void)state;
    pinfold_config config = rig_config(NULL);
    config.flags = 0;
    config.isolation = PINFOLD_REUSE;
    rig_open(&config);
    pinfold_event event;
    runs("upper", "x", PINFOLD_OK);
    assert_int_equal(pinfold_pool_next_event(pool, &event), -EAGAIN);
    assert_int_equal(pinfold_pool_watch(pool), 0);
    uint64_t id = submit("upper", "x", BOUND);
    wait_for_start(id);
    ends(id, PINFOLD_OK);
    while (pinfold_pool_next_event(pool, &event) == 0)
        ;
    assert_false(readable(pinfold_pool_notify_fd(pool)));
}

static void test_idle_workers_are_let_go_after_their_time(void **state)
{
    (void)state;
    for (uint32_t isolation = PINFOLD_FRESH; isolation <= PINFOLD_SPAWN; isolation++) {
        pinfold_config config = rig_config(NULL);
        config.isolation = isolation;
        config.idle_timeout_ns = SECOND / 20;
        rig_open(&config);
        uint64_t ids[8];
        for (size_t i = 0; i < COUNT_OF(ids); i++)
            ids[i] = submit("upper", "x", BOUND);
        for (size_t i = 0; i < COUNT_OF(ids); i++)
            ends(ids[i], PINFOLD_OK);
        pinfold_stats now = stats();
        while (now.idle + now.starting + now.ending > 0) {
            next_event(PINFOLD_EVENT_WORKER_EXIT);
            now = stats();
        }
        assert_true(now.template_pid > 0);
        runs("upper", "and again", PINFOLD_OK);
        pinfold_pool_close(pool);
        pool = NULL;
    }
}

static void test_stats_count_what_there_is(void **state)
{
    (void)state;
    rig_open_plain(PINFOLD_REUSE, 2);
    pinfold_stats wrong = {.size = 8};
    assert_int_equal(pinfold_pool_stats(pool, &wrong), -EINVAL);
    runs("upper", "x", PINFOLD_OK);
    runs("fail", "", PINFOLD_EXCEPTION);
    pinfold_stats now = stats();
    assert_int_equal(now.submitted, 2);
    assert_int_equal(now.outcomes[PINFOLD_OK], 1);
    assert_int_equal(now.outcomes[PINFOLD_EXCEPTION], 1);
    assert_int_equal(now.workers_started, 1);
    assert_int_equal(now.templates_started, 1);
    assert_int_equal(now.idle, 1);
    assert_int_equal(now.running + now.queued + now.starting + now.ending, 0);
    assert_string_equal(now.spill_kind, "O_TMPFILE");
    assert_int_equal(kill(now.template_pid, 0), 0);
}

/* ---- closing ------------------------------------------------------------------------------------------------ */

static void test_closing_a_null_pool_is_nothing(void **state)
{
    (void)state;
    pinfold_pool_close(NULL);
}

static void test_closing_ends_what_runs_and_waits_and_frees_all_of_it(void **state)
{
    (void)state;
    for (uint32_t isolation = PINFOLD_FRESH; isolation <= PINFOLD_SPAWN; isolation++) {
        rig_open_plain(isolation, 2);
        for (int i = 0; i < 3; i++)
            submit("big", "1000000", BOUND); /* results that nobody takes, some of them mapped */
        for (int i = 0; i < 10; i++)
            submit(i % 2 ? "spin" : "block", "", PINFOLD_FOREVER);
        if (isolation == PINFOLD_REUSE)
            next_event(PINFOLD_EVENT_CALL_START);
        pinfold_pool_close(pool);
        pool = NULL;
    }
}

static void test_a_pool_is_closed_at_any_moment_of_its_start(void **state)
{
    (void)state;
    for (int i = 0; i < 60; i++) {
        rig_open_plain((uint32_t)i % 3, 2);
        struct timespec moment = {.tv_nsec = i * 100000};
        if (i % 2)
            submit("upper", "x", BOUND);
        nanosleep(&moment, NULL); /* to vary the moment, not to wait for one */
        pinfold_pool_close(pool);
        pool = NULL;
    }
}

static void test_after_a_shutdown_results_can_be_taken_and_nothing_submitted(void **state)
{
    (void)state;
    rig_open_plain(PINFOLD_FRESH, 1);
    uint64_t done = submit("upper", "x", BOUND), running = submit("spin", "", PINFOLD_FOREVER);
    wait_for_start(running);
    uint64_t queued = submit("upper", "y", BOUND), id;
    pid_t template = stats().template_pid;
    for (int i = 0; i < 3; i++)
        assert_int_equal(pinfold_pool_shutdown(pool), 0);
    assert_false(exists(template));
    pinfold_error error;
    assert_int_equal(try_submit(NULL, "upper", "z", BOUND, &id, &error), -ESHUTDOWN);
    assert_int_equal(pinfold_pool_cancel(pool, queued), -ENOENT);
    assert_int_equal(pinfold_pool_wait_ready(pool, BOUND, &error), -ESHUTDOWN);
    ends(done, PINFOLD_OK);
    ends(running, PINFOLD_CANCELLED);
    ends(queued, PINFOLD_CANCELLED);
    assert_int_equal(stats().template_pid, 0);
    assert_int_equal(stats().idle + stats().running + stats().starting + stats().ending, 0);
}

static void *wait_ready_in_thread(void *data)
{
    *(int *)data = pinfold_pool_wait_ready(pool, PINFOLD_FOREVER, NULL);
    return NULL;
}

static void test_a_shutdown_wakes_everybody_who_waits(void **state)
{
    (void)state;
    pinfold_config config = rig_config("hangs");
    rig_open(&config);
    struct waiting waiting[4] = {0};
    for (size_t i = 0; i < COUNT_OF(waiting); i++) {
        waiting[i].id = submit("upper", "x", PINFOLD_FOREVER);
        start_waiting(&waiting[i]);
        wait_until_waited_for(waiting[i].id);
    }
    int ready = 4242;
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, wait_ready_in_thread, &ready), 0);
    assert_int_equal(pinfold_pool_shutdown(pool), 0);
    for (size_t i = 0; i < COUNT_OF(waiting); i++) {
        pthread_join(waiting[i].thread, NULL);
        assert_int_equal(waiting[i].r, 0);
        assert_outcome(waiting[i].result, PINFOLD_CANCELLED);
        pinfold_result_free(waiting[i].result);
    }
    pthread_join(thread, NULL);
    assert_int_equal(ready, -ESHUTDOWN);
}

static void test_a_result_outlives_its_pool(void **state)
{
    (void)state;
    rig_open_plain(PINFOLD_FRESH, 1);
    pinfold_result *large = take(submit("big", "3000000", BOUND)), *small = take(submit("upper", "x", BOUND));
    pinfold_pool_close(pool);
    pool = NULL;
    assert_int_equal(large->segments[0].iov_len, 3000000);
    uint8_t *bytes = large->segments[0].iov_base;
    for (size_t i = 0; i < 3000000; i += 997)
        assert_int_equal(bytes[i], i % 251);
    bytes[0] = 7;
    assert_value(small, "X");
    pinfold_result_free(large);
    pinfold_result_free(small);
}

static void test_pools_live_side_by_side(void **state)
{
    (void)state;
    pinfold_pool *pools[4];
    uint64_t ids[4];
    for (size_t i = 0; i < COUNT_OF(pools); i++) {
        rig_open_plain((uint32_t)i % 3, 2);
        pools[i] = pool;
        ids[i] = submit("upper", "x", BOUND);
    }
    for (size_t i = 0; i < COUNT_OF(pools); i++) {
        pool = pools[i];
        ends(ids[i], PINFOLD_OK);
    }
    for (size_t i = 0; i < COUNT_OF(pools); i++) {
        pinfold_pool_close(pools[i]);
        if (i + 1 < COUNT_OF(pools)) {
            pool = pools[i + 1];
            runs("upper", "y", PINFOLD_OK);
        }
    }
    pool = NULL;
}

static void test_the_memory_of_the_processes_is_told_when_asked_for(void **state)
{
    (void)state;
    rig_open_plain(PINFOLD_REUSE, 4);
    char *path = make_fifo("gate");
    uint64_t id = submit("gate", path, PINFOLD_FOREVER);
    runs("upper", "x", PINFOLD_OK); /* one worker is busy, one idle */
    pinfold_memory memory = {.size = sizeof(memory)};
    assert_int_equal(pinfold_pool_memory(pool, &memory), 0);
    assert_int_equal(memory.workers, 2);
    assert_in_range(memory.private_most_kb, 1, memory.private_kb);
    assert_in_range(memory.private_kb, 1, memory.pss_kb);
    memory.size--;
    assert_int_equal(pinfold_pool_memory(pool, &memory), -EINVAL);
    open_gate(path);
    ends(id, PINFOLD_OK);
    assert_int_equal(pinfold_pool_shutdown(pool), 0);
    memory.size++;
    assert_int_equal(pinfold_pool_memory(pool, &memory), 0);
    assert_int_equal(memory.workers, 0);
    assert_int_equal(memory.pss_kb, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        POOL_TEST(test_a_wrong_config_is_refused_by_the_name_of_its_field),
        POOL_TEST(test_what_is_not_there_is_refused_at_once),
        POOL_TEST(test_the_pool_keeps_nothing_of_the_config),
        POOL_TEST(test_a_next_template_has_nothing_of_a_thread_that_waits),
        POOL_TEST(test_a_relative_spill_directory_is_the_same_for_all),
        POOL_TEST(test_a_pool_becomes_ready),
        POOL_TEST(test_every_descriptor_of_a_pool_is_closed_on_exec),
        POOL_TEST(test_a_wrong_call_is_refused_by_the_name_of_its_field),
        POOL_TEST(test_a_queue_of_another_pool_is_refused),
        POOL_TEST(test_a_full_queue_is_eagain_until_a_call_leaves_it),
        POOL_TEST(test_no_more_calls_run_at_once_than_there_may_be_workers),
        POOL_TEST(test_calls_start_in_the_order_of_their_submits),
        POOL_TEST(test_waiting_for_what_is_not_there_says_so),
        POOL_TEST(test_a_submit_that_must_not_wait_gives_up),
        POOL_TEST(test_one_thread_waits_for_a_call_and_another_is_turned_away),
        POOL_TEST(test_whoever_waits_learns_of_a_cancel_that_nothing_else_comes_of),
        POOL_TEST(test_two_who_wait_are_each_told),
        POOL_TEST(test_many_frames_at_once_are_all_read),
        POOL_TEST(test_a_signal_handler_interrupts_a_wait),
        POOL_TEST(test_the_descriptor_is_readable_exactly_while_results_wait),
        POOL_TEST(test_results_go_to_the_queue_of_their_call),
        POOL_TEST(test_an_interrupt_wakes_who_waits_on_a_queue_after_the_results),
        POOL_TEST(test_calls_of_a_closed_queue_end_unseen),
        POOL_TEST(test_who_waits_for_a_call_of_a_queue_that_is_closed_is_let_go),
        POOL_TEST(test_events_come_in_order_and_before_the_result),
        POOL_TEST(test_events_are_kept_from_the_time_they_are_asked_for),
        POOL_TEST(test_idle_workers_are_let_go_after_their_time),
        POOL_TEST(test_stats_count_what_there_is),
        POOL_TEST(test_closing_a_null_pool_is_nothing),
        POOL_TEST(test_closing_ends_what_runs_and_waits_and_frees_all_of_it),
        POOL_TEST(test_a_pool_is_closed_at_any_moment_of_its_start),
        POOL_TEST(test_after_a_shutdown_results_can_be_taken_and_nothing_submitted),
        POOL_TEST(test_a_shutdown_wakes_everybody_who_waits),
        POOL_TEST(test_a_result_outlives_its_pool),
        POOL_TEST(test_pools_live_side_by_side),
        POOL_TEST(test_the_memory_of_the_processes_is_told_when_asked_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

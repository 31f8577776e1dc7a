/* SPDX-License-Identifier: Apache-2.0 */
/* A fork of the process that opened a pool: it learns that the pool is not its own, can free its copy, and
 * takes nothing from the parent, whatever it holds open. */
#include "rig.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "pool/pool.h"

/* Present in a build with LeakSanitizer. */
extern int __lsan_do_recoverable_leak_check(void) __attribute__((weak));

/* In the child: return the number of the check that failed, or 0. cmocka cannot be used: its state is the
 * parent's. */
static int use_a_pool_of_another(uint64_t id, pinfold_queue *queue)
{
    pinfold_result *result = NULL;
    pinfold_queue *another = NULL;
    pinfold_event event;
    pinfold_stats now = {.size = sizeof(now)};
    pinfold_memory memory = {.size = sizeof(memory)};
    pinfold_error error = {.code = 0};
    const struct iovec segment = {"upper", 5};
    const char *const argv[] = {RUNTIME, NULL};
    pinfold_call call = {.size = sizeof(call), .segments = &segment, .n_segments = 1, .deadline_ns = BOUND};
    const int results[] = {
        pinfold_pool_wait_ready(pool, BOUND, &error),
        pinfold_pool_renew(pool, argv, &error),
        pinfold_pool_renewal(pool, &error),
        pinfold_pool_submit(pool, &call, &id, &error),
        pinfold_pool_try_submit(pool, &call, 0, &id, &error),
        pinfold_pool_cancel(pool, id),
        pinfold_pool_wait(pool, id, BOUND, &result),
        pinfold_pool_notify_fd(pool),
        pinfold_pool_next(pool, &result),
        pinfold_queue_open(pool, &another),
        pinfold_queue_fd(queue),
        pinfold_queue_next(queue, &result),
        pinfold_queue_wait(queue, BOUND, &result),
        pinfold_pool_next_event(pool, &event),
        pinfold_pool_watch(pool),
        pinfold_pool_stats(pool, &now),
        pinfold_pool_memory(pool, &memory),
        pinfold_pool_shutdown(pool),
    };
    for (size_t i = 0; i < COUNT_OF(results); i++)
        if (results[i] != -ECHILD)
            return (int)i + 1;
    return error.code == -ECHILD && !result && !another ? 0 : 99;
}

static void test_a_fork_is_refused_everything_and_frees_its_copy(void **state)
{
    (void)state;
    for (uint32_t isolation = PINFOLD_FRESH; isolation <= PINFOLD_SPAWN; isolation++) {
        rig_open_plain(isolation, 2);
        pinfold_queue *queue;
        assert_int_equal(pinfold_queue_open(pool, &queue), 0);
        uint64_t untaken = submit("big", "100000", BOUND), running = submit("spin", "", PINFOLD_FOREVER);
        wait_for_start(running);
        uint64_t queued = submit("spin", "", PINFOLD_FOREVER), more = submit("upper", "x", BOUND);
        int fds = count_entries("/proc/self/fd"), status = -1;
        pid_t child = fork();
        if (child == 0) {
            int failed = use_a_pool_of_another(running, queue);
            pinfold_queue_close(queue);
            pinfold_pool_close(pool);
            pool = NULL;
            bool left = count_entries("/proc/self/fd") > fds - 10;
            if (!left && __lsan_do_recoverable_leak_check)
                left = __lsan_do_recoverable_leak_check();
            _exit(failed ? failed : left ? 200 : 0);
        }
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_int_equal(status, 0);
        ends(untaken, PINFOLD_OK); /* the parent has noticed nothing */
        cancel(running);
        cancel(queued);
        ends(more, PINFOLD_OK);
        runs("upper", "x", PINFOLD_OK);
        assert_int_equal(stats().templates_started, 1);
        pinfold_queue_close(queue);
        pinfold_pool_close(pool);
        pool = NULL;
    }
}

static void test_a_fork_that_holds_every_descriptor_keeps_nothing_alive(void **state)
{
    (void)state;
    for (uint32_t isolation = PINFOLD_FRESH; isolation <= PINFOLD_SPAWN; isolation++) {
        uint64_t id;
        rig_open_plain(isolation, 2);
        pid_t daemon = submit_with_daemon(&id), template = stats().template_pid;
        pid_t child = fork();
        if (child == 0)
            for (;;)
                pause();
        pinfold_pool_close(pool);
        pool = NULL;
        /* The guard swept before the pool was closed: it saw the end. */
        assert_false(exists(daemon));
        assert_false(exists(template));
        kill(child, SIGKILL);
        assert_int_equal(waitpid(child, NULL, 0), child);
    }
}

/* The child of a fork opens a pool, forks a child that holds its descriptors, and is killed. */
static void test_a_fork_of_a_caller_that_dies_keeps_nothing_alive(void **state)
{
    (void)state;
    int report[2];
    assert_int_equal(pipe2(report, 0), 0);
    pid_t caller = fork();
    if (caller == 0) {
        uint64_t id;
        rig_open_plain(PINFOLD_FRESH, 2);
        pid_t pids[2] = {submit_with_daemon(&id), 0};
        if ((pids[1] = fork()) != 0 && write(report[1], pids, sizeof(pids)) != sizeof(pids))
            _exit(1);
        for (;;)
            pause();
    }
    pid_t pids[2];
    assert_int_equal(read(report[0], pids, sizeof(pids)), sizeof(pids));
    close(report[0]);
    close(report[1]);
    int daemon = open_process(pids[0]);
    kill(caller, SIGKILL);
    wait_for_end(daemon);
    assert_true(exists(pids[1]));
    kill(pids[1], SIGKILL);
    while (waitpid(-1, NULL, 0) > 0)
        ;
}

static atomic_bool stop;

static void *submit_in_thread(void *data)
{
    (void)data;
    while (!stop) {
        uint64_t id;
        pinfold_result *result;
        if (try_submit(NULL, "upper", "x", BOUND, &id, NULL) < 0 ||
            pinfold_pool_wait(pool, id, BOUND, &result) < 0)
            abort();
        pinfold_result_free(result);
    }
    return NULL;
}

/* Close the copy. Do not free it with ASan: its allocator, unlike malloc(3), does not hold its locks during a
 * fork, and another thread may have held one. */
static void close_copy(void)
{
#ifdef __SANITIZE_ADDRESS__
    pool_close_copies(pool);
#else
    pinfold_pool_close(pool);
#endif
}

/* In the child: open the free numbers below 100, close the pool, and return whether none of them was lost. */
static bool keeps_its_descriptors(void)
{
    bool mine[100] = {false};
    for (int fd; (fd = dup(STDIN_FILENO)) >= 0 && fd < (int)COUNT_OF(mine);)
        mine[fd] = true;
    close_copy();
    for (int fd = 0; fd < (int)COUNT_OF(mine); fd++)
        if (mine[fd] && fcntl(fd, F_GETFD) < 0)
            return false;
    return true;
}

static void forks_at_any_moment(uint32_t isolation)
{
    rig_open_plain(isolation, 3);
    pthread_t threads[3];
    stop = false;
    for (size_t i = 0; i < COUNT_OF(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, submit_in_thread, NULL), 0);
    for (int i = 0; i < 200; i++) {
        pid_t child = fork();
        if (child == 0) {
            alarm(120);
            _exit(keeps_its_descriptors() ? 0 : 1);
        }
        int status;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_int_equal(status, 0);
    }
    stop = true;
    for (size_t i = 0; i < COUNT_OF(threads); i++)
        pthread_join(threads[i], NULL);
    runs("upper", "x", PINFOLD_OK);
    assert_int_equal(stats().templates_started, 1);
    assert_int_equal(stats().submitted, stats().outcomes[PINFOLD_OK]);
    pinfold_pool_close(pool);
    pool = NULL;
}

static void test_forks_at_any_moment_of_a_busy_pool_do_it_and_them_no_harm(void **state)
{
    (void)state;
    /* The kernel copies memory by address: this first, while the pool's thread runs on. */
    const size_t size = 64 << 20;
    void *low = mmap((void *)0x10000000, size, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE | MAP_NORESERVE, -1, 0);
    assert_ptr_not_equal(low, MAP_FAILED);
    forks_at_any_moment(PINFOLD_FRESH);
    forks_at_any_moment(PINFOLD_REUSE);
    munmap(low, size);
}

static void *shut_down(void *data)
{
    (void)data;
    pinfold_pool_shutdown(pool);
    return NULL;
}

/* Wait until the thread that shuts the pool down waits for its end. */
static void wait_for_closing(void)
{
    for (bool closing = false; !closing; sched_yield()) {
        pthread_mutex_lock(&pool->lock);
        closing = pool->closing;
        pthread_mutex_unlock(&pool->lock);
    }
}

static void test_a_fork_while_the_pool_is_shut_down_frees_its_copy(void **state)
{
    (void)state;
    rig_open_plain(PINFOLD_FRESH, 1);
    runs("upper", "x", PINFOLD_OK);
    pid_t guard = parent_of(stats().template_pid);
    stop_process(guard); /* so that the shutdown takes time */
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, shut_down, NULL), 0);
    wait_for_closing();
    pid_t child = fork();
    if (child == 0) {
        alarm(60);
        pinfold_pool_close(pool);
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    kill(guard, SIGCONT);
    pthread_join(thread, NULL);
}

/* As a daemon does. */
static void test_a_fork_that_closes_every_descriptor_and_opens_others_keeps_them(void **state)
{
    (void)state;
    rig_open_plain(PINFOLD_REUSE, 2);
    runs("upper", "x", PINFOLD_OK);
    pid_t child = fork();
    if (child == 0) {
        for (int fd = 3; fd < 256; fd++)
            close(fd);
        int free = dup(STDIN_FILENO);
        close(free);
        for (int fd = free; fd < 200; fd++)
            if (dup2(STDIN_FILENO, fd) != fd)
                _exit(1);
        pinfold_pool_close(pool);
        for (int fd = free; fd < 200; fd++)
            if (fcntl(fd, F_GETFD) < 0)
                _exit(2);
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

/* The child of a fork opens a pool, forks a child that keeps copies of its descriptors, and executes another
 * program. */
static void test_a_fork_of_a_caller_that_becomes_another_program_keeps_nothing_alive(void **state)
{
    (void)state;
    int report[2], go_on[2];
    assert_int_equal(pipe2(report, O_CLOEXEC), 0);
    assert_int_equal(pipe2(go_on, O_CLOEXEC), 0);
    pid_t caller = fork();
    if (caller == 0) {
        rig_open_plain(PINFOLD_FRESH, 1);
        runs("upper", "x", PINFOLD_OK);
        pid_t pids[2] = {parent_of(stats().template_pid), fork()};
        while (pids[1] == 0)
            pause();
        if (write(report[1], pids, sizeof(pids)) != sizeof(pids) || read(go_on[0], pids, 1) != 1)
            _exit(1);
        execl("/bin/sh", "sh", "-c", "exec sleep 120", NULL);
        _exit(1);
    }
    pid_t pids[2];
    assert_int_equal(read(report[0], pids, sizeof(pids)), sizeof(pids));
    int guard = open_process(pids[0]);
    assert_int_equal(write(go_on[1], "x", 1), 1);
    wait_for_end(guard);
    assert_true(exists(pids[1]));
    kill(pids[1], SIGKILL);
    kill(caller, SIGKILL);
    while (waitpid(-1, NULL, 0) > 0)
        ;
    for (int i = 0; i < 2; i++)
        close(report[i]), close(go_on[i]);
}

/* Neither the C library's handlers nor ours run in it. */
static void test_a_copy_that_no_handler_has_seen_is_freed_and_harms_nobody(void **state)
{
    (void)state;
    rig_open_plain(PINFOLD_REUSE, 1);
    runs("upper", "x", PINFOLD_OK);
    pthread_mutex_lock(&pool->lock); /* so that no thread is in the allocator: _Fork(3) does not wait for locks */
    pid_t child = _Fork();
    pthread_mutex_unlock(&pool->lock);
    if (child == 0) {
        pinfold_pool_close(pool);
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    runs("upper", "x", PINFOLD_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        POOL_TEST(test_a_fork_is_refused_everything_and_frees_its_copy),
        POOL_TEST(test_a_fork_that_holds_every_descriptor_keeps_nothing_alive),
        POOL_TEST(test_a_fork_of_a_caller_that_dies_keeps_nothing_alive),
        POOL_TEST(test_a_fork_while_the_pool_is_shut_down_frees_its_copy),
        POOL_TEST(test_a_fork_that_closes_every_descriptor_and_opens_others_keeps_them),
        POOL_TEST(test_a_fork_of_a_caller_that_becomes_another_program_keeps_nothing_alive),
        POOL_TEST(test_a_copy_that_no_handler_has_seen_is_freed_and_harms_nobody),
        POOL_TEST(test_forks_at_any_moment_of_a_busy_pool_do_it_and_them_no_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

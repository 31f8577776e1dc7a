/* SPDX-License-Identifier: Apache-2.0 */
/* The sweep: everything that a subreaper's children started is found and killed, and nothing else. */
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "base/util.h"
#include "process/sweep.h"

#define PATIENCE_NS (15 * NS_PER_S) /* less than ALARM_S, which would hide a failure */
#define ALARM_S 20                  /* leftovers of a failed test end by themselves */

/* Report to the test that a child has got where the test wants it. */
static void report(int fd)
{
    if (write(fd, "x", 1) != 1)
        _exit(1);
}

static void hear(int fd, int times)
{
    char byte;
    for (int i = 0; i < times; i++)
        assert_int_equal(RETRY_EINTR(read(fd, &byte, 1)), 1);
}

static void wait_for_a_signal(void)
{
    alarm(ALARM_S);
    for (;;)
        pause();
}

static pid_t sleeper(void)
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        wait_for_a_signal();
    return pid;
}

static void no_child_is_left(void)
{
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
    assert_int_equal(errno, ECHILD);
}

struct found {
    pid_t pids[8];
    int n;
};

static void note(pid_t pid, void *data)
{
    struct found *found = data;
    assert_true(found->n < 8);
    found->pids[found->n++] = pid;
}

static bool has(const struct found *found, pid_t pid)
{
    for (int i = 0; i < found->n; i++)
        if (found->pids[i] == pid)
            return true;
    return false;
}

static void test_children_alive_and_dead_are_seen_and_grandchildren_are_not(void **state)
{
    (void)state;
    int pipes[2];
    assert_int_equal(pipe(pipes), 0);
    pid_t alive = fork();
    if (alive == 0) {
        sleeper();
        report(pipes[1]);
        wait_for_a_signal();
    }
    hear(pipes[0], 1);
    pid_t dead = fork();
    if (dead == 0)
        _exit(0);
    siginfo_t info;
    assert_int_equal(waitid(P_PID, (id_t)dead, &info, WEXITED | WNOWAIT), 0);

    struct found found = {.n = 0};
    assert_int_equal(sweep_children(note, &found), 0);
    assert_int_equal(found.n, 2);
    assert_true(has(&found, alive) && has(&found, dead));

    assert_int_equal(sweep_all(PATIENCE_NS), 0);
    no_child_is_left();
    close(pipes[0]);
    close(pipes[1]);
}

static void test_a_list_that_is_kept_open_is_read_again_and_again(void **state)
{
    (void)state;
    _cleanup_close_ int list = sweep_open();
    if (list == -ENOENT)
        skip();
    assert_true(list >= 0);
    struct found before = {.n = 0}, after = {.n = 0};
    assert_int_equal(sweep_read(list, note, &before), 0);
    assert_int_equal(before.n, 0);
    pid_t pid = sleeper();
    assert_int_equal(sweep_read(list, note, &after), 0);
    assert_int_equal(after.n, 1);
    assert_int_equal(after.pids[0], pid);
    assert_int_equal(sweep_all(PATIENCE_NS), 0);
}

static void count(pid_t pid, void *data)
{
    (void)pid;
    ++*(int *)data;
}

static void test_more_children_than_one_read_returns_are_all_seen(void **state)
{
    (void)state;
    for (int i = 0; i < 1500; i++) {
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0)
            _exit(0);
    }
    int n = 0;
    assert_int_equal(sweep_children(count, &n), 0);
    assert_int_equal(n, 1500);
    assert_int_equal(sweep_all(PATIENCE_NS), 0);
    no_child_is_left();
}

/* Make a daemon by the book: fork, setsid, fork. */
static void daemonise(int pipe)
{
    pid_t first = fork();
    if (first == 0) {
        setsid();
        if (fork() == 0) {
            report(pipe);
            wait_for_a_signal();
        }
        _exit(0);
    }
    waitpid(first, NULL, 0);
}

static void test_what_is_below_a_subreaper_dies_before_it(void **state)
{
    (void)state;
    int pipes[2], status;
    assert_int_equal(pipe(pipes), 0);
    pid_t child = fork();
    if (child == 0) {
        prctl(PR_SET_CHILD_SUBREAPER, 1);
        for (int i = 0; i < 3; i++)
            daemonise(pipes[1]);
        raise(SIGSTOP);
        wait_for_a_signal();
    }
    hear(pipes[0], 3);
    close(pipes[1]);
    assert_int_equal(waitpid(child, &status, WUNTRACED), child);
    sweep_below(child, PATIENCE_NS);
    /* No daemon holds the pipe any more. The child still does: it is stopped, and has reaped none of them. */
    char byte;
    struct pollfd watched = {.fd = pipes[0], .events = POLLIN};
    assert_int_equal(poll(&watched, 1, 0), 0);
    struct found found = {.n = 0};
    assert_int_equal(sweep_children_of(child, note, &found), 0);
    assert_int_equal(found.n, 3);
    siginfo_t info = {.si_pid = 0};
    assert_int_equal(waitid(P_PID, (id_t)child, &info, WEXITED | WNOHANG | WNOWAIT), 0);
    assert_int_equal(info.si_pid, 0);
    kill(child, SIGKILL);
    assert_int_equal(read(pipes[0], &byte, 1), 0);
    assert_int_equal(sweep_all(PATIENCE_NS), 0);
    no_child_is_left();
    close(pipes[0]);
}

static void test_daemons_fall_to_the_subreaper_and_are_swept(void **state)
{
    (void)state;
    int pipes[2];
    assert_int_equal(pipe(pipes), 0);
    pid_t child = fork();
    if (child == 0) {
        for (int i = 0; i < 5; i++)
            daemonise(pipes[1]);
        wait_for_a_signal();
    }
    hear(pipes[0], 5);
    close(pipes[1]);
    assert_int_equal(sweep_all(PATIENCE_NS), 0);
    no_child_is_left();
    /* No daemon holds the pipe any more. */
    char byte;
    assert_int_equal(read(pipes[0], &byte, 1), 0);
    close(pipes[0]);
}

static void kill_one(pid_t pid, void *data)
{
    sweep_kill_tree(pid, data);
}

static void test_a_deep_tree_in_sessions_of_their_own_dies_to_the_last(void **state)
{
    (void)state;
    int pipes[2];
    assert_int_equal(pipe(pipes), 0);
    if (fork() == 0) {
        for (int depth = 0; depth < 60; depth++) { /* deeper than one look goes */
            setsid();
            report(pipes[1]);
            if (fork() > 0)
                wait_for_a_signal();
        }
        report(pipes[1]);
        wait_for_a_signal();
    }
    hear(pipes[0], 61);
    close(pipes[1]);
    /* Nobody reaps. Each look finds the processes that became our children by the deaths of the look before. */
    struct pollfd last = {pipes[0], POLLIN, 0};
    for (int64_t end = now_ns() + PATIENCE_NS; now_ns() < end && poll(&last, 1, 1) == 0;)
        sweep_children(kill_one, &(pid_t){0});
    assert_true(last.revents & POLLHUP);
    close(pipes[0]);
    assert_int_equal(sweep_all(PATIENCE_NS), 0);
    no_child_is_left();
}

static void test_a_kill_spares_siblings_and_ourselves(void **state)
{
    (void)state;
    pid_t spared = sleeper(); /* in our own process group, like the victim */
    pid_t victim = sleeper();
    sweep_kill_tree(victim, &(pid_t){0});
    int status;
    assert_int_equal(waitpid(victim, &status, 0), victim);
    assert_int_equal(WTERMSIG(status), SIGKILL);
    assert_int_equal(waitpid(spared, &status, WNOHANG), 0);
    assert_int_equal(sweep_all(PATIENCE_NS), 0);
}

/* The most processes that a bomb makes: enough to get lost in, and an end if the sweep fails. */
#define BOMB_MAX 1500

static _Noreturn void explode(atomic_int *made, bool sessions)
{
    alarm(ALARM_S);
    for (;;) {
        if (atomic_load(made) >= BOMB_MAX)
            pause();
        if (fork() == 0) {
            alarm(ALARM_S); /* not inherited */
            atomic_fetch_add(made, 1);
            if (sessions)
                setsid();
        }
    }
}

static void sweep_a_bomb(bool sessions)
{
    atomic_int *made = mmap(NULL, sizeof(*made), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(made, MAP_FAILED);
    pid_t first = fork();
    if (first == 0) {
        setsid();
        explode(made, sessions);
    }
    while (atomic_load(made) < 200)
        sched_yield();
    assert_int_equal(sweep_all(PATIENCE_NS), 0);
    no_child_is_left();
    munmap(made, sizeof(*made));
}

static void test_a_fork_bomb_is_beaten(void **state)
{
    (void)state;
    sweep_a_bomb(false);
}

static void test_a_fork_bomb_whose_every_process_leads_a_session_is_beaten(void **state)
{
    (void)state;
    sweep_a_bomb(true);
}

/* ---- marks -------------------------------------------------------------------------------------------------- */

/* Become a shell without an environment: only the kernel knows it as a descendant. */
static _Noreturn void become_another(int report_to)
{
    char command[64];
    snprintf(command, sizeof(command), "echo >&%d; exec sleep %d", report_to, ALARM_S);
    char *const argv[] = {(char *)"sh", (char *)"-c", command, NULL}, *const envp[] = {NULL};
    execve("/bin/sh", argv, envp);
    _exit(127);
}

/* Start a child that carries the mark, if nonzero, and leaves another program behind in a session of its own. */
static void start_marked(uint64_t mark, int report_to)
{
    if (fork() != 0)
        return;
    if (mark && sweep_mark(mark) < 0)
        _exit(1);
    if (fork() == 0) {
        setsid();
        if (fork() == 0)
            become_another(report_to);
        _exit(0);
    }
    wait(NULL);
    report(report_to);
    wait_for_a_signal();
    _exit(0);
}

static int living_children(void)
{
    struct found found = {.n = 0};
    while (waitpid(-1, NULL, WNOHANG) > 0)
        continue;
    sweep_children(note, &found);
    return found.n;
}

static void test_whatever_carries_the_mark_dies_wherever_it_is_and_nothing_else(void **state)
{
    (void)state;
    int pipes[2];
    assert_int_equal(pipe(pipes), 0);
    const uint64_t marks[] = {sweep_new_mark(), sweep_new_mark()};
    assert_true(marks[0] && marks[1] && marks[0] != marks[1]);
    start_marked(marks[0], pipes[1]);
    start_marked(marks[1], pipes[1]);
    start_marked(0, pipes[1]);
    hear(pipes[0], 6);
    assert_int_equal(living_children(), 6);
    int64_t end = now_ns() + PATIENCE_NS;
    assert_int_equal(sweep_marked(marks[0]), 2);
    while (sweep_marked(marks[0]) != 0 && now_ns() < end)
        sched_yield();
    while (living_children() > 4 && now_ns() < end)
        sched_yield();
    assert_int_equal(living_children(), 4);
    assert_int_equal(sweep_all(PATIENCE_NS), 0);
    close(pipes[0]);
    close(pipes[1]);
}

static void test_a_marked_process_marks_its_own_below_its_mark(void **state)
{
    (void)state;
    pid_t pid = fork();
    if (pid == 0) {
        if (geteuid() == 0 && (setgid(65534) < 0 || setuid(65534) < 0)) /* root may raise a limit again */
            _exit(2);
        const uint64_t outer = sweep_new_mark();
        if (sweep_mark(outer) < 0)
            _exit(3);
        const uint64_t inner = sweep_new_mark();
        _exit(!(inner && inner < outer && sweep_mark(inner) == 0 && sweep_mark(outer) == -EPERM));
    }
    int status = -1;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

static void test_no_child_is_no_work(void **state)
{
    (void)state;
    assert_int_equal(sweep_all(0), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_child_is_no_work),
        cmocka_unit_test(test_children_alive_and_dead_are_seen_and_grandchildren_are_not),
        cmocka_unit_test(test_a_list_that_is_kept_open_is_read_again_and_again),
        cmocka_unit_test(test_more_children_than_one_read_returns_are_all_seen),
        cmocka_unit_test(test_what_is_below_a_subreaper_dies_before_it),
        cmocka_unit_test(test_daemons_fall_to_the_subreaper_and_are_swept),
        cmocka_unit_test(test_a_deep_tree_in_sessions_of_their_own_dies_to_the_last),
        cmocka_unit_test(test_a_kill_spares_siblings_and_ourselves),
        cmocka_unit_test(test_a_fork_bomb_is_beaten),
        cmocka_unit_test(test_a_fork_bomb_whose_every_process_leads_a_session_is_beaten),
        cmocka_unit_test(test_whatever_carries_the_mark_dies_wherever_it_is_and_nothing_else),
        cmocka_unit_test(test_a_marked_process_marks_its_own_below_its_mark),
    };
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The guard: it starts a template, reports it, and leaves nothing behind after any death. This program is the
 * pool, the caller and, if started with a word, the template. */
#include "check.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>

#include "process/scratch.h"
#include "wire/frame.h"

#define PATIENCE_MS 30000
#define ALARM_S 60 /* leftovers of a failed test end by themselves */

static const char *self;                         /* the path of this program */
static const char *spill_dir = "/no/such/place"; /* only a template would need it */

struct guard {
    pid_t pid;
    int pidfd;
    int lifeline; /* our end */
    int control;  /* our end */
};

static void become_guard(const int *lifeline, const int *control, pid_t caller, char *const *command)
{
    char number[32], *argv[8] = {(char *)GUARD, number, (char *)spill_dir};
    snprintf(number, sizeof(number), "%d:0:0", caller);
    for (int i = 0; command[i]; i++)
        argv[3 + i] = command[i];
    /* Move them away from 3 and 4, and then there. A stray descriptor and an odd signal state come along. */
    int high_lifeline = fcntl(lifeline[1], F_DUPFD, 50), high_control = fcntl(control[1], F_DUPFD, 50);
    dup2(high_lifeline, 3);
    dup2(high_control, 4);
    dup2(open("/dev/null", O_RDWR), 0);
    signal(SIGTERM, SIG_IGN);
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
    char *const envp[] = {(char *)"GUARD_TEST=1", NULL};
    execve(GUARD, argv, envp);
    _exit(99);
}

static struct guard start_as(pid_t caller, char *const *command)
{
    int lifeline[2], control[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, lifeline), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, control), 0);
    struct guard guard = {.pid = fork(), .lifeline = lifeline[0], .control = control[0]};
    if (guard.pid == 0)
        become_guard(lifeline, control, caller, command);
    assert_true(guard.pid > 0);
    close(lifeline[1]);
    close(control[1]);
    guard.pidfd = (int)syscall(SYS_pidfd_open, guard.pid, 0);
    assert_true(guard.pidfd >= 0);
    return guard;
}

static struct guard start(const char *role)
{
    char *const command[] = {(char *)self, (char *)role, NULL};
    return start_as(getpid(), command);
}

static void wait_readable(int fd)
{
    struct pollfd ready = {fd, POLLIN, 0};
    assert_int_equal(RETRY_EINTR(poll(&ready, 1, PATIENCE_MS)), 1);
}

/* Return the pid of the template that the guard reports; *ret_pidfd is the test's. */
static pid_t template_of(const struct guard *guard, int *ret_pidfd)
{
    _Alignas(8) static uint8_t buffer[PINFOLD_FRAME_MAX];
    struct frame frame;
    wait_readable(guard->lifeline);
    assert_int_equal(frame_receive(guard->lifeline, 0, FRAME_FROM_GUARD, buffer, &frame), 1);
    assert_int_equal(frame.head.kind, PINFOLD_FRAME_TEMPLATE);
    *ret_pidfd = TAKE_FD(frame.fds[0]);
    return ((const struct pinfold_frame_template *)frame.body)->pid;
}

/* Receive a line that the template wrote to its control socket. */
static void line_from(const struct guard *guard, char *line, size_t size)
{
    wait_readable(guard->control);
    ssize_t got = recv(guard->control, line, size - 1, 0);
    assert_true(got > 0);
    line[got] = '\0';
}

/* Return a pidfd of the daemon that the template started. */
static int daemon_of(const struct guard *guard)
{
    char line[32];
    line_from(guard, line, sizeof(line));
    int pidfd = (int)syscall(SYS_pidfd_open, atoi(line), 0);
    assert_true(pidfd >= 0);
    return pidfd;
}

static void assert_dies(int pidfd)
{
    wait_readable(pidfd);
    close(pidfd);
}

static void assert_ends(const struct guard *guard, int status)
{
    int got;
    wait_readable(guard->pidfd);
    assert_int_equal(waitpid(guard->pid, &got, 0), guard->pid);
    assert_true(WIFEXITED(got));
    assert_int_equal(WEXITSTATUS(got), status);
    close(guard->pidfd);
    close(guard->control);
}

static void test_a_template_finds_what_the_protocol_promises(void **state)
{
    (void)state;
    struct guard guard = start("look");
    int pidfd;
    pid_t pid = template_of(&guard, &pidfd);
    char line[512], wanted[512];
    line_from(&guard, line, sizeof(line));
    snprintf(wanted, sizeof(wanted),
             "parent %d session %d stdin 1:3 socket 1 highest 3 blocked 0 ignored 0 environment GUARD_TEST=1",
             guard.pid, pid);
    assert_string_equal(line, wanted);
    close(guard.lifeline);
    assert_dies(pidfd);
    assert_ends(&guard, 0);
}

static void test_a_command_that_cannot_be_executed_is_told(void **state)
{
    (void)state;
    char *const command[] = {(char *)"/nonexistent/python", NULL};
    struct guard guard = start_as(getpid(), command);
    _Alignas(8) static uint8_t buffer[PINFOLD_FRAME_MAX + 1];
    struct frame frame;
    wait_readable(guard.lifeline);
    assert_int_equal(frame_receive(guard.lifeline, 0, FRAME_FROM_GUARD, buffer, &frame), 1);
    assert_int_equal(frame.head.kind, PINFOLD_FRAME_FAILED);
    buffer[frame.tail - buffer + frame.tail_size] = '\0';
    assert_string_equal((const char *)frame.tail, "cannot execute /nonexistent/python: No such file or directory");
    assert_ends(&guard, 0);
    close(guard.lifeline);
}

static void test_the_end_of_the_lifeline_ends_the_template_and_its_daemons(void **state)
{
    (void)state;
    struct guard guard = start("daemonise");
    int template;
    template_of(&guard, &template);
    int daemon = daemon_of(&guard);
    close(guard.lifeline);
    assert_dies(template);
    assert_dies(daemon);
    assert_ends(&guard, 0);
}

static void test_a_descriptor_that_is_sent_to_the_guard_is_closed(void **state)
{
    (void)state;
    struct guard guard = start("look");
    int template;
    template_of(&guard, &template);
    for (int i = 0; i < 3; i++) {
        int ends[2];
        assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
        assert_int_equal(frame_send(guard.lifeline, PINFOLD_FRAME_DROP, 0, NULL, NULL, 0, &ends[1], 1), 0);
        close(ends[1]);
        wait_readable(ends[0]); /* end-of-file */
        close(ends[0]);
    }
    assert_int_equal(poll(&(struct pollfd){guard.pidfd, POLLIN, 0}, 1, 0), 0);
    close(guard.lifeline);
    assert_dies(template);
    assert_ends(&guard, 0);
}

static void test_daemons_of_a_killed_template_are_swept(void **state)
{
    (void)state;
    struct guard guard = start("daemonise");
    int template;
    pid_t pid = template_of(&guard, &template);
    int daemon = daemon_of(&guard);
    kill(pid, SIGKILL);
    assert_dies(daemon);
    assert_dies(template);
    assert_ends(&guard, 0);
    /* The lifeline's end-of-file informs the pool. */
    char byte;
    assert_int_equal(recv(guard.lifeline, &byte, 1, 0), 0);
    close(guard.lifeline);
}

/* Make the directory and return it opened. The caller frees *ret_path. */
static int make_in(const char *directory, const char *name, char **ret_path)
{
    assert_true(asprintf(ret_path, "%s/%s", directory, name) > 0);
    assert_int_equal(mkdir(*ret_path, 0700), 0);
    int fd = open(*ret_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(fd >= 0);
    return fd;
}

static void test_what_a_template_left_in_the_spill_directory_is_removed(void **state)
{
    (void)state;
    char *directory = make_directory(), *left, *held, *other, *scratch;
    close(make_in(directory, BASE_NAME "0123456789ab", &left));
    static const char *const others[] = {"other", BASE_NAME, BASE_NAME "0123456789a", BASE_NAME "0123456789abc",
                                         BASE_NAME "0123456789aB"};
    for (size_t i = 0; i < COUNT_OF(others); i++)
        close(make_in(directory, others[i], &other)), free(other);
    int fd = make_in(left, "scratch", &scratch);
    close(openat(fd, "file", O_WRONLY | O_CREAT, 0));
    assert_int_equal(symlinkat("/", fd, "link"), 0);
    for (int depth = 0, below; depth < 100; depth++, fd = below) {
        assert_int_equal(mkdirat(fd, "deeper", 0700), 0);
        below = openat(fd, "deeper", O_RDONLY | O_DIRECTORY);
        assert_int_equal(fchmod(fd, depth % 2 ? 0 : 0700), 0);
        close(fd);
    }
    close(fd);
    int lock = make_in(directory, BASE_NAME "0123456789ac", &held);
    assert_int_equal(flock(lock, LOCK_EX), 0);

    spill_dir = directory;
    struct guard guard = start("look");
    int pidfd;
    kill(template_of(&guard, &pidfd), SIGKILL);
    close(pidfd);
    assert_ends(&guard, 0);
    close(guard.lifeline);
    spill_dir = "/no/such/place";

    assert_int_equal(access(left, F_OK), -1);
    assert_int_equal(rmdir(held), 0);
    int fd_of_directory = open(directory, O_RDONLY | O_DIRECTORY);
    for (size_t i = 0; i < COUNT_OF(others); i++)
        assert_int_equal(unlinkat(fd_of_directory, others[i], AT_REMOVEDIR), 0);
    close(fd_of_directory);
    close(lock);
    free(left), free(held), free(scratch);
    remove_directory(directory);
}

/* A guard that is killed just after it has killed its template leaves no directory. */
static void test_a_base_is_removed_before_its_template_is_killed(void **state)
{
    (void)state;
    char *directory = make_directory(), *base;
    int lock = make_in(directory, BASE_NAME "0123456789ab", &base);
    for (int i = 0; i < 2000; i++) {
        char name[16];
        snprintf(name, sizeof(name), "%d", i);
        close(openat(lock, name, O_WRONLY | O_CREAT, 0600));
    }
    close(lock);
    spill_dir = directory;
    char *const command[] = {(char *)self, (char *)"hold", base, NULL};
    struct guard guard = start_as(getpid(), command);
    char line[32];
    line_from(&guard, line, sizeof(line));
    int pidfd;
    template_of(&guard, &pidfd);
    close(guard.lifeline);
    assert_dies(pidfd);
    assert_int_equal(count_entries(directory), 0);
    assert_ends(&guard, 0);
    spill_dir = "/no/such/place";
    free(base);
    remove_directory(directory);
}

static void test_a_template_that_ends_by_itself_ends_the_guard(void **state)
{
    (void)state;
    struct guard guard = start("exit");
    assert_ends(&guard, 0);
    close(guard.lifeline);
}

static void test_the_death_of_the_caller_is_seen_while_its_fork_holds_the_lifeline(void **state)
{
    (void)state;
    int pidfds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pidfds), 0);
    pid_t caller = fork();
    if (caller == 0) {
        alarm(ALARM_S);
        struct guard guard = start("daemonise");
        int sent[3] = {guard.pidfd, -1, -1};
        template_of(&guard, &sent[1]);
        sent[2] = daemon_of(&guard);
        pid_t holder = fork();
        if (holder == 0) {
            alarm(ALARM_S);
            for (;;)
                pause();
        }
        struct pinfold_frame_start any = {.worker_id =
                                              ""}; /* the only kind of frame that carries three descriptors */
        struct iovec tail = {&holder, sizeof(holder)};
        frame_send(pidfds[1], PINFOLD_FRAME_START, (uint64_t)holder, &any, &tail, 0, sent, 3);
        for (;;)
            pause();
    }
    close(pidfds[1]);
    _Alignas(8) static uint8_t buffer[PINFOLD_FRAME_MAX];
    struct frame frame;
    wait_readable(pidfds[0]);
    assert_int_equal(frame_receive(pidfds[0], 0, FRAME_FROM_POOL, buffer, &frame), 1);
    kill(caller, SIGKILL);
    assert_int_equal(waitpid(caller, NULL, 0), caller);
    for (int i = 0; i < 3; i++)
        assert_dies(TAKE_FD(frame.fds[i]));
    kill((pid_t)frame.head.id, SIGKILL);
    while (waitpid(-1, NULL, 0) > 0) /* we are a subreaper: the guard and the holder became our children */
        continue;
    close(pidfds[0]);
}

static void test_a_guard_whose_caller_died_first_starts_nothing(void **state)
{
    (void)state;
    char *const command[] = {(char *)self, (char *)"look", NULL};
    struct guard guard = start_as(1, command);
    assert_ends(&guard, 0);
    char byte;
    assert_int_equal(recv(guard.lifeline, &byte, 1, 0), 0);
    close(guard.lifeline);
}

static void test_a_guard_that_a_person_starts_explains_itself(void **state)
{
    (void)state;
    int report[2];
    assert_int_equal(pipe(report), 0);
    pid_t pid = fork();
    if (pid == 0) {
        dup2(report[1], 2);
        execl(GUARD, GUARD, NULL);
        _exit(99);
    }
    close(report[1]);
    char text[256] = "";
    assert_true(read(report[0], text, sizeof(text) - 1) > 0);
    assert_memory_equal(text, "usage:", 6);
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(WEXITSTATUS(status), 2);
    close(report[0]);
}

/* ---- the template's side
 * ---------------------------------------------------------------------------------------- */

static _Noreturn void last(void)
{
    alarm(ALARM_S);
    for (;;)
        pause();
}

static _Noreturn void look(void)
{
    struct stat null, socket;
    fstat(0, &null);
    fstat(3, &socket);
    int highest = 0, ignored = 0, blocked = 0;
    for (int fd = 0; fd < 1000; fd++)
        highest = fcntl(fd, F_GETFD) >= 0 ? fd : highest;
    sigset_t mask;
    sigprocmask(SIG_SETMASK, NULL, &mask);
    for (int number = 1; number <= SIGRTMAX; number++) {
        struct sigaction action;
        if (sigaction(number, NULL, &action) == 0)
            ignored += action.sa_handler == SIG_IGN; /* a handler does not survive exec */
        blocked += sigismember(&mask, number) == 1;
    }
    char line[512];
    int size =
        snprintf(line, sizeof(line),
                 "parent %d session %d stdin %u:%u socket %d highest %d blocked %d ignored %d environment %s",
                 getppid(), getsid(0), major(null.st_rdev), minor(null.st_rdev), S_ISSOCK(socket.st_mode), highest,
                 blocked, ignored, environ[0]);
    send(3, line, (size_t)size, 0);
    last();
}

static _Noreturn void hold(const char *base)
{
    int lock = open(base, O_RDONLY | O_DIRECTORY);
    flock(lock, LOCK_EX);
    send(3, "held", strlen("held"), 0);
    last();
}

static _Noreturn void daemonise(void)
{
    pid_t first = fork();
    if (first == 0) {
        setsid();
        if (fork() == 0) {
            char line[32];
            int size = snprintf(line, sizeof(line), "%d", getpid());
            send(3, line, (size_t)size, 0);
            close(3);
            last();
        }
        _exit(0);
    }
    waitpid(first, NULL, 0);
    last();
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "look") == 0)
        look();
    if (argc > 2 && strcmp(argv[1], "hold") == 0)
        hold(argv[2]);
    if (argc > 1 && strcmp(argv[1], "daemonise") == 0)
        daemonise();
    if (argc > 1)
        return 0;
    static char path[4096];
    if (readlink("/proc/self/exe", path, sizeof(path) - 1) < 0)
        return 1;
    self = path;
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_template_finds_what_the_protocol_promises),
        cmocka_unit_test(test_a_command_that_cannot_be_executed_is_told),
        cmocka_unit_test(test_the_end_of_the_lifeline_ends_the_template_and_its_daemons),
        cmocka_unit_test(test_a_descriptor_that_is_sent_to_the_guard_is_closed),
        cmocka_unit_test(test_daemons_of_a_killed_template_are_swept),
        cmocka_unit_test(test_what_a_template_left_in_the_spill_directory_is_removed),
        cmocka_unit_test(test_a_base_is_removed_before_its_template_is_killed),
        cmocka_unit_test(test_a_template_that_ends_by_itself_ends_the_guard),
        cmocka_unit_test(test_the_death_of_the_caller_is_seen_while_its_fork_holds_the_lifeline),
        cmocka_unit_test(test_a_guard_whose_caller_died_first_starts_nothing),
        cmocka_unit_test(test_a_guard_that_a_person_starts_explains_itself),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

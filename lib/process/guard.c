/* SPDX-License-Identifier: Apache-2.0 */
/* pinfold-guard - stands above a template and makes sure that nothing outlives a pool.
 *
 *     pinfold-guard CALLER-PID:MARK:NAMESPACES SPILL-DIRECTORY TEMPLATE-COMMAND...
 *
 * MARK and NAMESPACES are hexadecimal and may be 0. By the mark (sweep.h) the pool finds what is left if both this
 * process and the template are killed. NAMESPACES are CLONE_NEW* of clone(2): the template starts in new ones, the
 * guard stays outside. The guard removes what a template left in the spill directory (scratch.h).
 *
 * Descriptors: 0 /dev/null; 1 and 2 the log; 3 the lifeline, a socket to the pool; 4 the template's end of its
 * control socket, which becomes the template's descriptor 3. The environment is the template's.
 *
 * A template sweeps what its workers left behind. When the template itself is killed, its descendants are
 * reparented to the next subreaper above, which is this process. It has no threads and no interpreter and
 * allocates nothing, so that little can go wrong. It also closes descriptors for the pool that take long to close.
 * When the lifeline is closed, the caller dies or the template dies, it kills all descendants and ends. A child
 * that the caller forked may hold the lifeline open.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <linux/capability.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "base/util.h"
#include "process/scratch.h"
#include "process/sweep.h"
#include "wire/frame.h"

#define TEMPLATE_LAST_NS (500 * NS_PER_MS) /* do not wait for processes that fork faster than they can be killed */

enum { LIFELINE = 3, CONTROL = 4, FIRST_UNKNOWN = 5 };

static int open_pidfd(pid_t pid)
{
    return (int)syscall(SYS_pidfd_open, pid, 0);
}

/* Set the signals to what exec leaves: nothing ignored, nothing blocked, whatever the caller had. */
static void reset_signals(void)
{
    for (int number = 1; number <= SIGRTMAX; number++)
        signal(number, SIG_DFL);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

static int guard_write_file(const char *path, const char *text)
{
    _cleanup_close_ int fd = open(path, O_WRONLY | O_CLOEXEC);
    return fd < 0 || write(fd, text, strlen(text)) < 0 ? -errno : 0;
}

/* Keep the capabilities that the template needs for its mounts and to change its mount namespace (setns(2)).
 * Without this, an exec keeps them for root only. */
static int keep_mounting(void)
{
    static const unsigned kept[] = {CAP_SYS_ADMIN, CAP_SYS_CHROOT};
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2] = {{0}, {0}};
    if (syscall(SYS_capget, &header, data) < 0)
        return -errno;
    for (size_t i = 0; i < COUNT_OF(kept); i++)
        data[0].inheritable |= 1u << kept[i];
    if (syscall(SYS_capset, &header, data) < 0)
        return -errno;
    for (size_t i = 0; i < COUNT_OF(kept); i++)
        if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, kept[i], 0, 0) < 0)
            return -errno;
    return 0;
}

/* Lower RLIMIT_NPROC by a quarter. A new namespace gets its maker's limit on the user's processes; some must be
 * left for the caller. */
static void leave_tasks(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NPROC, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY) {
        limit.rlim_cur -= limit.rlim_cur / 4;
        setrlimit(RLIMIT_NPROC, &limit);
    }
}

/* Map the user and the group to themselves in a new user namespace. */
static int keep_user(uid_t uid, gid_t gid)
{
    char users[32], groups[32];
    snprintf(users, sizeof(users), "%u %u 1", uid, uid);
    snprintf(groups, sizeof(groups), "%u %u 1", gid, gid);
    int r = guard_write_file("/proc/self/setgroups", "deny");
    if (r == 0)
        r = guard_write_file("/proc/self/uid_map", users);
    if (r == 0)
        r = guard_write_file("/proc/self/gid_map", groups);
    return r == 0 ? keep_mounting() : r;
}

/* Return whether the guard, the only reader of that pipe, still lives. A parent outside the namespace has no
 * pid here. */
static bool guard_lives(pid_t guard, int failure)
{
    struct pollfd pipe = {failure, 0, 0};
    return getppid() ? getppid() == guard : poll(&pipe, 1, 0) == 0;
}

static void become_template(char **command, pid_t guard, int failure, bool in_namespaces, uid_t uid, gid_t gid)
{
    int code = in_namespaces ? -keep_user(uid, gid) : 0;
    /* The template clears this signal once it serves: it then notices the guard's death by itself and sweeps
     * first. The first process of a pid namespace keeps it, since its death kills all others there. */
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (!guard_lives(guard, failure))
        _exit(127);
    setsid();
    dup2(CONTROL, PINFOLD_CONTROL_FD);
    close(CONTROL);
    if (code == 0) {
        execv(command[0], command);
        code = errno;
    }
    if (write(failure, &code, sizeof(code)) != sizeof(code))
        _exit(126);
    _exit(127);
}

static void report_failure(const char *what, const char *command, int code)
{
    char text[8192];
    int size = snprintf(text, sizeof(text), "%s %.7000s: %s", what, command, strerror(code));
    struct iovec tail = {text, (size_t)size};
    frame_send(LIFELINE, PINFOLD_FRAME_FAILED, 0, NULL, &tail, 1, NULL, 0);
}

/* Report a successful exec, which closes the other end of `exec_pipe`, or the errno that a failed one wrote
 * there. False: the pool does not know the template and cannot use it. */
static bool report_start(int exec_pipe, pid_t template, int pidfd, const char *command)
{
    int code;
    if (RETRY_EINTR(read(exec_pipe, &code, sizeof(code))) == sizeof(code)) {
        report_failure("cannot execute", command, code);
        return false;
    }
    if (pidfd < 0) {
        report_failure("no pidfd of the running", command, EMFILE);
        return false;
    }
    struct pinfold_frame_template body = {.pid = template};
    return frame_send(LIFELINE, PINFOLD_FRAME_TEMPLATE, 0, &body, NULL, 0, &pidfd, 1) == 0;
}

/* Return whether the pool has closed its end of the lifeline. The pool sends descriptors there to have them
 * closed: the last one of a large file costs the kernel 160 ms a GiB. Received without a control buffer, they
 * are closed here. */
static bool lifeline_ended(void)
{
    char byte;
    ssize_t got;
    do
        got = recv(LIFELINE, &byte, sizeof(byte), MSG_DONTWAIT);
    while (got > 0 || (got < 0 && errno == EINTR));
    return got == 0 || errno != EAGAIN;
}

/* Wait until there is a reason to end. */
static void guard_watch(int caller, pid_t template, int exec_pipe, const char *command)
{
    int pidfd = open_pidfd(template);
    enum { THE_LIFELINE, THE_CALLER, THE_TEMPLATE, THE_EXEC, WATCHED };
    struct pollfd watched[WATCHED] = {
        [THE_LIFELINE] = {LIFELINE, POLLIN, 0},
        [THE_CALLER] = {caller, POLLIN, 0}, /* poll(2) ignores a negative descriptor */
        [THE_TEMPLATE] = {pidfd, POLLIN, 0},
        [THE_EXEC] = {exec_pipe, POLLIN, 0},
    };
    for (;;) {
        if (poll(watched, WATCHED, -1) < 0)
            continue;
        if (watched[THE_EXEC].revents) {
            if (!report_start(exec_pipe, template, pidfd, command))
                return;
            close_fd(&exec_pipe);
            watched[THE_EXEC] = (struct pollfd){.fd = -1};
        }
        if (watched[THE_CALLER].revents || watched[THE_TEMPLATE].revents ||
            (watched[THE_LIFELINE].revents && lifeline_ended()))
            return;
    }
}

int main(int argc, char **argv)
{
    int caller, end = 0;
    uint64_t mark;
    unsigned namespaces;
    if (argc < 4 || sscanf(argv[1], "%d:%" SCNx64 ":%x%n", &caller, &mark, &namespaces, &end) != 3 ||
        argv[1][end] || caller <= 0) {
        fputs("usage: pinfold-guard CALLER-PID:MARK:NAMESPACES SPILL-DIRECTORY TEMPLATE-COMMAND...; a pool starts "
              "it\n",
              stderr);
        return 2;
    }
    syscall(SYS_close_range, FIRST_UNKNOWN, ~0U, 0);
    reset_signals();
    /* The order matters: if the caller is still our parent, the pidfd cannot be that of another process with
     * its pid. */
    int caller_pidfd = open_pidfd(caller);
    prctl(PR_SET_PDEATHSIG, SIGCONT); /* a stopped guard must continue then, to sweep */
    if (getppid() != caller)
        return 0;
    setsid();
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    if (mark)
        sweep_mark(mark);

    char **command = argv + 3;
    int exec_pipe[2];
    if (pipe2(exec_pipe, O_CLOEXEC) < 0) {
        report_failure("no pipe to start", command[0], errno);
        return 1;
    }
    uid_t uid = geteuid();
    gid_t gid = getegid();
    if (namespaces)
        leave_tasks();
    /* fork() cannot make namespaces. What glibc does not know of this child is irrelevant after its exec. */
    pid_t guard = getpid(), child = (pid_t)syscall(SYS_clone, (unsigned long)namespaces | SIGCHLD, 0, 0, 0, 0);
    if (child == 0)
        become_template(command, guard, exec_pipe[1], namespaces != 0, uid, gid);
    if (child < 0) {
        report_failure(namespaces ? "cannot make the namespaces to start" : "cannot fork to start", command[0],
                       errno);
        return 1;
    }
    /* The pool must see end-of-file there when the template dies. */
    close(CONTROL);
    close(exec_pipe[1]);
    guard_watch(caller_pidfd, child, exec_pipe[0], command[0]);
    if (!namespaces) /* a new namespace has its own /dev/shm */
        sweep_spare_trackers(SWEEP_TRACKER_NS);
    /* Kill the template last, and stop it until then, so that it does not report deaths that the guard causes.
     * If the guard is killed before it is done, the template continues and sweeps the rest. */
    kill(child, SIGSTOP);
    sweep_below(child, TEMPLATE_LAST_NS);
    /* Remove the template's base before the template dies: after that, nobody would remove it if this process
     * were killed, too. A template in namespaces dies with this process, and what runs in them still uses its
     * base. */
    int spill_dir = open(argv[2], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (spill_dir >= 0 && !namespaces)
        scratch_clear_base_of(spill_dir, child);
    kill(child, SIGKILL); /* by its pid, which it keeps until it is reaped: a box may have no list to find it in */
    sweep_all(SWEEP_FOREVER);
    if (spill_dir >= 0)
        scratch_clear_bases(spill_dir);
    /* Not exit(): LeakSanitizer stops a process there, and waits for ever if the SIGCONT of the caller's death
     * comes in between. */
    _exit(0);
}

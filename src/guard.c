/* pinfold-guard - stands above a template, and sees to it that nothing outlives a pool.
 *
 *     pinfold-guard CALLER-PID:MARK:NAMESPACES SPILL-DIRECTORY TEMPLATE-COMMAND...
 *
 * MARK and NAMESPACES are hexadecimal, and may be 0. The mark (sweep.h) is for the pool, should both this process and the
 * template be killed. The namespaces are CLONE_NEW* of clone(2): the template starts in new ones, the guard stays
 * outside. What a template left in the spill directory (scratch.h) is removed.
 *
 * Descriptors: 0 /dev/null; 1 and 2 the log; 3 the lifeline, a socket to the pool; 4 the template's end of its
 * control socket, which becomes the template's descriptor 3. The environment is the template's.
 *
 * A template sweeps what its workers left behind. When the template itself is killed, everything below it falls to
 * the next subreaper above, and that is this process: without a thread, an interpreter or an allocation, it has
 * nothing to go wrong. What the pool is to close and would take long over, it closes. It ends, after the last descendant, when the lifeline is closed, when the caller dies (a
 * child that the caller forked may hold the lifeline open), or when the template dies.
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
#include <sys/wait.h>

#include "frame.h"
#include "scratch.h"
#include "sweep.h"
#include "util.h"

#define TEMPLATE_LAST_NS (500 * NS_PER_MS) /* what forks faster than it can be killed is not waited for */

enum { LIFELINE = 3, CONTROL = 4, FIRST_UNKNOWN = 5 };

static int open_pidfd(pid_t pid)
{
    return (int)syscall(SYS_pidfd_open, pid, 0);
}

/* As exec finds them: nothing ignored, nothing blocked, whatever the caller had. */
static void reset_signals(void)
{
    for (int number = 1; number <= SIGRTMAX; number++)
        signal(number, SIG_DFL);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

static int put(const char *path, const char *text)
{
    _cleanup_close_ int fd = open(path, O_WRONLY | O_CLOEXEC);
    return fd < 0 || write(fd, text, strlen(text)) < 0 ? -errno : 0;
}

/* An exec takes a user's capabilities away, root's alone it leaves: these the template needs for its mounts, and to go
 * from one mount namespace to another (setns(2)). */
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

/* A namespace is given what its maker may have of the user's processes: not all, so that some are left for the caller. */
static void leave_tasks(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NPROC, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY) {
        limit.rlim_cur -= limit.rlim_cur / 4;
        setrlimit(RLIMIT_NPROC, &limit);
    }
}

/* In a new user namespace: the user and the group stay what they are. */
static int keep_user(uid_t uid, gid_t gid)
{
    char users[32], groups[32];
    snprintf(users, sizeof(users), "%u %u 1", uid, uid);
    snprintf(groups, sizeof(groups), "%u %u 1", gid, gid);
    int r = put("/proc/self/setgroups", "deny");
    if (r == 0)
        r = put("/proc/self/uid_map", users);
    if (r == 0)
        r = put("/proc/self/gid_map", groups);
    return r == 0 ? keep_mounting() : r;
}

/* Whether the guard, which alone reads from that pipe, is still there; a parent in another namespace has no pid. */
static bool guard_lives(pid_t guard, int failure)
{
    struct pollfd pipe = {failure, 0, 0};
    return getppid() ? getppid() == guard : poll(&pipe, 1, 0) == 0;
}

static void become_template(char **command, pid_t guard, int failure, bool in_namespaces, uid_t uid, gid_t gid)
{
    int code = in_namespaces ? -keep_user(uid, gid) : 0;
    /* The template ends this again when it serves: it then sees the guard die by itself, and sweeps first. Not so
     * as the first process of a namespace of pids, whose death is that of all others. */
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (!guard_lives(guard, failure))
        _exit(127);
    setsid();
    dup2(CONTROL, LIFELINE);
    close(CONTROL);
    if (code == 0) {
        execv(command[0], command);
        code = errno;
    }
    if (write(failure, &code, sizeof(code)) != sizeof(code))
        _exit(126);
    _exit(127);
}

static void tell_failure(const char *what, const char *command, int code)
{
    char text[8192];
    int size = snprintf(text, sizeof(text), "%s %.7000s: %s", what, command, strerror(code));
    struct iovec tail = {text, (size_t)size};
    frame_send(LIFELINE, FRAME_FAILED, 0, NULL, &tail, 1, NULL, 0);
}

/* The other end of `exec_pipe` is closed by a successful exec, and holds an errno after a failed one. False: the pool
 * does not know the template, and cannot use it. */
static bool tell_start(int exec_pipe, pid_t template, int pidfd, const char *command)
{
    int code;
    if (RETRY_EINTR(read(exec_pipe, &code, sizeof(code))) == sizeof(code)) {
        tell_failure("cannot execute", command, code);
        return false;
    }
    if (pidfd < 0) {
        tell_failure("no pidfd of the running", command, EMFILE);
        return false;
    }
    struct frame_template body = {.pid = template};
    return frame_send(LIFELINE, FRAME_TEMPLATE, 0, &body, NULL, 0, &pidfd, 1) == 0;
}

/* Whether the pool has closed its end of the lifeline. What it sends there are descriptors that are to be closed, which
 * takes the kernel long when it is the last one of a large file (160 ms a GiB): with no room for them given, they are
 * closed here, without having been taken. */
static bool lifeline_ended(void)
{
    char byte;
    ssize_t got;
    do
        got = recv(LIFELINE, &byte, sizeof(byte), MSG_DONTWAIT);
    while (got > 0 || (got < 0 && errno == EINTR));
    return got == 0 || errno != EAGAIN;
}

/* Returns when there is a reason to end. */
static void watch(int caller, pid_t template, int exec_pipe, const char *command)
{
    int pidfd = open_pidfd(template);
    enum { THE_LIFELINE, THE_CALLER, THE_TEMPLATE, THE_EXEC, WATCHED };
    struct pollfd watched[WATCHED] = {
        [THE_LIFELINE] = {LIFELINE, POLLIN, 0},
        [THE_CALLER] = {caller, POLLIN, 0}, /* poll(2) passes over a negative descriptor */
        [THE_TEMPLATE] = {pidfd, POLLIN, 0},
        [THE_EXEC] = {exec_pipe, POLLIN, 0},
    };
    for (;;) {
        if (poll(watched, WATCHED, -1) < 0)
            continue;
        if (watched[THE_EXEC].revents) {
            if (!tell_start(exec_pipe, template, pidfd, command))
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
    /* In this order: if the caller is still our parent, the pidfd cannot be of another process with its pid. */
    int caller_pidfd = open_pidfd(caller);
    prctl(PR_SET_PDEATHSIG, SIGCONT); /* if somebody has stopped this process by then, it still has work to do */
    if (getppid() != caller)
        return 0;
    setsid();
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    if (mark)
        sweep_mark(mark);

    char **command = argv + 3;
    int exec_pipe[2];
    if (pipe2(exec_pipe, O_CLOEXEC) < 0) {
        tell_failure("no pipe to start", command[0], errno);
        return 1;
    }
    uid_t uid = geteuid();
    gid_t gid = getegid();
    if (namespaces)
        leave_tasks();
    /* Not fork(), which knows no namespaces. What glibc does not know of this child, its exec forgets. */
    pid_t guard = getpid(), child = (pid_t)syscall(SYS_clone, (unsigned long)namespaces | SIGCHLD, 0, 0, 0, 0);
    if (child == 0)
        become_template(command, guard, exec_pipe[1], namespaces != 0, uid, gid);
    if (child < 0) {
        tell_failure(namespaces ? "cannot make the namespaces to start" : "cannot fork to start", command[0],
                     errno);
        return 1;
    }
    /* The pool shall see an end-of-file there when the template dies. */
    close(CONTROL);
    close(exec_pipe[1]);
    watch(caller_pidfd, child, exec_pipe[0], command[0]);
    if (!namespaces) /* which have a /dev/shm of their own */
        sweep_spare_trackers(SWEEP_TRACKER_NS);
    /* The template last, and stopped until then, so that it tells nobody of deaths that are this one's doing. If this
     * process is killed before it is done, the template goes on, and sweeps what is left. */
    kill(child, SIGSTOP);
    sweep_below(child, TEMPLATE_LAST_NS);
    /* Before the template dies, for after that nobody else would remove it, were this process killed, too. With its
     * namespaces a template dies of this process's death anyhow, and what runs in them still uses its base. */
    int spill_dir = open(argv[2], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (spill_dir >= 0 && !namespaces)
        scratch_clear_base_of(spill_dir, child);
    kill(child,
         SIGKILL); /* by its pid, which it has until it is reaped: in a box there may be no list to find it in */
    sweep_all(SWEEP_FOREVER);
    if (spill_dir >= 0)
        scratch_clear_bases(spill_dir);
    /* Not exit(): LeakSanitizer stops a process there, and waits for that for ever if the SIGCONT of the caller's death
     * comes in between. */
    _exit(0);
}

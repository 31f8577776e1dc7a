/* probe.c - finds out, in a child process, whether this user may make the namespaces and mounts of "strict". */
#include "../_worker/box/box.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/util.h"

struct answer {
    int step, code;
};

static int probe_write_file(const char *path, const char *text)
{
    _cleanup_close_ int fd = open(path, O_WRONLY | O_CLOEXEC);
    return fd < 0 || write(fd, text, strlen(text)) < 0 ? -errno : 0;
}

/* Use system calls only from here on, because the caller has threads. */
static struct answer attempt(unsigned uid, unsigned gid)
{
    char users[32], groups[32];
    snprintf(users, sizeof(users), "%u %u 1", uid, uid);
    snprintf(groups, sizeof(groups), "%u %u 1", gid, gid);
    if (syscall(SYS_unshare, CLONE_NEWUSER) < 0)
        return (struct answer){0, errno};
    int r = probe_write_file("/proc/self/setgroups", "deny");
    if (r == 0)
        r = probe_write_file("/proc/self/uid_map", users);
    if (r == 0)
        r = probe_write_file("/proc/self/gid_map", groups);
    if (r < 0)
        return (struct answer){1, -r};
    if (syscall(SYS_unshare, CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS) < 0)
        return (struct answer){2, errno};
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        return (struct answer){3, errno};
    pid_t child = (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
    if (child == 0) {
        r = mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0 ? errno : 0;
        _exit(r);
    }
    int status = 0;
    if (child < 0 || RETRY_EINTR(waitpid(child, &status, __WALL)) < 0)
        return (struct answer){2, errno};
    return (struct answer){4, WIFEXITED(status) ? WEXITSTATUS(status) : EPERM};
}

int probe_namespaces(int *ret_step)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0)
        return -errno;
    unsigned uid = geteuid(), gid = getegid();
    pid_t child = (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
    if (child == 0) {
        alarm(10);
        signal(SIGCHLD, SIG_DFL); /* waitpid fails with an inherited SIG_IGN */
        struct answer answer = attempt(uid, gid);
        _exit(write(ends[1], &answer, sizeof(answer)) != sizeof(answer));
    }
    int code = errno;
    close(ends[1]);
    struct answer answer = {0, child < 0 ? code : EPERM};
    if (child > 0) {
        ssize_t got = RETRY_EINTR(read(ends[0], &answer, sizeof(answer)));
        (void)got;
        RETRY_EINTR(waitpid(child, NULL, __WALL));
    }
    close(ends[0]);
    *ret_step = answer.step;
    return -answer.code;
}

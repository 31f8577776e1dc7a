/* SPDX-License-Identifier: Apache-2.0 */
/* sweep.c - finds and kills descendants, by /proc and by mark (sweep.h). */
#include "process/sweep.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/util.h"

#ifndef LIST_OF_THIS_THREAD /* a test sets it, to behave like a kernel without this file */
#define LIST_OF_THIS_THREAD "/proc/thread-self/children"
#endif

/* One look kills at most LOOK_MAX processes below one child, down to LOOK_DEPTH levels. */
#define LOOK_MAX 2048
#define LOOK_DEPTH 24

/* The pause between two looks of sweep_all: the first as long as something dies, then doubled up to the last. */
#define PAUSE_FIRST (200 * NS_PER_US)
#define PAUSE_LAST (20 * NS_PER_MS)

#define MARK_FIRST (UINT64_C(1) << 63) /* every mark is below this */
#define MARK_BITS 46                   /* at most this far below the enclosing one */

int sweep_open(void)
{
    int fd = RETRY_EINTR(open(LIST_OF_THIS_THREAD, O_RDONLY | O_CLOEXEC));
    return fd < 0 ? -errno : fd;
}

int sweep_read(int list, sweep_visit *visit, void *data)
{
    char text[4096];
    pid_t pid = 0;
    for (off_t at = 0;;) {
        ssize_t got = RETRY_EINTR(pread(list, text, sizeof(text), at));
        if (got < 0)
            return -errno;
        for (ssize_t i = 0; i < got; i++) {
            if (text[i] >= '0' && text[i] <= '9') {
                pid = pid * 10 + (text[i] - '0');
            } else if (pid > 0) {
                visit(pid, data);
                pid = 0;
            }
        }
        if (got == 0)
            return 0;
        at += got;
    }
}

/* Parse "123" as 123; return 0 for anything else. */
static pid_t parse_pid(const char *name)
{
    pid_t pid = 0;
    for (; *name; name++) {
        if (*name < '0' || *name > '9' || pid > (INT32_MAX - 9) / 10)
            return 0;
        pid = pid * 10 + (*name - '0');
    }
    return pid;
}

static pid_t parent_of(pid_t pid)
{
    char path[32], text[512];
    snprintf(path, sizeof(path), "/proc/%d/stat", pid);
    _cleanup_close_ int fd = RETRY_EINTR(open(path, O_RDONLY | O_CLOEXEC));
    if (fd < 0)
        return 0;
    ssize_t got = RETRY_EINTR(read(fd, text, sizeof(text) - 1));
    if (got <= 0)
        return 0;
    text[got] = '\0';
    /* "PID (NAME) STATE PPID ...": the name may contain anything, parentheses included. */
    const char *name_end = strrchr(text, ')');
    int parent = 0;
    if (!name_end || sscanf(name_end + 1, " %*c %d", &parent) != 1)
        return 0;
    return parent;
}

/* Call visit for every entry of a proc(5) directory whose name is a number. opendir(3) would allocate. */
static int each_number(const char *path, int (*visit)(pid_t number, void *data), void *data)
{
    _cleanup_close_ int fd = RETRY_EINTR(open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (fd < 0)
        return -errno;
    _Alignas(struct dirent64) char entries[4096];
    for (;;) {
        long got = syscall(SYS_getdents64, fd, entries, sizeof(entries));
        if (got <= 0)
            return got < 0 ? -errno : 0;
        for (long at = 0; at < got;) {
            const struct dirent64 *entry = (const struct dirent64 *)(entries + at);
            at += entry->d_reclen;
            pid_t number = parse_pid(entry->d_name);
            int r = number > 0 ? visit(number, data) : 0;
            if (r < 0)
                return r;
        }
    }
}

#define SPARED_MAX 16
#define SPARED_LOOKS 64 /* at possible trackers, within SPARED_PAUSE */
#define SPARED_PAUSE (50 * NS_PER_MS)
#define SPARED_UNSEEN (100 * NS_PER_MS) /* a tracker below another process may be seen only after that died */

static struct {
    int64_t grace_ns;
    int64_t began; /* start of the present sweep */
    int64_t last;  /* end of the last grace granted */
    int64_t counted_from;
    int looks;
    unsigned next;
    struct {
        pid_t pid;
        int64_t until;
    } trackers[SPARED_MAX];
} spared;

void sweep_spare_trackers(long long grace_ns)
{
    spared.grace_ns = grace_ns;
}

void sweep_begin(void)
{
    if (spared.grace_ns)
        spared.began = now_ns();
}

bool sweep_may_kill_groups(void)
{
    if (!spared.grace_ns)
        return true;
    const int64_t now = now_ns();
    return now >= spared.last && now - spared.began >= SPARED_UNSEEN;
}

static uint64_t signals(const char *status, const char *name)
{
    const char *at = strstr(status, name);
    return at ? strtoull(at + strlen(name), NULL, 16) : 0;
}

static bool is_tracker(pid_t pid)
{
    char path[32], text[4096];
    snprintf(path, sizeof(path), "/proc/%d/status", pid);
    _cleanup_close_ int fd = RETRY_EINTR(open(path, O_RDONLY | O_CLOEXEC));
    ssize_t got = fd < 0 ? -1 : RETRY_EINTR(read(fd, text, sizeof(text) - 1));
    if (got <= 0)
        return false;
    text[got] = '\0';
    const uint64_t deaf = signals(text, "\nSigBlk:") | signals(text, "\nSigIgn:");
    return deaf >> (SIGINT - 1) & 1 && deaf >> (SIGTERM - 1) & 1;
}

bool sweep_spares(pid_t pid)
{
    if (!spared.grace_ns)
        return false;
    const int64_t now = now_ns();
    for (unsigned i = 0; i < SPARED_MAX; i++)
        if (spared.trackers[i].pid == pid && now < spared.trackers[i].until + SPARED_PAUSE)
            return now < spared.trackers[i].until;
    if (now - spared.counted_from > SPARED_PAUSE) {
        spared.counted_from = now;
        spared.looks = 0;
    }
    const unsigned slot = spared.next % SPARED_MAX;
    if (spared.looks++ >= SPARED_LOOKS || now < spared.trackers[slot].until + SPARED_PAUSE || !is_tracker(pid))
        return false;
    spared.next++;
    spared.trackers[slot].pid = pid;
    spared.trackers[slot].until = spared.last = time_add(now, spared.grace_ns);
    return true;
}

struct lookup {
    pid_t parent;
    sweep_visit *visit;
    void *data;
};

static int visit_thread(pid_t thread, void *data)
{
    const struct lookup *lookup = data;
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/task/%d/children", lookup->parent, thread);
    _cleanup_close_ int list = RETRY_EINTR(open(path, O_RDONLY | O_CLOEXEC));
    if (list < 0) /* the thread has ended and its children are another's: they are seen there, or next time */
        return errno == ENOENT || errno == ESRCH ? 0 : -errno;
    int r = sweep_read(list, lookup->visit, lookup->data);
    return r == -ESRCH ? 0 : r;
}

/* Return false for a kernel without CONFIG_PROC_CHILDREN, where each process must be asked for its parent. */
static bool has_lists(void)
{
    return access(LIST_OF_THIS_THREAD, F_OK) == 0;
}

static int visit_process(pid_t pid, void *data)
{
    const struct lookup *lookup = data;
    if (parent_of(pid) == lookup->parent)
        lookup->visit(pid, lookup->data);
    return 0;
}

int sweep_children_of(pid_t parent, sweep_visit *visit, void *data)
{
    struct lookup lookup = {parent, visit, data};
    if (!has_lists())
        return each_number("/proc", visit_process, &lookup);
    char path[32];
    snprintf(path, sizeof(path), "/proc/%d/task", parent);
    return each_number(path, visit_thread, &lookup);
}

int sweep_children(sweep_visit *visit, void *data)
{
    return sweep_children_of(getpid(), visit, data);
}

/* One process on the path down a tree. */
struct branch {
    pid_t pid;
    int pidfd; /* its pidfd; -1: a child of ours */
    int depth;
    int *budget;
    int *living; /* counts processes that were still alive */
};

static bool still_there(const struct branch *branch)
{
    return branch->pidfd < 0 || syscall(SYS_pidfd_send_signal, branch->pidfd, 0, NULL, 0) == 0;
}

static void kill_below(pid_t pid, void *data)
{
    const struct branch *above = data;
    if (*above->budget <= 0)
        return;
    --*above->budget;
    _cleanup_close_ int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (pidfd < 0)
        return;
    /* The pid comes from a list that may be stale. The pidfd names a descendant of ours in two cases. Its
     * parent's pid is that of a known descendant, which has kept that pid all the while; or its parent is this
     * process, because the process above has just died. */
    pid_t parent = parent_of(pid);
    if (parent != getpid() && (parent != above->pid || !still_there(above)))
        return;
    if (sweep_spares(pid))
        return;
    if (!pidfd_ended(pidfd))
        ++*above->living;
    syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0);
    struct branch branch = *above;
    branch.pid = pid;
    branch.pidfd = pidfd;
    branch.depth++;
    if (branch.depth < LOOK_DEPTH)
        sweep_children_of(pid, kill_below, &branch);
}

/* Kill what is seen below the child now. Return how many were alive. */
static int look_below(pid_t child)
{
    int budget = LOOK_MAX, living = 0;
    struct branch branch = {.pid = child, .pidfd = -1, .budget = &budget, .living = &living};
    sweep_children_of(child, kill_below, &branch);
    return living;
}

static bool is_dead(pid_t child)
{
    siginfo_t info = {.si_pid = 0};
    return waitid(P_PID, (id_t)child, &info, WEXITED | WNOHANG | WNOWAIT | __WALL) == 0 && info.si_pid == child;
}

void sweep_kill_tree(pid_t child, pid_t *last_group)
{
    /* Kill the group in one call, which no fork() escapes: the kernel interrupts a fork that has a signal
     * pending. */
    if (sweep_spares(child))
        return;
    pid_t group = getpgid(child);
    if (group > 1 && group != *last_group && group != getpgrp() && sweep_may_kill_groups())
        kill(-group, SIGKILL);
    *last_group = group;
    kill(child, SIGKILL);
    if (is_dead(child)) /* its children are ours by now */
        return;
    if (!has_lists()) /* each death brings up one more level: slow, but faster than reading all of /proc */
        return;
    look_below(child);
}

void sweep_below(pid_t child, long long timeout_ns)
{
    int64_t end = time_add(now_ns(), timeout_ns);
    const struct timespec pause = {.tv_nsec = PAUSE_FIRST};
    while (look_below(child) > 0 && now_ns() < end)
        nanosleep(&pause, NULL);
}

static void kill_child(pid_t pid, void *data)
{
    sweep_kill_tree(pid, data);
}

/* Reap a dead child and return its pid; 0: none is dead; -1: no children. A zombie's pid still names only the
 * group that it may have led. Where children cannot be listed, killing that group reaches the processes it
 * left. */
static pid_t reap_group(void)
{
    siginfo_t dead = {.si_pid = 0};
    if (waitid(P_ALL, 0, &dead, WEXITED | WNOHANG | WNOWAIT | __WALL) < 0)
        return -1;
    if (dead.si_pid == 0)
        return 0;
    if (sweep_may_kill_groups())
        kill(-dead.si_pid, SIGKILL);
    return waitpid(dead.si_pid, NULL, __WALL);
}

int sweep_all(long long timeout_ns)
{
    sigset_t child_died, mask;
    sigemptyset(&child_died);
    sigaddset(&child_died, SIGCHLD);
    /* Blocked, a SIGCHLD that arrives now stays pending until the wait. */
    pthread_sigmask(SIG_BLOCK, &child_died, &mask);
    int64_t end = time_add(now_ns(), timeout_ns);
    int64_t pause = PAUSE_FIRST;
    sweep_begin();
    int r;
    for (;;) {
        pid_t last_group = 0;
        sweep_children(kill_child, &last_group); /* an error here shows as a remaining child */
        bool reaped = false;
        pid_t pid;
        while ((pid = reap_group()) > 0)
            reaped = true;
        r = pid < 0 && errno == ECHILD ? 0 : now_ns() >= end ? -ETIMEDOUT : 1;
        if (r <= 0)
            break;
        pause = reaped ? PAUSE_FIRST : pause * 2 < PAUSE_LAST ? pause * 2 : PAUSE_LAST;
        struct timespec wait = {.tv_nsec = pause};
        sigtimedwait(&child_died, NULL, &wait);
    }
    pthread_sigmask(SIG_SETMASK, &mask, NULL);
    return r;
}

uint64_t sweep_new_mark(void)
{
    struct rlimit present;
    uint64_t step;
    if (getrlimit(RLIMIT_LOCKS, &present) < 0 || getrandom(&step, sizeof(step), GRND_NONBLOCK) != sizeof(step))
        return 0;
    step = (step >> (64 - MARK_BITS)) + 1;
    uint64_t above = present.rlim_max < MARK_FIRST ? present.rlim_max : MARK_FIRST;
    return above > step ? above - step : 0;
}

int sweep_mark(uint64_t mark)
{
    return setrlimit(RLIMIT_LOCKS, &(struct rlimit){mark, mark}) < 0 ? -errno : 0;
}

void sweep_tag(uint64_t tag)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_LOCKS, &limit) < 0 || tag >= limit.rlim_max)
        return;
    limit.rlim_cur = tag;
    setrlimit(RLIMIT_LOCKS, &limit);
}

uint64_t sweep_tag_of(pid_t pid)
{
    struct rlimit carried;
    if (prlimit(pid, RLIMIT_LOCKS, NULL, &carried) < 0 || carried.rlim_cur == carried.rlim_max)
        return 0;
    return carried.rlim_cur;
}

struct marked {
    uint64_t mark;
    int living;
};

static int kill_marked(pid_t pid, void *data)
{
    struct marked *marked = data;
    struct rlimit carried;
    _cleanup_close_ int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (pidfd < 0)
        return errno == ESRCH ? 0 : -errno;
    /* If the process behind the pidfd is still there, the pid was its own when its limit was read. */
    if (prlimit(pid, RLIMIT_LOCKS, NULL, &carried) < 0 || carried.rlim_max != marked->mark)
        return 0;
    if (pidfd_ended(pidfd)) {
        siginfo_t end;
        (void)waitid(P_PIDFD, (id_t)pidfd, &end, WEXITED | WNOHANG | __WALL);
        return 0;
    }
    syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0);
    marked->living++;
    return 0;
}

int sweep_marked(uint64_t mark)
{
    struct marked marked = {mark, 0};
    /* The second look sees a process that the first missed: forked in a part already read, by a parent that
     * died before its turn. */
    int r = each_number("/proc", kill_marked, &marked);
    if (r == 0 && marked.living == 0)
        r = each_number("/proc", kill_marked, &marked);
    return r < 0 ? r : marked.living;
}

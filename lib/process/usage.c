/* SPDX-License-Identifier: Apache-2.0 */
/* usage.c - reads times, memory and waits of a process from /proc (usage.h). */
#include "process/usage.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include "base/util.h"

/* From the flags in /proc/PID/stat: the kernel's include/linux/sched.h. */
#define PF_EXITING 0x4u
#define PF_FORKNOEXEC 0x40u

static int read_file(pid_t pid, const char *name, char *buffer, size_t size)
{
    char path[80];
    snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
    _cleanup_close_ int fd = RETRY_EINTR(open(path, O_RDONLY | O_CLOEXEC));
    if (fd < 0)
        return -errno;
    ssize_t got = RETRY_EINTR(read(fd, buffer, size - 1));
    if (got < 0)
        return -errno;
    buffer[got] = '\0';
    return 0;
}

/* Return the number that follows a name in /proc/PID/status; 0 if there is none, as for a zombie. */
static uint64_t field(const char *status, const char *name)
{
    const char *at = strstr(status, name);
    return at ? strtoull(at + strlen(name), NULL, 10) : 0;
}

uint64_t usage_own_time_us(pid_t pid)
{
    /* As clock_getcpuclockid(3) does it, without its extra system call to check that the process exists. */
    clockid_t clock = (clockid_t)(~(unsigned)pid << 3 | 2);
    struct timespec time;
    if (clock_gettime(clock, &time) < 0)
        return 0;
    return (uint64_t)time.tv_sec * 1000000 + (uint64_t)time.tv_nsec / 1000;
}

static int read_times(pid_t pid, char *text, size_t size, struct usage *usage)
{
    int r = read_file(pid, "stat", text, size);
    if (r < 0)
        return r;
    /* The second field is the command in parentheses and may contain anything: parse behind the last ")". */
    const char *rest = strrchr(text, ')');
    uint64_t user, sys, children_user, children_sys;
    unsigned flags;
    if (!rest || sscanf(rest + 1,
                        " %*c %*d %*d %*d %*d %*d %u %*u %*u %*u %*u %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64
                        " %*d %*d %*d %*d %" SCNu64,
                        &flags, &user, &sys, &children_user, &children_sys, &usage->started) != 6)
        return -EBADMSG;
    usage->execed = !(flags & PF_FORKNOEXEC);
    uint64_t tick_us = (uint64_t)(1000000 / sysconf(_SC_CLK_TCK));
    uint64_t ticks = user + sys, own_us = usage_own_time_us(pid);
    if (own_us < ticks * tick_us)
        own_us = ticks * tick_us;
    usage->sys_us = ticks ? own_us * sys / ticks : 0; /* as the kernel divides its exact sum, by ticks */
    usage->user_us = own_us - usage->sys_us + children_user * tick_us;
    usage->sys_us += children_sys * tick_us;
    usage->waited_us = (children_user + children_sys) * tick_us;
    usage->counted_us = ticks * tick_us + usage->waited_us;
    return 0;
}

bool usage_is_exiting(pid_t pid)
{
    char text[512], state;
    unsigned flags;
    const char *rest = read_file(pid, "stat", text, sizeof(text)) < 0 ? NULL : strrchr(text, ')');
    return rest && sscanf(rest + 1, " %c %*d %*d %*d %*d %*d %u", &state, &flags) == 2 && state != 'Z' &&
           flags & PF_EXITING;
}

/* Read the status of the first thread that has memory: an ended main thread has none, though others run on. */
static int read_status(pid_t pid, char *text, size_t size)
{
    char path[48];
    int r = read_file(pid, "status", text, size);
    if (r < 0 || strstr(text, "\nVmHWM:"))
        return r;
    snprintf(path, sizeof(path), "/proc/%d/task", pid);
    DIR *threads = opendir(path);
    if (!threads)
        return -errno;
    for (struct dirent *entry; (entry = readdir(threads)) && !strstr(text, "\nVmHWM:");) {
        snprintf(path, sizeof(path), "task/%.20s/status", entry->d_name);
        if (entry->d_name[0] == '.' || read_file(pid, path, text, size) < 0)
            text[0] = '\0';
    }
    closedir(threads);
    return 0;
}

static int read_memory(pid_t pid, char *text, size_t size, struct usage *usage)
{
    int r = read_status(pid, text, size);
    if (r < 0)
        return r;
    usage->peak_kb = field(text, "\nVmHWM:");
    usage->anonymous_kb = field(text, "\nRssAnon:") + field(text, "\nVmSwap:");
    usage->shared_kb = field(text, "\nRssShmem:");
    usage->tables_kb = field(text, "\nVmPTE:");
    return 0;
}

int usage_read_now(pid_t pid, bool memory, struct usage *ret_usage)
{
    char text[4096];
    struct usage usage = {0};
    int r = read_times(pid, text, sizeof(text), &usage);
    if (r == 0 && memory)
        r = read_memory(pid, text, sizeof(text), &usage);
    if (r == 0)
        *ret_usage = usage;
    return r;
}

int usage_read(pid_t pid, struct usage *ret_usage)
{
    return usage_read_now(pid, true, ret_usage);
}

int usage_read_share(pid_t pid, uint64_t *ret_anonymous_kb, uint64_t *ret_shared_kb)
{
    char text[4096];
    int r = read_file(pid, "smaps_rollup", text, sizeof(text));
    if (r == 0) {
        *ret_anonymous_kb = field(text, "\nPss_Anon:") + field(text, "\nSwapPss:");
        *ret_shared_kb = field(text, "\nPss_Shmem:");
    }
    return r;
}

int usage_read_memory(pid_t pid, uint64_t *ret_pss_kb, uint64_t *ret_private_kb)
{
    char text[4096];
    int r = read_file(pid, "smaps_rollup", text, sizeof(text));
    if (r == 0 && !strstr(text, "\nPss:"))
        r = -ESRCH; /* a zombie */
    if (r == 0) {
        *ret_pss_kb = field(text, "\nPss:");
        *ret_private_kb = field(text, "\nPrivate_Clean:") + field(text, "\nPrivate_Dirty:");
    }
    return r;
}

/* Add the waits of one thread. */
static int add_waits(pid_t pid, const char *thread, struct usage_waits *waits)
{
    char name[64], text[4096];
    uint64_t wait_ns;
    snprintf(name, sizeof(name), "task/%.20s/schedstat", thread);
    int r = read_file(pid, name, text, sizeof(text));
    if (r < 0)
        return r;
    if (sscanf(text, "%*u %" SCNu64, &wait_ns) != 1)
        return -EOPNOTSUPP;
    snprintf(name, sizeof(name), "task/%.20s/status", thread);
    r = read_file(pid, name, text, sizeof(text));
    if (r < 0)
        return r;
    waits->wait_ns += wait_ns;
    waits->preemptions += field(text, "\nnonvoluntary_ctxt_switches:");
    return 0;
}

int usage_read_waits(pid_t pid, struct usage_waits *ret_waits)
{
    char path[48];
    snprintf(path, sizeof(path), "/proc/%d/task", pid);
    DIR *threads = opendir(path);
    if (!threads)
        return -errno;
    struct usage_waits waits = {0};
    int r = -ENOENT;
    for (struct dirent *entry; (entry = readdir(threads));) {
        if (entry->d_name[0] == '.')
            continue;
        int added = add_waits(pid, entry->d_name, &waits); /* a thread may end just now */
        if (r != 0)
            r = added;
    }
    closedir(threads);
    if (r == 0)
        *ret_waits = waits;
    return r;
}

#include "usage.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>

#include "util.h"

static int read_file(pid_t pid, const char *name, char *buffer, size_t size)
{
    char path[48];
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

int usage_read(pid_t pid, struct usage *ret_usage)
{
    char text[4096];
    int r = read_file(pid, "stat", text, sizeof(text));
    if (r < 0)
        return r;
    /* The second field is the command in parentheses, and may hold anything: what follows its last one counts. */
    const char *rest = strrchr(text, ')');
    uint64_t user, sys, children_user, children_sys;
    if (!rest ||
        sscanf(rest + 1,
               " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64, &user,
               &sys, &children_user, &children_sys) != 4)
        return -EBADMSG;
    uint64_t tick_us = (uint64_t)(1000000 / sysconf(_SC_CLK_TCK));
    struct usage usage = {.user_us = (user + children_user) * tick_us, .sys_us = (sys + children_sys) * tick_us};

    r = read_file(pid, "status", text, sizeof(text));
    if (r < 0)
        return r;
    const char *peak = strstr(text, "\nVmHWM:");
    if (peak) /* a zombie has none */
        usage.peak_kb = strtoull(peak + 7, NULL, 10);
    *ret_usage = usage;
    return 0;
}

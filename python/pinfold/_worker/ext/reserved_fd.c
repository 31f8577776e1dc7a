/* SPDX-License-Identifier: Apache-2.0 */
/* reserved_fd.c - the descriptor numbers that a template or worker keeps for itself. */
#include "runtime.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/util.h"

/* Above the numbers that programs open or close by counting (os.closerange(3, 64) is common). Below 256, because
 * at every fork the kernel copies the descriptor table up to the highest one in use. */
#define RESERVED_FROM 224

static int base = -1;

int reserved_fd(enum reserved_fd which)
{
    return base + (int)which;
}

int reserved_open(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return -errno;
    rlim_t wanted = RESERVED_FROM + RESERVED_FDS;
    base = limit.rlim_cur >= wanted ? RESERVED_FROM : (int)limit.rlim_cur - RESERVED_FDS;
    if (base < 8)
        return -EMFILE;
    _cleanup_close_ int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null < 0)
        return -errno;
    for (int which = 0; which < RESERVED_FDS; which++)
        if (dup3(null, base + which, O_CLOEXEC) < 0)
            return -errno;
    return 0;
}

int reserved_copy(enum reserved_fd which, int fd)
{
    return dup3(fd, reserved_fd(which), O_CLOEXEC) < 0 ? -errno : 0;
}

int reserved_put(enum reserved_fd which, int fd)
{
    int r = reserved_copy(which, fd);
    close(fd);
    return r;
}

void reserved_close(enum reserved_fd first, enum reserved_fd last)
{
    syscall(SYS_close_range, reserved_fd(first), reserved_fd(last), 0);
}

static bool is_null(int fd)
{
    struct stat status;
    return fstat(fd, &status) == 0 && S_ISCHR(status.st_mode) && status.st_rdev == makedev(1, 3);
}

/* Open /dev/null anew for this worker. A descriptor opened earlier shares its flags with the other workers. It
 * also shares the mode and times of the machine's device, through a mount that is not the box's. */
int reserved_renew(void)
{
    _cleanup_close_ int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null < 0) /* ENOENT: a set-up has its own /dev there, which cannot happen in a box */
        return errno == ENOENT ? 0 : -errno;
    for (int which = RESERVED_CHANNEL; which < RESERVED_FDS; which++)
        if (is_null(base + which) && dup3(null, base + which, O_CLOEXEC) < 0)
            return -errno;
    if (!is_null(STDIN_FILENO))
        return 0;
    close(null);
    null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    return null < 0 || dup2(null, STDIN_FILENO) < 0 ? -errno : 0;
}

#include "runtime.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/util.h"

/* Above what programs open or close by number (os.closerange(3, 64) is common), and below 256: the kernel copies
 * the table of descriptors at every fork, up to the highest one in use. */
#define SEATS_AT 224

static int base = -1;

int seat_fd(enum seat seat)
{
    return base + (int)seat;
}

int seat_open(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return -errno;
    rlim_t wanted = SEATS_AT + SEATS;
    base = limit.rlim_cur >= wanted ? SEATS_AT : (int)limit.rlim_cur - SEATS;
    if (base < 8)
        return -EMFILE;
    _cleanup_close_ int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null < 0)
        return -errno;
    for (int seat = 0; seat < SEATS; seat++)
        if (dup3(null, base + seat, O_CLOEXEC) < 0)
            return -errno;
    return 0;
}

int seat_copy(enum seat seat, int fd)
{
    return dup3(fd, seat_fd(seat), O_CLOEXEC) < 0 ? -errno : 0;
}

int seat_put(enum seat seat, int fd)
{
    int r = seat_copy(seat, fd);
    close(fd);
    return r;
}

void seat_close(enum seat first, enum seat last)
{
    syscall(SYS_close_range, seat_fd(first), seat_fd(last), 0);
}

static bool is_null(int fd)
{
    struct stat status;
    return fstat(fd, &status) == 0 && S_ISCHR(status.st_mode) && status.st_rdev == makedev(1, 3);
}

/* What was opened before would be shared: its flags with the other workers, and through the mount that it was opened on,
 * which is not that of a box, the mode and the times of the machine's device. */
int seat_renew(void)
{
    _cleanup_close_ int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null < 0) /* ENOENT: a set-up put a /dev of its own there, which none can in a box */
        return errno == ENOENT ? 0 : -errno;
    for (int seat = SEAT_CHANNEL; seat < SEATS; seat++)
        if (is_null(base + seat) && dup3(null, base + seat, O_CLOEXEC) < 0)
            return -errno;
    if (!is_null(STDIN_FILENO))
        return 0;
    close(null);
    null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    return null < 0 || dup2(null, STDIN_FILENO) < 0 ? -errno : 0;
}

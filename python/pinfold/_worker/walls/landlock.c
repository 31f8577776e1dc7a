/* SPDX-License-Identifier: Apache-2.0 */
/* landlock.c - Landlock through its system calls (landlock(7)), because a build machine's headers may be older
 * than its kernel. */
#include "walls.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/util.h"

#define SYS_CREATE_RULESET 444
#define SYS_ADD_RULE 445
#define SYS_RESTRICT_SELF 446
#define RULE_PATH_BENEATH 1

enum {
    FS_EXECUTE = 1 << 0,
    FS_WRITE_FILE = 1 << 1,
    FS_READ_FILE = 1 << 2,
    FS_READ_DIR = 1 << 3,
    FS_ABI_1 = (1 << 13) - 1,
    FS_REFER = 1 << 13,     /* ABI 2 */
    FS_TRUNCATE = 1 << 14,  /* ABI 3 */
    FS_IOCTL_DEV = 1 << 15, /* ABI 5 */
    FS_OF_FILES = FS_EXECUTE | FS_WRITE_FILE | FS_READ_FILE | FS_TRUNCATE | FS_IOCTL_DEV,
};
enum { NET_TCP = 3 };               /* bind and connect; ABI 4 */
enum { SCOPE_ABSTRACT_SIGNAL = 3 }; /* abstract sockets and signals; ABI 6 */

struct ruleset_attr {
    uint64_t fs, net, scoped;
};

struct path_beneath {
    uint64_t access;
    int32_t parent;
} __attribute__((packed));

static uint64_t handled(int abi)
{
    uint64_t fs = FS_ABI_1;
    if (abi >= 2)
        fs |= FS_REFER;
    if (abi >= 3)
        fs |= FS_TRUNCATE;
    if (abi >= 5)
        fs |= FS_IOCTL_DEV;
    return fs;
}

int landlock_draft(int abi, bool network)
{
    struct ruleset_attr attr = {
        .fs = handled(abi),
        .net = abi >= 4 && !network ? NET_TCP : 0,
        .scoped = abi >= 6 ? SCOPE_ABSTRACT_SIGNAL : 0,
    };
    /* The kernel refuses a structure longer than its own. */
    size_t size = abi >= 6 ? sizeof(attr) : abi >= 4 ? 2 * sizeof(uint64_t) : sizeof(uint64_t);
    long fd = syscall(SYS_CREATE_RULESET, &attr, size, 0);
    return fd < 0 ? -errno : (int)fd;
}

static const uint32_t rights[] = {
    [LANDLOCK_READ] = FS_EXECUTE | FS_READ_FILE | FS_READ_DIR,
    [LANDLOCK_DEVICE] = FS_READ_FILE | FS_WRITE_FILE | FS_TRUNCATE | FS_IOCTL_DEV,
    [LANDLOCK_ALL] = ~(uint32_t)0,
};

static int look_up(const char *path, enum landlock_right right, uint32_t *ret_access)
{
    int fd = RETRY_EINTR(open(path, O_PATH | O_CLOEXEC));
    struct stat status;
    if (fd < 0 || fstat(fd, &status) < 0)
        return -errno;
    *ret_access = S_ISDIR(status.st_mode) ? rights[right] : rights[right] & FS_OF_FILES;
    return fd;
}

static int add_rule(int ruleset, int abi, int fd, uint32_t access)
{
    struct path_beneath rule = {.access = access & handled(abi), .parent = fd};
    return syscall(SYS_ADD_RULE, ruleset, RULE_PATH_BENEATH, &rule, 0) < 0 ? -errno : 0;
}

int landlock_allow(int ruleset, int abi, const char *path, enum landlock_right right)
{
    uint32_t access;
    _cleanup_close_ int fd = look_up(path, right, &access);
    return fd < 0 ? fd : add_rule(ruleset, abi, fd, access);
}

int landlock_put(int fd, int number)
{
    int put = fcntl(fd, F_DUPFD_CLOEXEC, number);
    if (put < 0)
        return -errno;
    if (put == number)
        return 0;
    close(put); /* the number is taken */
    return -EBUSY;
}

int landlock_hold(struct held *held, const char *path, enum landlock_right right)
{
    if (held->n == HELD_MAX)
        return -E2BIG;
    _cleanup_close_ int fd = look_up(path, right, &held->rights[held->n]);
    if (fd < 0)
        return fd;
    int r = landlock_put(fd, held->first + held->n);
    if (r == 0)
        held->n++;
    return r;
}

int landlock_allow_held(int ruleset, int abi, const struct held *held)
{
    int r = 0;
    for (int i = 0; r == 0 && i < held->n; i++)
        r = add_rule(ruleset, abi, held->first + i, held->rights[i]);
    return r;
}

void landlock_forget_held(const struct held *held)
{
    syscall(SYS_close_range, held->first, box_slot_fd(held, BOX_SLOTS) - 1, 0);
}

int landlock_enforce(int ruleset)
{
    return syscall(SYS_RESTRICT_SELF, ruleset, 0) < 0 ? -errno : 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* spill.c - writes, proves and maps spills (spill.h). */
#include "wire/spill.h"

#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/magic.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>

#include "base/error.h"
#include "base/util.h"
#include "wire/payload.h"

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 8u /* Linux 6.3; required where sysctl vm.memfd_noexec is 2 */
#endif

const char *spill_kind_name(enum spill_kind kind)
{
    static const char *const names[] = {
        [SPILL_TMPFILE] = "O_TMPFILE",
        [SPILL_UNLINKED] = "unlinked",
        [SPILL_MEMFD] = "memfd",
    };
    return names[kind];
}

/* Open the file of a descriptor again with other rights, through "/proc/self/fd/N". */
static int reopen(int fd, int flags)
{
    char path[32];
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    int again = RETRY_EINTR(open(path, flags | O_CLOEXEC));
    return again < 0 ? -errno : again;
}

static int create_unlinked(const struct spill_dir *dir)
{
    /* mkostemp(3) knows no directory descriptor. The name exists only for the time of two system calls. */
    for (unsigned attempt = 0; attempt < 100; attempt++) {
        char name[64];
        snprintf(name, sizeof(name), ".pinfold-%d-%" PRIx64 "-%u", getpid(), (uint64_t)now_ns(), attempt);
        int fd = RETRY_EINTR(openat(dir->fd, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
        if (fd >= 0) {
            unlinkat(dir->fd, name, 0);
            return fd;
        }
        if (errno != EEXIST)
            return -errno;
    }
    return -EEXIST;
}

static int create_memfd(void)
{
    const unsigned flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
    int fd = memfd_create("pinfold-spill", flags | MFD_NOEXEC_SEAL);
    return fd < 0 && errno == EINVAL ? memfd_create("pinfold-spill", flags) : fd;
}

static int create(const struct spill_dir *dir)
{
    int fd = -1;
    switch (dir->kind) {
    case SPILL_TMPFILE:
        fd = RETRY_EINTR(openat(dir->fd, ".", O_TMPFILE | O_EXCL | O_RDWR | O_CLOEXEC, 0600));
        break;
    case SPILL_UNLINKED:
        return create_unlinked(dir);
    case SPILL_MEMFD:
        fd = create_memfd();
        break;
    }
    return fd < 0 ? -errno : fd;
}

int spill_dir_open(const char *path, struct spill_dir *ret_dir, pinfold_error *error)
{
    struct spill_dir dir = {.fd = RETRY_EINTR(open(path, O_PATH | O_DIRECTORY | O_CLOEXEC))};
    if (dir.fd < 0)
        return error_errno(error, -errno, "cannot open the spill directory %s", path);

    int r = -EOPNOTSUPP;
    for (dir.kind = SPILL_TMPFILE; dir.kind <= SPILL_MEMFD; dir.kind++) {
        _cleanup_close_ int fd = create(&dir);
        if (fd < 0) {
            r = fd;
            /* Missing rights are the caller's mistake; only an unsupported kind of file is a reason to try the
             * next. */
            if (r == -EACCES || r == -EROFS || r == -EPERM || r == -ENOENT)
                break;
            continue;
        }
        struct stat status;
        struct statfs system;
        if (fstat(fd, &status) < 0 || fstatfs(fd, &system) < 0) {
            r = -errno;
            break;
        }
        dir.device = status.st_dev;
        dir.in_memory = system.f_type == TMPFS_MAGIC || dir.kind == SPILL_MEMFD;
        *ret_dir = dir;
        return 0;
    }
    spill_dir_close(&dir);
    return error_errno(error, r, "cannot make a file in the spill directory %s", path);
}

void spill_dir_close(struct spill_dir *dir)
{
    close_fd(&dir->fd);
}

struct spill_dir spill_dir_in_memory(void)
{
    return (struct spill_dir){.fd = -1, .kind = SPILL_MEMFD, .in_memory = true};
}

bool spill_dir_is_gone(const struct spill_dir *dir)
{
    struct stat status;
    return dir->fd >= 0 && fstat(dir->fd, &status) == 0 && status.st_nlink == 0;
}

int spill_dir_restore(struct spill_dir *dir, const char *path)
{
    struct spill_dir again;
    if (mkdir(path, 0700) < 0 && errno != EEXIST)
        return -errno;
    int r = spill_dir_open(path, &again, NULL);
    if (r < 0)
        return r;
    r = dup3(again.fd, dir->fd, O_CLOEXEC) < 0 ? -errno : 0;
    close_fd(&again.fd);
    again.fd = dir->fd;
    if (r == 0)
        *dir = again;
    return r;
}

/* Reopen a file of this process for reading, even if umask(2) took that right from its owner. */
static int reopen_own(int fd)
{
    int reader = reopen(fd, O_RDONLY);
    if (reader == -EACCES && fchmod(fd, 0600) == 0)
        reader = reopen(fd, O_RDONLY);
    return reader;
}

/* Write all the parts, in as many system calls as needed. */
static int write_all(int fd, struct iovec *parts, size_t n)
{
    while (n > 0) {
        ssize_t written = RETRY_EINTR(writev(fd, parts, n < IOV_MAX ? (int)n : IOV_MAX));
        if (written < 0)
            return -errno;
        size_t left = (size_t)written;
        while (n > 0 && left >= parts->iov_len) {
            left -= parts->iov_len;
            parts++, n--;
        }
        if (n > 0) {
            parts->iov_base = (char *)parts->iov_base + left;
            parts->iov_len -= left;
        }
    }
    return 0;
}

static int write_payload(int fd, const struct iovec *segments, uint32_t n)
{
    static const char zeroes[PINFOLD_PAYLOAD_ALIGN];
    _cleanup_free_ struct iovec *parts = calloc(2 * (size_t)n + 1, sizeof(*parts));
    size_t table_size = payload_table_size(n);
    _cleanup_free_ void *table = malloc(table_size);
    if (!parts || !table)
        return -ENOMEM;
    payload_table(table, segments, n);
    size_t used = 0;
    parts[used++] = (struct iovec){table, table_size};
    for (uint32_t i = 0; i < n; i++) {
        parts[used++] = segments[i];
        size_t gap = (PINFOLD_PAYLOAD_ALIGN - segments[i].iov_len % PINFOLD_PAYLOAD_ALIGN) % PINFOLD_PAYLOAD_ALIGN;
        if (i + 1 < n && gap)
            parts[used++] = (struct iovec){(void *)zeroes, gap};
    }
    return write_all(fd, parts, used);
}

static int no_room(pinfold_error *error, int code, int fd, uint64_t size)
{
    struct statvfs room = {0};
    fstatvfs(fd, &room);
    return error_errno(error, code, "a spill of %" PRIu64 " bytes does not fit (%" PRIu64 " bytes are left)", size,
                       (uint64_t)room.f_bavail * room.f_frsize);
}

int spill_write(const struct spill_dir *dir, const struct iovec *segments, uint32_t n, int *ret_fd,
                uint64_t *ret_size, pinfold_error *error)
{
    uint64_t size;
    int r = payload_size(segments, n, &size);
    if (r < 0)
        return error_errno(error, r, "cannot lay out %u segments", n);
    _cleanup_close_ int writer = create(dir);
    if (writer < 0)
        return error_errno(error, writer, "cannot make a spill of %" PRIu64 " bytes", size);
    r = write_payload(writer, segments, n);
    if (r == -ENOSPC || r == -EDQUOT || r == -EFBIG)
        return no_room(error, r, writer, size);
    if (r < 0)
        return error_errno(error, r, "cannot write a spill of %" PRIu64 " bytes", size);

    if (dir->kind == SPILL_MEMFD) {
        if (fcntl(writer, F_ADD_SEALS, PINFOLD_SPILL_SEALS) < 0)
            return error_errno(error, -errno, "cannot seal a spill");
        *ret_fd = TAKE_FD(writer);
    } else {
        int reader = reopen_own(writer);
        if (reader < 0)
            return error_errno(error, reader, "cannot open a spill for reading");
        *ret_fd = reader;
    }
    *ret_size = size;
    return 0;
}

int spill_check_whole(int fd, uint64_t size)
{
    struct statfs system;
    if (fstatfs(fd, &system) < 0)
        return -errno;
    if (system.f_type == HUGETLBFS_MAGIC) /* its pages may have run out */
        return -EBADMSG;
    if (system.f_type != TMPFS_MAGIC)
        return 0;
    off_t hole = lseek(fd, 0, SEEK_HOLE);
    return hole >= 0 && (uint64_t)hole == size ? 0 : hole < 0 && error_is_ours(-errno) ? -errno : -EBADMSG;
}

/* Called before fstat(2), which waits for the program that serves the file system if that is a FUSE one. */
static bool is_sealed(int fd)
{
    int seals = fcntl(fd, F_GET_SEALS);
    return seals >= 0 && (seals & PINFOLD_SPILL_SEALS) == PINFOLD_SPILL_SEALS;
}

int spill_prove_sealed(int fd)
{
    return is_sealed(fd) ? 0 : -EBADMSG;
}

/* pidfd_getfd(2) would wait for a process in the middle of an exec, and containers refuse it. Opening for
 * reading at once would reach the driver of a device, and the close(2) after it would end the locks that this
 * process has on the file (fcntl(2), F_SETLK). Neither is so of a descriptor that only names the file (O_PATH). */
int spill_open_held(pid_t pid, int number, int *ret_fd)
{
    static const char memfd[] = "/memfd:";
    char path[48], target[sizeof(memfd) - 1];
    snprintf(path, sizeof(path), "/proc/%d/fd/%d", pid, number);
    _cleanup_close_ int held = RETRY_EINTR(open(path, O_PATH | O_CLOEXEC));
    if (held < 0) {
        const int code = -errno;
        snprintf(path, sizeof(path), "/proc/%d/fd", pid);
        return error_is_ours(code) ? code : code == -ENOENT && access(path, X_OK) == 0 ? -EBADMSG : -EPERM;
    }
    snprintf(path, sizeof(path), "/proc/self/fd/%d", held);
    const ssize_t got = readlink(path, target, sizeof(target));
    struct stat status;
    if (got < 0)
        return -EPERM;
    if (got != sizeof(target) || memcmp(target, memfd, sizeof(target)) != 0 || fstat(held, &status) < 0 ||
        status.st_nlink > 0)
        return -EBADMSG;
    int fd = reopen(held, O_RDONLY | O_NONBLOCK);
    if (fd < 0)
        return error_is_ours(fd) ? fd : -EBADMSG;
    *ret_fd = fd;
    return 0;
}

/* Return 0 if no process has the file open for writing now. The lease is given back at once. An open(2) in
 * between breaks it, which the kernel reports by a signal: by default SIGIO, which would end this process.
 * SIGURG is ignored by default and, unlike a real-time signal, not replaced by SIGIO when the queue is full. */
static int prove_by_lease(int reader)
{
    if (fcntl(reader, F_SETSIG, SIGURG) < 0)
        return -EOPNOTSUPP;
    if (fcntl(reader, F_SETLEASE, F_RDLCK) < 0)
        return errno == EAGAIN ? -ETXTBSY : -EOPNOTSUPP;
    int left = fcntl(reader, F_GETLEASE); /* F_UNLCK: the lease is being broken */
    fcntl(reader, F_SETLEASE, F_UNLCK);
    return left == F_RDLCK ? 0 : -ETXTBSY;
}

int spill_prove(int fd, dev_t device)
{
    if (is_sealed(fd))
        return spill_prove_sealed(fd);
    struct stat status;
    if (fstat(fd, &status) < 0)
        return -errno;
    if (!S_ISREG(status.st_mode) || status.st_dev != device)
        return -EBADMSG;

    /* A lease needs a read-only descriptor; any may have come. O_NONBLOCK: open(2) waits for the holder of a
     * conflicting lease, up to 45 s (proc(5), lease-break-time). */
    _cleanup_close_ int reader = reopen(fd, O_RDONLY | O_NONBLOCK);
    if (reader == -EWOULDBLOCK)
        return -ETXTBSY;
    if (reader == -ENOENT || (reader == -EACCES && status.st_uid != geteuid()))
        return -EPERM; /* this process has changed since the pool was opened: chroot(2), setuid(2) */
    if (reader < 0)
        return reader;
    if ((fcntl(fd, F_GETFL) & O_ACCMODE) != O_RDONLY)
        return -ETXTBSY;
    int r = prove_by_lease(reader);
    if (r == 0 && status.st_nlink > 0)
        r = -EBADMSG; /* a named file can be opened by anybody, now or later */
    return r;
}

static int check_size(int fd, uint64_t size)
{
    struct stat status;
    if (fstat(fd, &status) < 0)
        return -errno;
    return S_ISREG(status.st_mode) && size > 0 && status.st_size >= 0 && (uint64_t)status.st_size == size
               ? 0
               : -EBADMSG;
}

int spill_map(int fd, uint64_t size, void **ret_base)
{
    int r = check_size(fd, size);
    if (r < 0)
        return r;
    void *base = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE, fd, 0);
    if (base == MAP_FAILED)
        return -errno;
    *ret_base = base;
    return 0;
}

int spill_copy(int fd, uint64_t size, void **ret_base)
{
    int r = check_size(fd, size);
    if (r < 0)
        return r;
    char *base = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (base == MAP_FAILED)
        return -errno;
    for (uint64_t at = 0; at < size;) {
        ssize_t got = RETRY_EINTR(pread(fd, base + at, size - at, (off_t)at));
        if (got <= 0) {
            r = got < 0 ? -errno : -EBADMSG;
            munmap(base, size);
            return r;
        }
        at += (uint64_t)got;
    }
    *ret_base = base;
    return 0;
}

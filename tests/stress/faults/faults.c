/* SPDX-License-Identifier: Apache-2.0 */
/* faults.c - stands between our own objects and what they call (ld(1), --wrap), and lets one call fail.
 *
 * Only calls from the objects that this file is linked with are seen: none that the C library or the interpreter
 * make among themselves. Each WRAP names the errors that the call can really give where we make it; what cannot fail
 * there (setting a timer, killing one's own child, raising an eventfd) is not listed.
 */
#include "faults.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#define CODES(...) ((const int[]){__VA_ARGS__, 0})
#define NONE ((const int[]){0})
#define HALF (-1) /* no error: a part of what was asked for is done */
#define HERE __builtin_return_address(0)

int __real_open64(const char *path, int flags, ...);
void *__real_mmap64(void *at, size_t size, int rights, int flags, int fd, off_t offset);
int __real_fstat64(int fd, struct stat *status);
int __real_fcntl64(int fd, int command, ...);

static struct faults *page(void)
{
    static _Atomic(struct faults *) found;
    static struct faults nobody; /* without a file: never written to */
    struct faults *faults = atomic_load(&found);
    if (faults)
        return faults;
    const char *path = getenv(FAULTS_FILE);
    int fd = path ? __real_open64(path, O_RDWR | O_CLOEXEC) : -1;
    faults = fd < 0 ? &nobody : __real_mmap64(NULL, sizeof(*faults), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (fd >= 0)
        close(fd);
    if (faults == &nobody || faults == MAP_FAILED)
        faults = &nobody;
    nobody.call = UINT32_MAX;
    atomic_store(&found, faults);
    return faults;
}

/* The site of this return address, entered by the first who comes by; NULL: there is no page, or no room in it.
 * Without a lock, for whoever held it might be killed. */
static struct fault_site *site_of(struct faults *faults, const void *address, const char *function)
{
    Dl_info file;
    if (faults->call == UINT32_MAX || !dladdr(address, &file))
        return NULL;
    const char *name = strrchr(file.dli_fname, '/');
    name = name ? name + 1 : file.dli_fname;
    uint64_t offset = (uint64_t)((const char *)address - (const char *)file.dli_fbase);
    uint64_t key = offset + 1;
    for (const char *at = name; *at; at++)
        key = (key ^ (uint8_t)*at) * UINT64_C(0x100000001B3); /* FNV-1a */
    for (uint64_t i = 0; i < FAULTS_SITES; i++) {
        struct fault_site *site = &faults->sites[(key + i) % FAULTS_SITES];
        uint64_t other = 0;
        if (atomic_compare_exchange_strong(&site->key, &other, key)) {
            site->offset = offset;
            strncpy(site->file, name, sizeof(site->file) - 1);
            strncpy(site->function, function, sizeof(site->function) - 1);
            return site;
        }
        if (other == key)
            return site;
    }
    return NULL;
}

/* Whether this call shall fail: then with errno set, and with its value returned. */
static int fault(const void *address, const char *function, const int *codes)
{
    int saved = errno;
    struct faults *faults = page();
    struct fault_site *site = site_of(faults, address, function);
    errno = saved;
    if (!site)
        return 0;
    uint32_t n = 0;
    while (codes[n])
        n++;
    if (site->errors < n)
        site->errors = n;
    uint32_t call = atomic_fetch_add(&site->calls, 1) + 1;
    if (site->key != faults->site || call != faults->call || faults->error >= n)
        return 0;
    atomic_fetch_add(&faults->hits, 1);
    if (codes[faults->error] > 0)
        errno = codes[faults->error];
    return codes[faults->error];
}

#define DECLARE(type, name, parameters)                                                                           \
    type __real_##name parameters;                                                                                \
    type __wrap_##name parameters;                                                                                \
    type __wrap_##name parameters

/* `failure` is what the function returns then; `code` is its errno. */
#define WRAP(type, name, failure, parameters, arguments, codes)                                                   \
    DECLARE(type, name, parameters)                                                                               \
    {                                                                                                             \
        int code = fault(HERE, #name, codes);                                                                     \
        (void)code;                                                                                               \
        return code ? (failure) : __real_##name arguments;                                                        \
    }

/* ---- memory --------------------------------------------------------------------------------------------------- */

WRAP(void *, malloc, NULL, (size_t size), (size), CODES(ENOMEM))
WRAP(void *, calloc, NULL, (size_t n, size_t size), (n, size), CODES(ENOMEM))
WRAP(void *, realloc, NULL, (void *old, size_t size), (old, size), CODES(ENOMEM))
WRAP(void *, reallocarray, NULL, (void *old, size_t n, size_t size), (old, n, size), CODES(ENOMEM))
WRAP(void *, aligned_alloc, NULL, (size_t alignment, size_t size), (alignment, size), CODES(ENOMEM))
WRAP(char *, strdup, NULL, (const char *text), (text), CODES(ENOMEM))
WRAP(char *, strndup, NULL, (const char *text, size_t size), (text, size), CODES(ENOMEM))
WRAP(int, vasprintf, -1, (char **ret, const char *format, va_list list), (ret, format, list), CODES(ENOMEM))
WRAP(int, setenv, -1, (const char *name, const char *value, int over), (name, value, over), CODES(ENOMEM))

int __wrap_asprintf(char **ret, const char *format, ...);
int __wrap_asprintf(char **ret, const char *format, ...)
{
    if (fault(HERE, "asprintf", CODES(ENOMEM)))
        return -1;
    va_list list;
    va_start(list, format);
    int n = __real_vasprintf(ret, format, list);
    va_end(list);
    return n;
}

WRAP(void *, mmap64, MAP_FAILED, (void *at, size_t size, int rights, int flags, int fd, off_t offset),
     (at, size, rights, flags, fd, offset), CODES(ENOMEM))
WRAP(int, mprotect, -1, (void *at, size_t size, int rights), (at, size, rights), CODES(ENOMEM, EACCES))

/* ---- descriptors ---------------------------------------------------------------------------------------------- */

#define NO_DESCRIPTOR CODES(EMFILE, ENFILE, ENOMEM)

WRAP(int, socketpair, -1, (int domain, int type, int protocol, int *pair), (domain, type, protocol, pair),
     NO_DESCRIPTOR)
WRAP(int, pipe2, -1, (int *ends, int flags), (ends, flags), NO_DESCRIPTOR)
WRAP(int, eventfd, -1, (unsigned count, int flags), (count, flags), NO_DESCRIPTOR)
WRAP(int, epoll_create1, -1, (int flags), (flags), NO_DESCRIPTOR)
WRAP(int, timerfd_create, -1, (clockid_t clock, int flags), (clock, flags), NO_DESCRIPTOR)
WRAP(int, signalfd, -1, (int fd, const sigset_t *set, int flags), (fd, set, flags), NO_DESCRIPTOR)
WRAP(int, memfd_create, -1, (const char *name, unsigned flags), (name, flags), NO_DESCRIPTOR)
WRAP(FILE *, fopen64, NULL, (const char *path, const char *mode), (path, mode), NO_DESCRIPTOR)
WRAP(DIR *, opendir, NULL, (const char *path), (path), NO_DESCRIPTOR)
WRAP(int, mkdirat, -1, (int directory, const char *name, mode_t mode), (directory, name, mode),
     CODES(EACCES, EAGAIN, ENOMEM, ENOSPC))
WRAP(int, dup3, -1, (int from, int to, int flags), (from, to, flags), CODES(EMFILE, ENOMEM))

static const int *codes_of_open(const char *path, int flags)
{
    static const int of_other[] = {EMFILE, ENFILE, ENOMEM, ENOENT, EACCES, EINTR, 0};
    static const int of_new[] = {EMFILE, ENFILE, ENOMEM, ENOSPC, EDQUOT, EACCES, EINTR, 0};
    static const int of_unnamed[] = {EMFILE, ENFILE, ENOMEM, ENOSPC, EDQUOT, EACCES, EINTR, EOPNOTSUPP, 0};
    static const int of_own[] = {EMFILE, ENFILE, ENOMEM, EINTR, 0};
    if (strncmp(path, "/proc/self/", 11) == 0)
        return of_own;
    return (flags & O_TMPFILE) == O_TMPFILE ? of_unnamed : flags & O_CREAT ? of_new : of_other;
}

#define MODE_OF(flags)                                                                                            \
    __extension__({                                                                                               \
        va_list list;                                                                                             \
        va_start(list, flags);                                                                                    \
        mode_t mode_ = flags & O_CREAT || (flags & O_TMPFILE) == O_TMPFILE ? va_arg(list, mode_t) : 0;            \
        va_end(list);                                                                                             \
        mode_;                                                                                                    \
    })

int __wrap_open64(const char *path, int flags, ...);
int __wrap_open64(const char *path, int flags, ...)
{
    mode_t mode = MODE_OF(flags);
    return fault(HERE, "open", codes_of_open(path, flags)) ? -1 : __real_open64(path, flags, mode);
}

int __real_openat64(int directory, const char *path, int flags, ...);
int __wrap_openat64(int directory, const char *path, int flags, ...);
int __wrap_openat64(int directory, const char *path, int flags, ...)
{
    mode_t mode = MODE_OF(flags);
    return fault(HERE, "openat", codes_of_open(path, flags)) ? -1 : __real_openat64(directory, path, flags, mode);
}

int __wrap_fcntl64(int fd, int command, ...);
int __wrap_fcntl64(int fd, int command, ...)
{
    va_list list;
    va_start(list, command);
    long argument = va_arg(list, long);
    va_end(list);
    const int *codes = command == F_DUPFD_CLOEXEC                          ? CODES(EMFILE, ENOMEM)
                       : command == F_SETLEASE && (int)argument == F_RDLCK ? CODES(ENOMEM, EACCES, EINVAL)
                       : command == F_ADD_SEALS                            ? CODES(EBUSY)
                                                                           : NONE;
    return fault(HERE, "fcntl", codes) ? -1 : __real_fcntl64(fd, command, argument);
}

/* ---- reading and writing -------------------------------------------------------------------------------------- */

WRAP(int, fstat64, -1, (int fd, struct stat *status), (fd, status), CODES(EIO, ENOMEM))
WRAP(int, lstat64, -1, (const char *path, struct stat *status), (path, status), CODES(EIO, EACCES, ENOMEM))
WRAP(int, fstatfs64, -1, (int fd, struct statfs *system), (fd, system), CODES(EIO, ENOMEM))
WRAP(int, fstatvfs64, -1, (int fd, struct statvfs *system), (fd, system), CODES(EIO, ENOMEM))
WRAP(int, access, -1, (const char *path, int mode), (path, mode), CODES(EACCES, ENOENT, ENOMEM))
WRAP(char *, realpath, NULL, (const char *path, char *room), (path, room), CODES(ENOMEM, EACCES, ENOENT))
WRAP(ssize_t, pread64, -1, (int fd, void *to, size_t size, off_t at), (fd, to, size, at),
     CODES(EINTR, EIO, ENOMEM))
WRAP(ssize_t, pwrite64, -1, (int fd, const void *from, size_t size, off_t at), (fd, from, size, at),
     CODES(EINTR, EACCES, ENOMEM))

/* What is read from and written to: a pipe, a file of proc(5), or something that counts, which never waits. */
enum kind { A_PIPE, A_PIPE_THAT_WAITS, A_FILE, A_COUNTER };

static enum kind kind_of(int fd)
{
    int saved = errno;
    struct stat status = {.st_mode = 0};
    bool waits = !(__real_fcntl64(fd, F_GETFL) & O_NONBLOCK);
    (void)__real_fstat64(fd, &status);
    errno = saved;
    return S_ISFIFO(status.st_mode) ? (waits ? A_PIPE_THAT_WAITS : A_PIPE) : waits ? A_FILE : A_COUNTER;
}

ssize_t __real_read(int fd, void *to, size_t size);
ssize_t __wrap_read(int fd, void *to, size_t size);
ssize_t __wrap_read(int fd, void *to, size_t size)
{
    static const int codes[][4] = {
        [A_PIPE] = {EINTR, EAGAIN},
        [A_PIPE_THAT_WAITS] = {EINTR},
        [A_FILE] = {EINTR, ENOMEM, ESRCH},
        [A_COUNTER] = {EAGAIN},
    };
    return fault(HERE, "read", codes[kind_of(fd)]) ? -1 : __real_read(fd, to, size);
}

ssize_t __real_write(int fd, const void *from, size_t size);
ssize_t __wrap_write(int fd, const void *from, size_t size);
ssize_t __wrap_write(int fd, const void *from, size_t size)
{
    static const int codes[][5] = {
        [A_PIPE_THAT_WAITS] = {EINTR},
        [A_FILE] = {EACCES, EPERM, EINVAL, ENOMEM},
        [A_COUNTER] = {0},
    };
    return fault(HERE, "write", codes[kind_of(fd)]) ? -1 : __real_write(fd, from, size);
}

ssize_t __real_writev(int fd, const struct iovec *parts, int n);
ssize_t __wrap_writev(int fd, const struct iovec *parts, int n);
ssize_t __wrap_writev(int fd, const struct iovec *parts, int n)
{
    switch (fault(HERE, "writev", CODES(ENOSPC, EDQUOT, EFBIG, EIO, ENOMEM, EINTR, HALF))) {
    case 0:
        return __real_writev(fd, parts, n);
    case HALF:
        return __real_write(fd, parts->iov_base, (parts->iov_len + 1) / 2);
    default:
        return -1;
    }
}

/* ---- sockets and waiting -------------------------------------------------------------------------------------- */

WRAP(int, epoll_wait, -1, (int epoll, struct epoll_event *events, int most, int ms), (epoll, events, most, ms),
     CODES(EINTR))
WRAP(int, sem_clockwait, -1, (sem_t * semaphore, clockid_t clock, const struct timespec *until),
     (semaphore, clock, until), CODES(EINTR))
WRAP(int, sigtimedwait, -1, (const sigset_t *set, siginfo_t *info, const struct timespec *most), (set, info, most),
     CODES(EINTR))

int __real_epoll_ctl(int epoll, int operation, int fd, struct epoll_event *event);
int __wrap_epoll_ctl(int epoll, int operation, int fd, struct epoll_event *event);
int __wrap_epoll_ctl(int epoll, int operation, int fd, struct epoll_event *event)
{
    if (operation == EPOLL_CTL_ADD && fault(HERE, "epoll_ctl", CODES(ENOMEM, ENOSPC)))
        return -1;
    return __real_epoll_ctl(epoll, operation, fd, event);
}

/* A signal interrupts only the one that has nothing to tell. */
int __real_poll(struct pollfd *watched, nfds_t n, int ms);
int __wrap_poll(struct pollfd *watched, nfds_t n, int ms);
int __wrap_poll(struct pollfd *watched, nfds_t n, int ms)
{
    int told = __real_poll(watched, n, 0);
    return told ? told : fault(HERE, "poll", CODES(EINTR)) ? -1 : __real_poll(watched, n, ms);
}

int __real_ppoll(struct pollfd *watched, nfds_t n, const struct timespec *most, const sigset_t *mask);
int __wrap_ppoll(struct pollfd *watched, nfds_t n, const struct timespec *most, const sigset_t *mask);
int __wrap_ppoll(struct pollfd *watched, nfds_t n, const struct timespec *most, const sigset_t *mask)
{
    int told = __real_poll(watched, n, 0);
    return told ? told : fault(HERE, "ppoll", CODES(EINTR)) ? -1 : __real_ppoll(watched, n, most, mask);
}

/* The pool made all sockets: its peer may have died, theirs is the pool, which they do not outlive. */
static bool may_be_gone(int socket)
{
    struct ucred maker = {.pid = 0};
    socklen_t size = sizeof(maker);
    int saved = errno;
    (void)getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &maker, &size);
    errno = saved;
    return maker.pid == getpid();
}

ssize_t __real_sendmsg(int socket, const struct msghdr *message, int flags);
ssize_t __wrap_sendmsg(int socket, const struct msghdr *message, int flags);
ssize_t __wrap_sendmsg(int socket, const struct msghdr *message, int flags)
{
    static const int codes_of[2][2][7] = {
        {{EAGAIN, ENOBUFS, ENOMEM, EINTR}, {EAGAIN, ENOBUFS, ENOMEM, EINTR, ETOOMANYREFS}},
        {{EAGAIN, ENOBUFS, ENOMEM, EINTR, EPIPE}, {EAGAIN, ENOBUFS, ENOMEM, EINTR, EPIPE, ETOOMANYREFS}},
    };
    const int *codes = codes_of[may_be_gone(socket)][message->msg_controllen > 0];
    return fault(HERE, "sendmsg", codes) ? -1 : __real_sendmsg(socket, message, flags);
}

/* Half of a message is one whose descriptors the kernel kept back, because this process may have no more. */
static void keep_descriptors_back(struct msghdr *message)
{
    for (struct cmsghdr *part = CMSG_FIRSTHDR(message); part; part = CMSG_NXTHDR(message, part))
        for (size_t at = 0; at < part->cmsg_len - CMSG_LEN(0); at += sizeof(int)) {
            int fd;
            memcpy(&fd, CMSG_DATA(part) + at, sizeof(fd));
            close(fd);
        }
    if (message->msg_controllen) {
        message->msg_controllen = 0;
        message->msg_flags |= MSG_CTRUNC;
    }
}

ssize_t __real_recvmsg(int socket, struct msghdr *message, int flags);
ssize_t __wrap_recvmsg(int socket, struct msghdr *message, int flags);
ssize_t __wrap_recvmsg(int socket, struct msghdr *message, int flags)
{
    int code = fault(HERE, "recvmsg", CODES(HALF, EINTR, ECONNRESET));
    if (code > 0)
        return -1;
    ssize_t size = __real_recvmsg(socket, message, flags);
    if (code == HALF && size >= 0)
        keep_descriptors_back(message);
    return size;
}

/* ---- processes ------------------------------------------------------------------------------------------------ */

WRAP(pid_t, fork, -1, (void), (), CODES(EAGAIN, ENOMEM))
WRAP(int, execv, -1, (const char *path, char *const *argv), (path, argv), CODES(ENOENT, EACCES, ENOMEM))
WRAP(int, pthread_create, code,
     (pthread_t * thread, const pthread_attr_t *attributes, void *(*run)(void *), void *data),
     (thread, attributes, run, data), CODES(EAGAIN))
WRAP(int, posix_spawn, code,
     (pid_t * pid, const char *path, const posix_spawn_file_actions_t *actions,
      const posix_spawnattr_t *attributes, char *const *argv, char *const *environment),
     (pid, path, actions, attributes, argv, environment), CODES(EAGAIN, ENOMEM, ENOENT, EACCES))
WRAP(int, posix_spawn_file_actions_addopen, code,
     (posix_spawn_file_actions_t * actions, int fd, const char *path, int flags, mode_t mode),
     (actions, fd, path, flags, mode), CODES(ENOMEM))
WRAP(int, posix_spawn_file_actions_adddup2, code, (posix_spawn_file_actions_t * actions, int from, int to),
     (actions, from, to), CODES(ENOMEM))
WRAP(ssize_t, getrandom, -1, (void *to, size_t size, unsigned flags), (to, size, flags), CODES(EAGAIN))

/* Whoever else waits for every child of this process may have been faster. */
int __real_waitid(idtype_t which, id_t id, siginfo_t *info, int options);
int __wrap_waitid(idtype_t which, id_t id, siginfo_t *info, int options);
int __wrap_waitid(idtype_t which, id_t id, siginfo_t *info, int options)
{
    int r = __real_waitid(which, id, info, options);
    return which == P_PIDFD && fault(HERE, "waitid", CODES(ECHILD)) ? -1 : r;
}

pid_t __real_waitpid(pid_t pid, int *status, int options);
pid_t __wrap_waitpid(pid_t pid, int *status, int options);
pid_t __wrap_waitpid(pid_t pid, int *status, int options)
{
    int code = options & WNOHANG ? 0 : fault(HERE, "waitpid", CODES(EINTR, ECHILD));
    pid_t r = code == EINTR ? -1 : __real_waitpid(pid, status, options);
    if (code)
        errno = code;
    return code ? -1 : r;
}

/* What glibc has no function for, or none that does only this. */
long __real_syscall(long number, long a, long b, long c, long d, long e, long f);
long __wrap_syscall(long number, long a, long b, long c, long d, long e, long f);
long __wrap_syscall(long number, long a, long b, long c, long d, long e, long f)
{
    const int *codes = number == SYS_pidfd_open   ? NO_DESCRIPTOR
                       : number == SYS_clone      ? CODES(EAGAIN, ENOMEM)
                       : number == SYS_getdents64 ? CODES(ENOENT, ENOMEM)
                                                  : NONE;
    return fault(HERE, "syscall", codes) ? -1 : __real_syscall(number, a, b, c, d, e, f);
}

/* Which system calls a boxed worker may make (seccomp(2)), compiled once by libseccomp. */
#include "_box.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sched.h>
#include <seccomp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "util.h"

#define NEW_NAMESPACES                                                                                            \
    (CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP |  \
     0x80 /* CLONE_NEWTIME */)

/* Refused with EPERM at both levels: they reach other processes, the kernel's own state, or parts of it with a
 * history of holes, and no computation needs them. */
static const char *const refused[] = {
    "acct",
    "add_key",
    "adjtimex",
    "bpf",
    "chroot",
    "clock_adjtime",
    "clock_adjtime64",
    "clock_settime",
    "clock_settime64",
    "delete_module",
    "fanotify_init",
    "fanotify_mark",
    "finit_module",
    "init_module",
    "ioperm",
    "iopl",
    "kcmp",
    "kexec_file_load",
    "kexec_load",
    "keyctl",
    "lookup_dcookie",
    "migrate_pages",
    "move_pages",
    "mq_getsetattr",
    "mq_notify",
    "mq_open",
    "mq_timedreceive",
    "mq_timedsend",
    "mq_unlink",
    "msgctl",
    "msgget",
    "msgrcv",
    "msgsnd",
    "name_to_handle_at",
    "nfsservctl",
    "open_by_handle_at",
    "perf_event_open",
    "pidfd_getfd",
    "process_madvise",
    "process_mrelease",
    "process_vm_readv",
    "process_vm_writev",
    "ptrace",
    "quotactl",
    "quotactl_fd",
    "reboot",
    "request_key",
    "semctl",
    "semget",
    "semop",
    "semtimedop",
    "setdomainname",
    "sethostname",
    "setns",
    "settimeofday",
    "shmat",
    "shmctl",
    "shmdt",
    "shmget",
    "stime",
    "swapoff",
    "swapon",
    "syslog",
    "sysfs",
    "userfaultfd",
    "ustat",
    "uselib",
    "vhangup",
    "vm86",
    "vm86old",
};

static const char *const mounting[] = {
    "fsconfig",   "fsmount",   "fsopen",     "fspick", "mount",   "mount_setattr",
    "move_mount", "open_tree", "pivot_root", "umount", "umount2",
};

/* What a worker in a strict box does before its call, to have mounts of its own and then no privileges: the template's
 * filter leaves it, and the worker's takes it away. A short filter, because the kernel compiles one at each load. */
static const char *const entering[] = {
    "capset", "mount", "mount_setattr", "move_mount", "open_tree", "setns", "umount2", "unshare",
};

/* As if the kernel were too old to have them: libraries then take another way. */
static const char *const unknown[] = {"clone3", "io_uring_enter", "io_uring_register", "io_uring_setup"};

/* Landlock knows no right to change what is known of a file, by its path or a descriptor of one that may be read only.
 * In "standard" nobody's files change; programs that copy files do so in passing, and go on. */
static const char *const futile[] = {
    "chmod", "fchmod", "fchmodat", "fchmodat2", "futimesat", "utime", "utimensat", "utimes",
};

/* As a file system says that has none. */
static const char *const attributes[] = {
    "fremovexattr", "fsetxattr", "lremovexattr", "lsetxattr", "removexattr", "setxattr",
};

static const uint64_t flags[] = {FS_IOC_SETFLAGS, FS_IOC_FSSETXATTR, FS_IOC_SETVERSION};

static const char *const owners[] = {"chown", "fchown", "fchownat", "lchown"};

/* Newer than what is listed here, some of them of the kinds above: as if the kernel were older. Their numbers are the
 * same on all architectures. */
enum { UNHEARD_OF = 452, UNHEARD_OF_END = 512 };

/* All that "strict" leaves. What is not here is as unknown as a call of a newer kernel. */
static const char *const allowed[] = {
    "access",
    "alarm",
    "arch_prctl",
    "bind",
    "brk",
    "capget",
    "chdir",
    "chmod",
    "chown",
    "clock_getres",
    "clock_gettime",
    "clock_nanosleep",
    "close",
    "close_range",
    "connect",
    "copy_file_range",
    "creat",
    "dup",
    "dup2",
    "dup3",
    "epoll_create",
    "epoll_create1",
    "epoll_ctl",
    "epoll_pwait",
    "epoll_pwait2",
    "epoll_wait",
    "eventfd",
    "eventfd2",
    "execve",
    "execveat",
    "exit",
    "exit_group",
    "faccessat",
    "faccessat2",
    "fadvise64",
    "fallocate",
    "fchdir",
    "fchmod",
    "fchmodat",
    "fchmodat2",
    "fchown",
    "fchownat",
    "fcntl",
    "fdatasync",
    "fgetxattr",
    "flistxattr",
    "flock",
    "fork",
    "fremovexattr",
    "fsetxattr",
    "fstat",
    "fstatfs",
    "fsync",
    "ftruncate",
    "futex",
    "futex_waitv",
    "futimesat",
    "get_mempolicy",
    "get_robust_list",
    "getcpu",
    "getcwd",
    "getdents",
    "getdents64",
    "getegid",
    "geteuid",
    "getgid",
    "getgroups",
    "getitimer",
    "getpeername",
    "getpgid",
    "getpgrp",
    "getpid",
    "getppid",
    "getpriority",
    "getrandom",
    "getresgid",
    "getresuid",
    "getrlimit",
    "getrusage",
    "getsid",
    "getsockname",
    "getsockopt",
    "gettid",
    "gettimeofday",
    "getuid",
    "getxattr",
    "inotify_add_watch",
    "inotify_init",
    "inotify_init1",
    "inotify_rm_watch",
    "ioctl",
    "ioprio_get",
    "kill",
    "landlock_add_rule",
    "landlock_create_ruleset",
    "landlock_restrict_self",
    "lchown",
    "lgetxattr",
    "link",
    "linkat",
    "listen",
    "listxattr",
    "llistxattr",
    "lremovexattr",
    "lseek",
    "lsetxattr",
    "lstat",
    "madvise",
    "mbind",
    "membarrier",
    "memfd_create",
    "mincore",
    "mkdir",
    "mkdirat",
    "mknod",
    "mknodat",
    "mlock",
    "mlock2",
    "mlockall",
    "mmap",
    "mprotect",
    "mremap",
    "msync",
    "munlock",
    "munlockall",
    "munmap",
    "nanosleep",
    "newfstatat",
    "open",
    "openat",
    "openat2",
    "pause",
    "pidfd_open",
    "pidfd_send_signal",
    "pipe",
    "pipe2",
    "pkey_alloc",
    "pkey_free",
    "pkey_mprotect",
    "poll",
    "ppoll",
    "prctl",
    "pread64",
    "preadv",
    "preadv2",
    "pselect6",
    "pwrite64",
    "pwritev",
    "pwritev2",
    "read",
    "readahead",
    "readlink",
    "readlinkat",
    "readv",
    "recvfrom",
    "recvmmsg",
    "recvmsg",
    "remap_file_pages",
    "removexattr",
    "rename",
    "renameat",
    "renameat2",
    "restart_syscall",
    "rmdir",
    "rseq",
    "rt_sigaction",
    "rt_sigpending",
    "rt_sigprocmask",
    "rt_sigqueueinfo",
    "rt_sigreturn",
    "rt_sigsuspend",
    "rt_sigtimedwait",
    "rt_tgsigqueueinfo",
    "sched_get_priority_max",
    "sched_get_priority_min",
    "sched_getaffinity",
    "sched_getattr",
    "sched_getparam",
    "sched_getscheduler",
    "sched_rr_get_interval",
    "sched_yield",
    "seccomp",
    "select",
    "sendfile",
    "sendmmsg",
    "sendmsg",
    "sendto",
    "set_mempolicy",
    "set_robust_list",
    "set_tid_address",
    "setfsgid",
    "setfsuid",
    "setgid",
    "setgroups",
    "setitimer",
    "setpgid",
    "setregid",
    "setresgid",
    "setresuid",
    "setreuid",
    "setrlimit",
    "setsid",
    "setsockopt",
    "setuid",
    "setxattr",
    "shutdown",
    "sigaltstack",
    "signalfd",
    "signalfd4",
    "splice",
    "stat",
    "statfs",
    "statx",
    "symlink",
    "symlinkat",
    "sync",
    "sync_file_range",
    "syncfs",
    "sysinfo",
    "tee",
    "tgkill",
    "time",
    "timer_create",
    "timer_delete",
    "timer_getoverrun",
    "timer_gettime",
    "timer_settime",
    "timerfd_create",
    "timerfd_gettime",
    "timerfd_settime",
    "times",
    "tkill",
    "truncate",
    "umask",
    "uname",
    "unlink",
    "unlinkat",
    "utime",
    "utimensat",
    "utimes",
    "vfork",
    "vmsplice",
    "wait4",
    "waitid",
    "waitpid",
    "write",
    "writev",
    "accept",
    "accept4",
};

/* A rule for a call by name; one that this architecture or libseccomp does not know cannot be made either. */
static int rule(scmp_filter_ctx context, uint32_t action, const char *name, unsigned n,
                const struct scmp_arg_cmp *compared)
{
    int number = seccomp_syscall_resolve_name(name);
    if (number == __NR_SCMP_ERROR)
        return 0;
    int r = seccomp_rule_add_array(context, action, number, n, compared);
    return r == -EDOM || r == -EACCES ? 0 : r; /* -EACCES: it is the default action already */
}

static int each(scmp_filter_ctx context, uint32_t action, const char *const *names, size_t n)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < n; i++)
        r = rule(context, action, names[i], 0, NULL);
    return r;
}

/* Sockets are refused by family, for a rule cannot look at an address; of unnamed pairs all but datagrams, which
 * could be sent to any name. */
static int sockets(scmp_filter_ctx context, uint32_t action, bool strict, bool network)
{
    static const uint64_t internet[] = {AF_INET, AF_INET6};
    struct scmp_arg_cmp family[1];
    int r = 0;
    if (action == SCMP_ACT_ALLOW) {
        for (size_t i = 0; network && r == 0 && i < COUNT_OF(internet); i++) {
            family[0] = SCMP_A0_32(SCMP_CMP_EQ, internet[i]);
            r = rule(context, action, "socket", 1, family);
        }
        family[0] = SCMP_A0_32(SCMP_CMP_EQ, AF_UNIX);
        if (r == 0)
            r = rule(context, action, "socket", 1, family);
        if (r == 0)
            r = rule(context, action, "socketpair", 1, family);
        return r == 0 ? sockets(context, SCMP_ACT_ERRNO(EACCES), strict, network) : r;
    }
    for (uint64_t at = 0; r == 0 && at < 64; at++) {
        if ((network && (at == AF_INET || at == AF_INET6)) || (strict && at == AF_UNIX))
            continue;
        family[0] = SCMP_A0_32(SCMP_CMP_EQ, at);
        r = rule(context, action, "socket", 1, family);
        if (r == 0 && at != AF_UNIX)
            r = rule(context, action, "socketpair", 1, family);
    }
    struct scmp_arg_cmp beyond[] = {SCMP_A0_32(SCMP_CMP_GE, 64)};
    if (r == 0)
        r = rule(context, action, "socket", 1, beyond);
    if (strict) /* there is nobody to send to */
        return r;
    struct scmp_arg_cmp datagrams[] = {SCMP_A1_32(SCMP_CMP_MASKED_EQ, 0xf, SOCK_DGRAM)};
    return r == 0 ? rule(context, action, "socketpair", 1, datagrams) : r;
}

/* What depends on an argument, as what is refused. */
static int by_argument(scmp_filter_ctx context, uint32_t action)
{
    int r = 0;
    for (uint64_t bit = 1; r == 0 && bit && bit <= NEW_NAMESPACES; bit <<= 1) {
        if (!(NEW_NAMESPACES & bit))
            continue;
        struct scmp_arg_cmp flag[] = {SCMP_A0_64(SCMP_CMP_MASKED_EQ, bit, bit)};
        if (bit != 0x80) /* in clone(2) it is a bit of the signal's number */
            r = rule(context, action, "clone", 1, flag);
        if (r == 0)
            r = rule(context, action, "unshare", 1, flag);
    }
    /* Another process of this user: the limits, the place and the priority of the caller itself, say. */
    static const char *const others[] = {"prlimit64", "sched_setaffinity", "sched_setattr", "sched_setparam",
                                         "sched_setscheduler"};
    struct scmp_arg_cmp someone[] = {SCMP_A0_32(SCMP_CMP_NE, 0)};
    for (size_t i = 0; r == 0 && i < COUNT_OF(others); i++)
        r = rule(context, action, others[i], 1, someone);
    struct scmp_arg_cmp who[] = {SCMP_A1_32(SCMP_CMP_NE, 0)};
    static const char *const priorities[] = {"ioprio_set", "setpriority"};
    for (size_t i = 0; r == 0 && i < COUNT_OF(priorities); i++)
        r = rule(context, action, priorities[i], 1, who);
    struct scmp_arg_cmp typing[] = {SCMP_A1_32(SCMP_CMP_EQ, TIOCSTI)};
    if (r == 0)
        r = rule(context, action, "ioctl", 1, typing);
    return r;
}

/* The same, as what is allowed. */
static int by_argument_allowed(scmp_filter_ctx context)
{
    struct scmp_arg_cmp none[] = {SCMP_A0_64(SCMP_CMP_MASKED_EQ, NEW_NAMESPACES & ~0x80, 0)};
    int r = rule(context, SCMP_ACT_ALLOW, "clone", 1, none);
    struct scmp_arg_cmp own[] = {SCMP_A0_32(SCMP_CMP_EQ, 0)};
    static const char *const others[] = {"prlimit64", "sched_setaffinity", "sched_setattr", "sched_setparam",
                                         "sched_setscheduler"};
    for (size_t i = 0; r == 0 && i < COUNT_OF(others); i++)
        r = rule(context, SCMP_ACT_ALLOW, others[i], 1, own);
    struct scmp_arg_cmp me[] = {SCMP_A1_32(SCMP_CMP_EQ, 0)};
    if (r == 0)
        r = rule(context, SCMP_ACT_ALLOW, "setpriority", 1, me);
    if (r == 0)
        r = rule(context, SCMP_ACT_ALLOW, "ioprio_set", 1, me);
    struct scmp_arg_cmp query[] = {SCMP_A0_32(SCMP_CMP_EQ, 0xffffffff)};
    return r == 0 ? rule(context, SCMP_ACT_ALLOW, "personality", 1, query) : r;
}

/* As the whole filter refuses them: those that it does not list are unknown. */
static int refuse_entering(scmp_filter_ctx context)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < COUNT_OF(entering); i++) {
        bool listed = strcmp(entering[i], "capset") != 0 && strcmp(entering[i], "unshare") != 0;
        r = rule(context, SCMP_ACT_ERRNO(listed ? EPERM : ENOSYS), entering[i], 0, NULL);
    }
    return r;
}

/* A file that may be read must not be cut: by its path, or by an open that asks for no right to write. */
static int refuse_truncation(scmp_filter_ctx context)
{
    static const uint64_t modes[] = {O_TRUNC | O_RDONLY, O_TRUNC | O_ACCMODE};
    int r = rule(context, SCMP_ACT_ERRNO(EACCES), "truncate", 0, NULL);
    for (size_t i = 0; r == 0 && i < COUNT_OF(modes); i++) {
        struct scmp_arg_cmp open_flags[] = {SCMP_A1_32(SCMP_CMP_MASKED_EQ, O_TRUNC | O_ACCMODE, modes[i])};
        struct scmp_arg_cmp openat_flags[] = {SCMP_A2_32(SCMP_CMP_MASKED_EQ, O_TRUNC | O_ACCMODE, modes[i])};
        r = rule(context, SCMP_ACT_ERRNO(EACCES), "open", 1, open_flags);
        if (r == 0)
            r = rule(context, SCMP_ACT_ERRNO(EACCES), "openat", 1, openat_flags);
    }
    return r == 0 ? rule(context, SCMP_ACT_ERRNO(ENOSYS), "openat2", 0, NULL) : r; /* its flags lie in memory */
}

static int refuse_changes(scmp_filter_ctx context, int abi)
{
    int r = each(context, SCMP_ACT_ERRNO(0), futile, COUNT_OF(futile));
    if (r == 0)
        r = each(context, SCMP_ACT_ERRNO(EOPNOTSUPP), attributes, COUNT_OF(attributes));
    if (r == 0)
        r = each(context, SCMP_ACT_ERRNO(EPERM), owners, COUNT_OF(owners));
    for (size_t i = 0; r == 0 && i < COUNT_OF(flags); i++) {
        struct scmp_arg_cmp request[] = {SCMP_A1_32(SCMP_CMP_EQ, flags[i])};
        r = rule(context, SCMP_ACT_ERRNO(ENOTTY), "ioctl", 1, request);
    }
    if (r == 0) /* who may not list a directory shall not be told what happens in it */
        r = rule(context, SCMP_ACT_ERRNO(EACCES), "inotify_add_watch", 0, NULL);
    return r == 0 && abi < 3 ? refuse_truncation(context) : r;
}

static int refuse_unheard_of(scmp_filter_ctx context)
{
    int r = 0;
    for (int number = UNHEARD_OF; r == 0 && number < UNHEARD_OF_END; number++)
        r = seccomp_rule_add(context, SCMP_ACT_ERRNO(ENOSYS), number, 0);
    return r;
}

static bool is_entering(const char *name)
{
    for (size_t i = 0; i < COUNT_OF(entering); i++)
        if (strcmp(entering[i], name) == 0)
            return true;
    return false;
}

static int fill(scmp_filter_ctx context, enum filter_kind kind, bool network, int abi)
{
    const uint32_t refuse = SCMP_ACT_ERRNO(EPERM);
    const bool strict = kind == FILTER_STRICT || kind == FILTER_STRICT_FIRST;
    /* Calls of another architecture (32 bits, x32) have other numbers: nobody here makes them by accident. */
    int r = seccomp_attr_set(context, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
    if (r == 0)
        r = seccomp_attr_set(context, SCMP_FLTATR_CTL_OPTIMIZE, 2); /* a tree, not a list */
    if (r == 0 && kind == FILTER_STRICT_REST)
        return refuse_entering(context);
    if (r == 0 && kind == FILTER_STANDARD_REST)
        return refuse_changes(context, abi);
    if (r == 0 && kind == FILTER_STRICT_FIRST)
        r = each(context, SCMP_ACT_ALLOW, entering, COUNT_OF(entering));
    for (size_t i = 0; r == 0 && i < COUNT_OF(refused) + COUNT_OF(mounting); i++) {
        const char *name = i < COUNT_OF(refused) ? refused[i] : mounting[i - COUNT_OF(refused)];
        if (kind != FILTER_STRICT_FIRST || !is_entering(name))
            r = rule(context, refuse, name, 0, NULL);
    }
    if (r < 0)
        return r;
    if (strict) {
        r = each(context, SCMP_ACT_ALLOW, allowed, COUNT_OF(allowed));
        if (r == 0)
            r = by_argument_allowed(context);
        return r == 0 ? sockets(context, SCMP_ACT_ALLOW, strict, network) : r;
    }
    r = each(context, SCMP_ACT_ERRNO(ENOSYS), unknown, COUNT_OF(unknown));
    if (r == 0)
        r = refuse_unheard_of(context);
    if (r == 0 && kind == FILTER_STANDARD)
        r = refuse_changes(context, abi);
    if (r == 0)
        r = by_argument(context, refuse);
    return r == 0 ? sockets(context, SCMP_ACT_ERRNO(EACCES), strict, network) : r;
}

/* What libseccomp leaves of the memory that it works in is many small pieces, far apart. A template would hand them out
 * again, and have a page copied for each in every worker that writes to it: so it works in another process. */
static int compile_apart(enum filter_kind kind, bool network, int abi, int fd)
{
    pid_t pid = fork();
    if (pid < 0)
        return -errno;
    if (pid == 0) {
        /* What is allowed, not what is refused. */
        bool lists = kind == FILTER_STRICT || kind == FILTER_STRICT_FIRST;
        scmp_filter_ctx context = seccomp_init(lists ? SCMP_ACT_ERRNO(ENOSYS) : SCMP_ACT_ALLOW);
        int r = context ? fill(context, kind, network, abi) : -ENOMEM;
        if (r == 0)
            r = seccomp_export_bpf(context, fd);
        _exit(-r);
    }
    int status;
    if (RETRY_EINTR(waitpid(pid, &status, 0)) < 0)
        return -errno;
    return WIFEXITED(status) ? -WEXITSTATUS(status) : -ECHILD;
}

void filter_free(struct filter *filter)
{
    if (filter)
        free(filter->program.filter);
    free(filter);
}

int filter_new(enum filter_kind kind, bool network, int abi, struct filter **ret_filter)
{
    _cleanup_close_ int fd = memfd_create("pinfold-filter", MFD_CLOEXEC); /* libseccomp writes to files */
    if (fd < 0)
        return -errno;
    int r = compile_apart(kind, network, abi, fd);
    if (r < 0)
        return r;
    struct stat status;
    if (fstat(fd, &status) < 0)
        return -errno;
    size_t size = (size_t)status.st_size;
    struct filter *filter = calloc(1, sizeof(*filter));
    if (filter)
        filter->program.filter = malloc(size);
    if (!filter || !filter->program.filter)
        r = -ENOMEM;
    else if (pread(fd, filter->program.filter, size, 0) != (ssize_t)size)
        r = -EIO;
    if (r < 0) {
        filter_free(filter);
        return r;
    }
    filter->program.len = (unsigned short)(size / sizeof(struct sock_filter));
    *ret_filter = filter;
    return 0;
}

int filter_probe(void)
{
    /* The kernel looks at the program first, and finds no memory there: -EFAULT is the answer of one that could. */
    long r = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, NULL);
    return r < 0 && errno == EFAULT ? 0 : -errno;
}

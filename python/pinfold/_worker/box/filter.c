/* SPDX-License-Identifier: Apache-2.0 */
/* filter.c - the system calls that a boxed worker may make (seccomp(2)), compiled once by libseccomp. */
#include "box.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/sockios.h>
#include <sched.h>
#include <seccomp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/util.h"

#define NEW_NAMESPACES                                                                                            \
    (CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP |  \
     0x80 /* CLONE_NEWTIME */)

/* Refused with EPERM at both levels. They reach other processes or the kernel's own state, or have a history of
 * vulnerabilities, and no computation needs them. */
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

/* A worker in a strict box calls these before its call, to get its own mounts and then drop its privileges. The
 * template's filter allows them, and the worker's refuses them. That second filter is short, because the kernel
 * compiles it at each load. */
static const char *const entering[] = {
    "capset", "mount", "mount_setattr", "move_mount", "open_tree", "setns", "umount2", "unshare",
};

/* Refused with ENOSYS, as on an older kernel: libraries then use another call. */
static const char *const unknown[] = {
    /* Their arguments lie in memory, which a filter cannot read. */
    "clone3",
    "io_uring_enter",
    "io_uring_register",
    "io_uring_setup",
    /* They use up resources that are counted per user or machine, not per process. */
    "inotify_add_watch",
    "inotify_init",
    "inotify_init1",
    "inotify_rm_watch",
    "io_cancel",
    "io_destroy",
    "io_getevents",
    "io_pgetevents",
    "io_setup",
    "io_submit",
    "memfd_secret",
};

/* Refused with ENOSYS in a reused worker: they cannot be undone, and would restrict the next call as well. Only in
 * "fresh" may a call narrow its own box. */
static const char *const narrowing[] = {
    "landlock_add_rule",
    "landlock_create_ruleset",
    "landlock_restrict_self",
    "seccomp",
};

/* Succeed without effect. A scratch directory need not survive a crash of the machine, and other processes would
 * wait for everything that is written there. */
static const char *const soothed[] = {"sync", "syncfs"};

/* Succeed without effect in "standard", where files outside scratch must not change. Landlock has no right for
 * metadata, which these change by path or through a read-only descriptor. Programs that copy files set metadata in
 * passing, and go on. */
static const char *const futile[] = {
    "chmod", "fchmod", "fchmodat", "fchmodat2", "futimesat", "utime", "utimensat", "utimes",
};

/* Refused with EOPNOTSUPP, as by a file system without extended attributes. */
static const char *const attributes[] = {
    "fremovexattr", "fsetxattr", "lremovexattr", "lsetxattr", "removexattr", "setxattr",
};

/* Left out: leases (F_SETLEASE, F_SETDELEG), which block others that open the file; owners of SIGIO (F_SETOWN,
 * F_SETOWN_EX, F_SETSIG) and F_NOTIFY; hints of a write's lifetime (F_SET_RW_HINT), kept in the inode. */
static const uint32_t of_descriptors[] = {
    F_DUPFD,
    F_GETFD,
    F_SETFD,
    F_GETFL,
    F_SETFL,
    F_GETLK,
    F_SETLK,
    F_SETLKW,
    F_GETOWN,
    F_GETSIG,
    F_GETOWN_EX,
    F_OFD_GETLK,
    F_OFD_SETLK,
    F_OFD_SETLKW,
    F_GETLEASE,
    1027, /* F_DUPFD_QUERY */
    1028, /* F_CREATED_QUERY */
    F_DUPFD_CLOEXEC,
    F_SETPIPE_SZ,
    F_GETPIPE_SZ,
    F_ADD_SEALS,
    F_GET_SEALS,
    F_GET_RW_HINT,
    F_GET_FILE_RW_HINT,
};

/* Common requests to files, pipes and sockets, and those that detect a terminal. */
static const uint32_t of_devices[] = {
    TCGETS,     0x802c542a /* TCGETS2 */,
    TIOCGWINSZ, TIOCGPGRP,
    TIOCOUTQ,   FIONREAD,
    FIONBIO,    FIOCLEX,
    FIONCLEX,   FIOQSIZE,
    SIOCATMARK, FS_IOC_GETFLAGS,
};

static const uint32_t of_interfaces[] = {
    SIOCGIFNAME,    SIOCGIFCONF, SIOCGIFFLAGS,  SIOCGIFADDR,  SIOCGIFBRDADDR,
    SIOCGIFNETMASK, SIOCGIFMTU,  SIOCGIFHWADDR, SIOCGIFINDEX,
};

static const uint32_t of_processes[] = {
    PR_SET_PDEATHSIG,
    PR_GET_PDEATHSIG,
    PR_GET_DUMPABLE,
    PR_SET_DUMPABLE,
    PR_GET_UNALIGN,
    PR_GET_KEEPCAPS,
    PR_GET_TIMING,
    PR_SET_NAME,
    PR_GET_NAME,
    PR_GET_SECCOMP,
    PR_SET_SECCOMP,
    PR_CAPBSET_READ,
    PR_CAPBSET_DROP,
    PR_GET_TSC,
    PR_GET_SECUREBITS,
    PR_SET_SECUREBITS,
    PR_SET_TIMERSLACK,
    PR_GET_TIMERSLACK,
    PR_MCE_KILL_GET,
    PR_SET_CHILD_SUBREAPER,
    PR_GET_CHILD_SUBREAPER,
    PR_SET_NO_NEW_PRIVS,
    PR_GET_NO_NEW_PRIVS,
    PR_GET_TID_ADDRESS,
    PR_SET_THP_DISABLE,
    PR_GET_THP_DISABLE,
    PR_CAP_AMBIENT,
    50, /* PR_SVE_SET_VL */
    51, /* PR_SVE_GET_VL */
    PR_GET_SPECULATION_CTRL,
    PR_SET_SPECULATION_CTRL,
    54,         /* PR_PAC_RESET_KEYS */
    55,         /* PR_SET_TAGGED_ADDR_CTRL */
    56,         /* PR_GET_TAGGED_ADDR_CTRL */
    63,         /* PR_SME_SET_VL */
    64,         /* PR_SME_GET_VL */
    65,         /* PR_SET_MDWE */
    66,         /* PR_GET_MDWE */
    0x41555856, /* PR_GET_AUXV */
    0x53564d41, /* PR_SET_VMA */
};

static const uint32_t of_personalities[] = {0xffffffff}; /* queries the current one */

/* Calls with many commands. The kernel adds commands over time, so these are allowlists. The filter compares the
 * lower half of an argument, as the kernel reads it. */
static const struct choice {
    const char *name;
    const uint32_t *values;
    size_t n;
    unsigned argument;
    int code; /* the kernel's errno for an unknown command */
} choices[] = {
    {"fcntl", of_descriptors, COUNT_OF(of_descriptors), 1, EINVAL},
    {"ioctl", of_devices, COUNT_OF(of_devices), 1, ENOTTY},
    {"personality", of_personalities, COUNT_OF(of_personalities), 0, EPERM},
    {"prctl", of_processes, COUNT_OF(of_processes), 0, EINVAL},
};

/* Added with a network. */
static const struct choice interfaces = {"ioctl", of_interfaces, COUNT_OF(of_interfaces), 1, ENOTTY};

#define PIPE_BYTES 65536 /* the kernel's default; pages of larger pipes count per user, not per process */

static const char *const owners[] = {"chown", "fchown", "fchownat", "lchown"};

/* Numbers newer than these lists, some of them of the kinds above: ENOSYS, as on an older kernel. New numbers are
 * the same on all architectures. */
enum { UNHEARD_OF = 452, UNHEARD_OF_END = 512 };

/* The allowlist of "strict". Any other call gets ENOSYS, like a call of a newer kernel. */
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
    "sync_file_range",
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

/* Add a rule for a call by name. Skips names unknown to libseccomp or this architecture: no program can call
 * them by name either. */
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

static struct scmp_arg_cmp is(unsigned argument, uint32_t value)
{
    return SCMP_CMP64(argument, SCMP_CMP_MASKED_EQ, UINT32_MAX, value);
}

static int rule_1(scmp_filter_ctx context, uint32_t action, const char *name, struct scmp_arg_cmp compared)
{
    return rule(context, action, name, 1, &compared);
}

static int rule_2(scmp_filter_ctx context, uint32_t action, const char *name, struct scmp_arg_cmp one,
                  struct scmp_arg_cmp two)
{
    struct scmp_arg_cmp compared[] = {one, two};
    return rule(context, action, name, COUNT_OF(compared), compared);
}

#define SOCKET_TYPE 0xf /* the type bits of the second argument; the rest are flags */

static bool is_connected(uint64_t type)
{
    return type == SOCK_STREAM || type == SOCK_SEQPACKET;
}

/* Refuse AF_UNIX sockets except stream and seqpacket, which send only where they are connected. A datagram goes to
 * any name, and a raw socket is a datagram socket. */
static int refuse_datagrams(scmp_filter_ctx context, const char *name)
{
    int r = 0;
    for (uint64_t type = 0; r == 0 && type <= SOCKET_TYPE; type++)
        if (!is_connected(type))
            r = rule_2(context, SCMP_ACT_ERRNO(EACCES), name, is(0, AF_UNIX),
                       SCMP_A1_64(SCMP_CMP_MASKED_EQ, SOCKET_TYPE, type));
    return r;
}

static int allow_connected(scmp_filter_ctx context, const char *name)
{
    int r = 0;
    for (uint64_t type = 0; r == 0 && type <= SOCKET_TYPE; type++)
        if (is_connected(type))
            r = rule_2(context, SCMP_ACT_ALLOW, name, is(0, AF_UNIX),
                       SCMP_A1_64(SCMP_CMP_MASKED_EQ, SOCKET_TYPE, type));
    return r;
}

/* Refuse all families but the permitted ones, by the call's first argument. */
static int refuse_families(scmp_filter_ctx context, const char *name, bool network, bool local)
{
    int r = 0;
    for (uint32_t at = 0; r == 0 && at < 64; at++) {
        if ((network && (at == AF_INET || at == AF_INET6)) || (local && at == AF_UNIX))
            continue;
        r = rule_1(context, SCMP_ACT_ERRNO(EACCES), name, SCMP_A0_64(SCMP_CMP_EQ, at));
    }
    return r == 0 ? rule_1(context, SCMP_ACT_ERRNO(EACCES), name, SCMP_A0_64(SCMP_CMP_GE, 64)) : r;
}

/* Filter sockets by family and type, because a filter cannot read an address. */
static int sockets(scmp_filter_ctx context, bool strict, bool network)
{
    static const uint32_t internet[] = {AF_INET, AF_INET6};
    int r = 0;
    if (strict) { /* "strict" needs allow rules, too */
        for (size_t i = 0; network && r == 0 && i < COUNT_OF(internet); i++)
            r = rule_1(context, SCMP_ACT_ALLOW, "socket", SCMP_A0_64(SCMP_CMP_EQ, internet[i]));
        if (r == 0)
            r = allow_connected(context, "socket");
        if (r == 0)
            r = allow_connected(context, "socketpair");
    }
    if (r == 0)
        r = refuse_families(context, "socket", network, strict);
    if (r == 0)
        r = refuse_families(context, "socketpair", false, true);
    if (r == 0 && strict)
        r = refuse_datagrams(context, "socket");
    return r == 0 ? refuse_datagrams(context, "socketpair") : r;
}

static bool is_chosen(const struct choice *choice, uint32_t prefix, unsigned bits)
{
    for (size_t i = 0; i < choice->n; i++)
        if (bits == 0 || (choice->values[i] ^ prefix) >> (32 - bits) == 0)
            return true;
    return false;
}

/* Refuse all values but the chosen ones, with a rule for each group of them that share their upper bits. */
static int refuse_others(scmp_filter_ctx context, const struct choice *choice, const struct choice *more,
                         uint32_t prefix, unsigned bits)
{
    if (!is_chosen(choice, prefix, bits) && !(more && is_chosen(more, prefix, bits))) {
        uint32_t mask = bits == 0 ? 0 : UINT32_MAX << (32 - bits);
        return rule_1(context, SCMP_ACT_ERRNO((uint16_t)choice->code), choice->name,
                      SCMP_CMP64(choice->argument, SCMP_CMP_MASKED_EQ, mask, prefix));
    }
    if (bits == 32)
        return 0;
    int r = refuse_others(context, choice, more, prefix, bits + 1);
    return r == 0 ? refuse_others(context, choice, more, prefix | UINT32_C(1) << (31 - bits), bits + 1) : r;
}

static bool depends_on_more(const struct choice *choice, uint32_t value)
{
    if (strcmp(choice->name, "prctl") == 0)
        return value == PR_SET_PDEATHSIG || value == PR_SET_DUMPABLE || value == PR_SET_CHILD_SUBREAPER ||
               value == PR_SET_SECCOMP;
    return strcmp(choice->name, "fcntl") == 0 && value == F_SETPIPE_SZ;
}

static int allow_chosen(scmp_filter_ctx context, const struct choice *choice)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < choice->n; i++)
        if (!depends_on_more(choice, choice->values[i]))
            r = rule_1(context, SCMP_ACT_ALLOW, choice->name, is(choice->argument, choice->values[i]));
    return r;
}

/* Make PR_SET_PDEATHSIG succeed without effect. The template, not the call, decides with which process the worker
 * dies. Programs that set it in their own children go on. */
static int keep_death_signal(scmp_filter_ctx context)
{
    return rule_1(context, SCMP_ACT_ERRNO(0), "prctl", is(0, PR_SET_PDEATHSIG));
}

static int refuse_narrowing(scmp_filter_ctx context)
{
    int r = each(context, SCMP_ACT_ERRNO(ENOSYS), narrowing, COUNT_OF(narrowing));
    return r == 0 ? rule_1(context, SCMP_ACT_ERRNO(EINVAL), "prctl", is(0, PR_SET_SECCOMP)) : r;
}

/* `first`: for a template's filter, whose workers still set what calls may not. */
static int by_command(scmp_filter_ctx context, bool strict, bool network, bool first)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < COUNT_OF(choices); i++) {
        const struct choice *more = network && strcmp(choices[i].name, interfaces.name) == 0 ? &interfaces : NULL;
        r = refuse_others(context, &choices[i], more, 0, 0);
        if (r == 0 && strict)
            r = allow_chosen(context, &choices[i]);
        if (r == 0 && strict && more)
            r = allow_chosen(context, more);
    }
    if (r == 0)
        r = rule_2(context, SCMP_ACT_ERRNO(EPERM), "fcntl", is(1, F_SETPIPE_SZ),
                   SCMP_A2_64(SCMP_CMP_GT, PIPE_BYTES));
    /* Without the subreaper flag a call's orphans would go to another process. A process that is not dumpable
     * cannot be inspected, and is not counted. */
    static const uint32_t nonzero[] = {PR_SET_CHILD_SUBREAPER, PR_SET_DUMPABLE};
    for (size_t i = 0; r == 0 && i < COUNT_OF(nonzero); i++) {
        r = rule_2(context, SCMP_ACT_ERRNO(EPERM), "prctl", is(0, nonzero[i]), SCMP_A1_64(SCMP_CMP_EQ, 0));
        if (r == 0 && strict)
            r = rule_2(context, SCMP_ACT_ALLOW, "prctl", is(0, nonzero[i]), SCMP_A1_64(SCMP_CMP_NE, 0));
    }
    if (r == 0 && strict)
        r = rule_2(context, SCMP_ACT_ALLOW, "fcntl", is(1, F_SETPIPE_SZ), SCMP_A2_64(SCMP_CMP_LE, PIPE_BYTES));
    if (r < 0)
        return r;
    if (!first)
        return keep_death_signal(context);
    if (strict)
        r = rule_1(context, SCMP_ACT_ALLOW, "prctl", is(0, PR_SET_PDEATHSIG));
    return r == 0 && strict ? rule_1(context, SCMP_ACT_ALLOW, "prctl", is(0, PR_SET_SECCOMP)) : r;
}

/* Protect RLIMIT_LOCKS, which the kernel does not use: it carries the guard's mark and a worker's tag
 * (lib/process/sweep.h). The template's filter lets it pass: the template reads tags, and workers set theirs. */
static int keep_locks_limit(scmp_filter_ctx context)
{
    int r = rule_1(context, SCMP_ACT_ERRNO(EPERM), "setrlimit", is(0, RLIMIT_LOCKS));
    return r == 0 ? rule_2(context, SCMP_ACT_ERRNO(EPERM), "prlimit64", is(1, RLIMIT_LOCKS),
                           SCMP_A2_64(SCMP_CMP_NE, 0))
                  : r;
}

static int keep_limits(scmp_filter_ctx context)
{
    int r = rule_1(context, SCMP_ACT_ERRNO(EPERM), "prlimit64", SCMP_A0_64(SCMP_CMP_NE, 0));
    return r == 0 ? keep_locks_limit(context) : r;
}

/* These could change another process of this user, the caller say: its CPUs and its priority. */
static const char *const others[] = {"sched_setaffinity", "sched_setattr", "sched_setparam", "sched_setscheduler"};

/* The value of the first argument by which the second is a process, where 0 means the calling one. */
static const struct {
    const char *name;
    uint32_t process;
} priorities[] = {{"ioprio_set", 1}, {"setpriority", 0}};

/* CLONE_PARENT makes a child of the template, which is not counted. */
#define OUTSIDE_OF_THE_CALL (NEW_NAMESPACES | CLONE_PARENT)

/* Refuse calls by their arguments. */
static int by_argument(scmp_filter_ctx context, uint32_t action, bool first)
{
    int r = 0;
    for (uint64_t bit = 1; r == 0 && bit && bit <= OUTSIDE_OF_THE_CALL; bit <<= 1) {
        if (!(OUTSIDE_OF_THE_CALL & bit))
            continue;
        struct scmp_arg_cmp flag = SCMP_A0_64(SCMP_CMP_MASKED_EQ, bit, bit);
        if (bit != 0x80) /* in clone(2) a bit of the signal number */
            r = rule_1(context, action, "clone", flag);
        if (r == 0 && (NEW_NAMESPACES & bit))
            r = rule_1(context, action, "unshare", flag);
    }
    struct scmp_arg_cmp someone = SCMP_A0_64(SCMP_CMP_NE, 0);
    for (size_t i = 0; r == 0 && i < COUNT_OF(others); i++)
        r = rule_1(context, action, others[i], someone);
    for (size_t i = 0; r == 0 && i < COUNT_OF(priorities); i++) {
        r = rule_1(context, action, priorities[i].name, SCMP_A0_64(SCMP_CMP_NE, priorities[i].process));
        if (r == 0)
            r = rule_1(context, action, priorities[i].name, SCMP_A1_64(SCMP_CMP_NE, 0));
    }
    return r == 0 && !first ? keep_limits(context) : r;
}

/* Allow the arguments that by_argument() does not refuse. */
static int by_argument_allowed(scmp_filter_ctx context, bool first)
{
    int r =
        rule_1(context, SCMP_ACT_ALLOW, "clone", SCMP_A0_64(SCMP_CMP_MASKED_EQ, OUTSIDE_OF_THE_CALL & ~0x80, 0));
    struct scmp_arg_cmp own = SCMP_A0_64(SCMP_CMP_EQ, 0);
    for (size_t i = 0; r == 0 && i < COUNT_OF(others); i++)
        r = rule_1(context, SCMP_ACT_ALLOW, others[i], own);
    for (size_t i = 0; r == 0 && i < COUNT_OF(priorities); i++)
        r = rule_2(context, SCMP_ACT_ALLOW, priorities[i].name, SCMP_A0_64(SCMP_CMP_EQ, priorities[i].process),
                   SCMP_A1_64(SCMP_CMP_EQ, 0));
    if (r == 0 && first) {
        r = rule(context, SCMP_ACT_ALLOW, "setrlimit", 0, NULL);
        return r == 0 ? rule(context, SCMP_ACT_ALLOW, "prlimit64", 0, NULL) : r;
    }
    for (uint32_t which = 0; r == 0 && which < RLIM_NLIMITS; which++) {
        if (which == RLIMIT_LOCKS)
            continue;
        r = rule_1(context, SCMP_ACT_ALLOW, "setrlimit", SCMP_A0_64(SCMP_CMP_EQ, which));
        if (r == 0)
            r = rule_2(context, SCMP_ACT_ALLOW, "prlimit64", own, SCMP_A1_64(SCMP_CMP_EQ, which));
    }
    if (r == 0)
        r = rule_2(context, SCMP_ACT_ALLOW, "prlimit64", own, SCMP_A2_64(SCMP_CMP_EQ, 0));
    return r == 0 ? keep_locks_limit(context) : r;
}

/* Refuse with the errors of the whole filter: EPERM for calls in its lists of refused ones, ENOSYS for others. */
static int refuse_entering(scmp_filter_ctx context)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < COUNT_OF(entering); i++) {
        bool listed = strcmp(entering[i], "capset") != 0 && strcmp(entering[i], "unshare") != 0;
        r = rule(context, SCMP_ACT_ERRNO(listed ? EPERM : ENOSYS), entering[i], 0, NULL);
    }
    return r;
}

/* Refuse to truncate a file that may only be read: by path, or with an open that requests no write access. */
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
    return r == 0 && abi < 3 ? refuse_truncation(context) : r;
}

static int refuse_unheard_of(scmp_filter_ctx context)
{
    int r = 0;
    for (int number = UNHEARD_OF; r == 0 && number < UNHEARD_OF_END; number++)
        r = seccomp_rule_add(context, SCMP_ACT_ERRNO(ENOSYS), number, 0);
    return r;
}

static bool is_syscall_among(const char *name, const char *const *names, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(names[i], name) == 0)
            return true;
    return false;
}

/* `first`: as in by_command(). */
static int allow_listed(scmp_filter_ctx context, bool first)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < COUNT_OF(allowed); i++)
        if (first || !is_syscall_among(allowed[i], narrowing, COUNT_OF(narrowing)))
            r = rule(context, SCMP_ACT_ALLOW, allowed[i], 0, NULL);
    return r;
}

/* Add the rules. Undivided filters (FILTER_STANDARD, FILTER_STRICT) are for spawned workers, which are reused. */
static int fill(scmp_filter_ctx context, enum filter_kind kind, bool network, int abi, bool reused)
{
    const uint32_t refuse = SCMP_ACT_ERRNO(EPERM);
    const bool strict = kind == FILTER_STRICT || kind == FILTER_STRICT_FIRST;
    /* System calls of other architectures (32 bits, x32) have other numbers; no program makes them by accident. */
    int r = seccomp_attr_set(context, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
    if (r == 0)
        r = seccomp_attr_set(context, SCMP_FLTATR_CTL_OPTIMIZE, 2); /* a binary tree, not a list */
    if (r == 0 && (kind == FILTER_STRICT_REST || kind == FILTER_STANDARD_REST)) {
        r = kind == FILTER_STRICT_REST ? refuse_entering(context) : refuse_changes(context, abi);
        if (r == 0)
            r = keep_limits(context);
        if (r == 0 && reused)
            r = refuse_narrowing(context);
        return r == 0 ? keep_death_signal(context) : r;
    }
    const bool first = kind == FILTER_STRICT_FIRST || kind == FILTER_STANDARD_FIRST;
    if (r == 0 && kind == FILTER_STRICT_FIRST)
        r = each(context, SCMP_ACT_ALLOW, entering, COUNT_OF(entering));
    for (size_t i = 0; r == 0 && i < COUNT_OF(refused) + COUNT_OF(mounting); i++) {
        const char *name = i < COUNT_OF(refused) ? refused[i] : mounting[i - COUNT_OF(refused)];
        if (kind != FILTER_STRICT_FIRST || !is_syscall_among(name, entering, COUNT_OF(entering)))
            r = rule(context, refuse, name, 0, NULL);
    }
    if (r == 0)
        r = each(context, SCMP_ACT_ERRNO(0), soothed, COUNT_OF(soothed));
    if (r == 0)
        r = by_command(context, strict, network, first);
    if (r == 0)
        r = sockets(context, strict, network);
    if (r == 0 && !first)
        r = refuse_narrowing(context);
    if (r < 0)
        return r;
    if (strict) {
        r = allow_listed(context, first);
        return r == 0 ? by_argument_allowed(context, first) : r;
    }
    r = each(context, SCMP_ACT_ERRNO(ENOSYS), unknown, COUNT_OF(unknown));
    if (r == 0)
        r = refuse_unheard_of(context);
    if (r == 0 && kind == FILTER_STANDARD)
        r = refuse_changes(context, abi);
    return r == 0 ? by_argument(context, refuse, first) : r;
}

/* Compile in a child process. libseccomp frees many small pieces of memory, far apart. A template would allocate
 * them again, and every worker that writes to them would get a page copied for each. */
static int compile_apart(enum filter_kind kind, bool network, int abi, bool reused, int fd)
{
    pid_t pid = fork();
    if (pid < 0)
        return -errno;
    if (pid == 0) {
        /* An allowlist refuses by default. */
        bool lists = kind == FILTER_STRICT || kind == FILTER_STRICT_FIRST;
        scmp_filter_ctx context = seccomp_init(lists ? SCMP_ACT_ERRNO(ENOSYS) : SCMP_ACT_ALLOW);
        int r = context ? fill(context, kind, network, abi, reused) : -ENOMEM;
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

int filter_new(enum filter_kind kind, bool network, int abi, bool reused, struct filter **ret_filter)
{
    _cleanup_close_ int fd = memfd_create("pinfold-filter", MFD_CLOEXEC); /* libseccomp writes to files only */
    if (fd < 0)
        return -errno;
    int r = compile_apart(kind, network, abi, reused, fd);
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

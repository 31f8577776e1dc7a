/* SPDX-License-Identifier: Apache-2.0 */
/* usage.h - what a living process has used so far, from proc(5). */
#ifndef PINFOLD_USAGE_H
#define PINFOLD_USAGE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct usage {
    uint64_t user_us; /* of the process, exact in sum, and of the children it waited for, in clock ticks */
    uint64_t sys_us;
    /* VmHWM: most memory resident since the last exec, files and inherited pages included. 0: the process is at
     * its end and has freed everything. */
    uint64_t peak_kb;
    uint64_t anonymous_kb; /* RssAnon and VmSwap: memory without a file behind it, wherever it is now */
    uint64_t shared_kb;    /* RssShmem */
    uint64_t tables_kb;    /* VmPTE: the kernel's, to map all of it */
    uint64_t waited_us;    /* of the children alone */
    uint64_t counted_us;   /* of both, at least as much as is later added to its parent's waited_us */
    uint64_t started;      /* distinguishes it from an earlier process with its pid */
    bool execed;           /* it has executed a program since its fork */
};

struct usage_waits {
    uint64_t preemptions; /* involuntary context switches */
    uint64_t wait_ns;     /* time on a run queue (proc(5), schedstat) */
};

/* Return what all the threads of the process have waited for so far. -ENOENT: no such process; -EOPNOTSUPP: the
 * kernel does not report it. */
int usage_read_waits(pid_t pid, struct usage_waits *ret_waits);

/* Read everything. -ESRCH, -ENOENT: no such process; -EBADMSG: /proc has an unexpected format. */
int usage_read(pid_t pid, struct usage *ret_usage);

/* Read the times, and the memory if asked for. */
int usage_read_now(pid_t pid, bool memory, struct usage *ret_usage);

/* Return the process's own processor time, to the nanosecond, from its clock instead of /proc. 0: not
 * available. */
uint64_t usage_own_time_us(pid_t pid);

/* Return whether the process is exiting, which takes the kernel as long as there is memory to free. False if
 * only the first thread has ended. */
bool usage_is_exiting(pid_t pid);

/* Read anonymous and shared memory in kB, each page divided by the number of processes that map it. Exact where
 * processes share memory, but slow: the kernel walks all pages. */
int usage_read_share(pid_t pid, uint64_t *ret_anonymous_kb, uint64_t *ret_shared_kb);

/* Read the resident memory, each page divided by the number of processes that map it, and the memory that no
 * other process maps. Both in kB, and as slow. */
int usage_read_memory(pid_t pid, uint64_t *ret_pss_kb, uint64_t *ret_private_kb);

#endif

/* usage.h - what a process that lives has used so far, as proc(5) tells. */
#ifndef PINFOLD_USAGE_H
#define PINFOLD_USAGE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct usage {
    uint64_t user_us; /* of the process, exact in sum, and the children it waited for, in steps of a clock tick */
    uint64_t sys_us;
    uint64_t
        peak_kb; /* VmHWM: most memory ever resident, files and inherited pages included; of the program that it
                            executed last. 0: it is at its end, and has given all back */
    uint64_t anonymous_kb; /* RssAnon and VmSwap: memory that no file stands behind, wherever it is now */
    uint64_t shared_kb;    /* RssShmem */
    uint64_t tables_kb;    /* VmPTE: the kernel's, to map all of it */
    uint64_t waited_us;    /* of the children alone */
    uint64_t counted_us;   /* of both, as they will be added to its parent's waited_us at the least */
    uint64_t started;      /* tells it from another process that had its pid */
    bool execed;           /* it has executed a program since it was forked */
};

struct usage_waits {
    uint64_t preemptions; /* involuntary context switches */
    uint64_t wait_ns;     /* time on a run queue (proc(5), schedstat) */
};

/* What all the threads that it has waited for so far. -ENOENT: no such process; -EOPNOTSUPP: the kernel does not say. */
int usage_read_waits(pid_t pid, struct usage_waits *ret_waits);

/* All of it. -ESRCH, -ENOENT: no such process; -EBADMSG: /proc does not look as it should. */
int usage_read(pid_t pid, struct usage *ret_usage);

/* The times, and the memory if it is asked for. */
int usage_read_now(pid_t pid, bool memory, struct usage *ret_usage);

/* Processor time of the process alone, to the nanosecond, by its clock and not by /proc; 0: it cannot be had. */
uint64_t usage_own_time_us(pid_t pid);

/* Whether it is at its end, which takes the kernel as long as it has memory to give back. False also for one of which only
 * the first thread has ended. */
bool usage_is_exiting(pid_t pid);

/* Anonymous and shared memory in kB, each page divided by the number of processes that map it: exact where
 * processes share memory, but slow (the kernel walks all of it). */
int usage_read_share(pid_t pid, uint64_t *ret_anonymous_kb, uint64_t *ret_shared_kb);

/* All that the process has resident, each page divided by the number of processes that map it, and what no other
 * process maps: both in kB, and as slow. */
int usage_read_memory(pid_t pid, uint64_t *ret_pss_kb, uint64_t *ret_private_kb);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* limit.h - what one call may use, and whether its processes use more. Sampled from outside (proc(5)), so that
 * nothing the program says or does to itself can influence the result.
 */
#ifndef PINFOLD_LIMIT_H
#define PINFOLD_LIMIT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "process/usage.h"

/* 0: no bound. All count the worker and all its descendants. */
struct limits {
    /* Anonymous and shared memory in use, and files in memory that the processes hold open or have in a view of
     * their own, and page tables. Without memory shared with the template or with a file on a disk. */
    uint64_t memory_bytes;
    uint64_t cpu_ns;    /* user and system time */
    uint32_t processes; /* living at once, the worker included */
};

/* What the tree of one worker used at the last look. */
struct limit_use {
    uint64_t memory_bytes;
    uint64_t cpu_ns;
    uint32_t processes;
    uint64_t below_peak_kb; /* of the largest descendant; 0 without a bound on memory */
    int failure;            /* if LIMIT_UNSEEN: a negative errno */
};

/* What the looks of one call keep between them. Zero, except `in_view`, before the first. */
struct limit_watch {
    bool in_view;            /* the worker has its own mounts, a scratch directory in memory among them */
    bool looked;             /* the scratch directory was looked for */
    int scratch;             /* its descriptor if `looked`; -1: none */
    struct limit_seen *seen; /* the processes of the last look */
    uint32_t n_seen;
    uint64_t last_started; /* a process that starts now has this number or a higher one */
    uint64_t lost_us;      /* processor time of dead processes that nobody waited for */
    uint64_t owed_us;      /* the same, of the last look only: half of a wait may be missing */
    uint64_t spare_us;     /* the other half, seen early */
};

/* Free what the watch holds. */
void limit_forget(struct limit_watch *watch);

#define LIMIT_SAMPLE_NS (20 * INT64_C(1000000))

enum limit_hit { LIMIT_NONE, LIMIT_MEMORY, LIMIT_CPU, LIMIT_PROCESSES, LIMIT_UNSEEN };

/* Examine the worker and all its descendants. `watch` belongs to the call. `inherited_bytes` of the memory are
 * the template's; `cpu_before_ns` were used before this call. Return the first limit that is passed, in the
 * order memory, cpu, processes. LIMIT_UNSEEN: none seen, but this process lacked a descriptor or memory for a
 * part. The work is bounded: of a tree larger than the limit on processes (or 4096), the rest is not examined. */
enum limit_hit limit_look(pid_t worker, const struct limits *limits, struct limit_watch *watch,
                          uint64_t inherited_bytes, uint64_t cpu_before_ns, struct limit_use *ret_use);

/* Add the processor time of all descendants that live, or that nobody has waited for, and the peak of the largest.
 */
void limit_add_below(pid_t worker, struct usage *usage);

/* Return whether any limit is set. */
bool limit_any(const struct limits *limits);

#endif

/* limit.h - what one call may use, and whether its processes have used more. Sampled from outside (proc(5)), so
 * that nothing the program says or does to itself has a part in the answer.
 */
#ifndef PINFOLD_LIMIT_H
#define PINFOLD_LIMIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "usage.h"

/* 0: no bound. All count the worker and every descendant of it. */
struct limits {
    uint64_t
        memory_bytes; /* anonymous and shared memory in use, and what files in memory take that they hold open, or in a
                              view of their own; and page tables; not what is shared with the template or a file on a disk */
    uint64_t cpu_ns;    /* user and system time */
    uint32_t processes; /* that live at once, the worker among them */
};

/* What the tree of one worker held at the last look. */
struct limit_use {
    uint64_t memory_bytes;
    uint64_t cpu_ns;
    uint32_t processes;
    uint64_t below_peak_kb; /* of the one below the worker that had most; 0 without a bound on memory */
    int failure;            /* LIMIT_UNSEEN: a negative errno */
};

/* What one call's looks have to know of one another. Zero, but for `in_view`, before the first. */
struct limit_watch {
    bool in_view;            /* the worker has mounts of its own, and its scratch directory is memory among them */
    bool looked;             /* for that */
    int scratch;             /* a descriptor of it, once it was looked for; -1: there is none */
    struct limit_seen *seen; /* the processes of the last look */
    uint32_t n_seen;
    uint64_t last_started; /* a process that starts now has a higher number, or the same */
    uint64_t lost_us;      /* processor time of processes that are gone, and that nobody has waited for */
    uint64_t owed_us;      /* the same of the last look: it may have been told of half of a wait */
    uint64_t spare_us;     /* and what it was told of the other half */
};

/* Frees what it holds. */
void limit_forget(struct limit_watch *watch);

#define LIMIT_SAMPLE_NS (20 * INT64_C(1000000))

enum limit_hit { LIMIT_NONE, LIMIT_MEMORY, LIMIT_CPU, LIMIT_PROCESSES, LIMIT_UNSEEN };

/* Looks at the worker and all below it. `watch` is the call's own. `inherited_bytes` of its memory are its template's; `cpu_before_ns` it had
 * used before this call. Returns which limit is passed, the first of memory, cpu, processes; LIMIT_UNSEEN: none,
 * as far as this process could see, which had no descriptor or no memory for a part of it. Bounded work: of a tree
 * larger than the limit on processes (or 4096) the rest is not looked at. */
enum limit_hit limit_look(pid_t worker, const struct limits *limits, struct limit_watch *watch,
                          uint64_t inherited_bytes, uint64_t cpu_before_ns, struct limit_use *ret_use);

/* Adds the processor time of all below the worker that live, or that nobody has waited for, and the peak of the largest. */
void limit_add_below(pid_t worker, struct usage *usage);

/* Whether there is anything to look for. */
bool limit_any(const struct limits *limits);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* sweep.h - find and kill the orphans of this process, a subreaper (prctl(2), PR_SET_CHILD_SUBREAPER), and orphans
 * reparented elsewhere because every process meant to sweep them was killed.
 *
 * A child that only the caller reaps keeps its pid until then, so it can be killed by that pid. Deeper descendants
 * are killed by pidfd, after a proof that the pidfd names a descendant, since their pids may be reused at any
 * moment. Nothing here allocates memory; all of it reads proc(5).
 */
#ifndef PINFOLD_SWEEP_H
#define PINFOLD_SWEEP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define SWEEP_FOREVER __LONG_LONG_MAX__

typedef void sweep_visit(pid_t pid, void *data);

/* Open the list of the calling thread's children (proc(5), /proc/[pid]/task/[tid]/children) for sweep_read,
 * which can read it repeatedly. For a single-threaded process that looks often. Returns a negative errno:
 * -ENOENT if the kernel has no such files. */
int sweep_open(void);
int sweep_read(int list, sweep_visit *visit, void *data);

/* Call visit(pid, data) for each child of any thread of this process. Zombies count. The visitor must not reap.
 * Return 0, or a negative errno: some children may have been missed. */
int sweep_children(sweep_visit *visit, void *data);

/* As sweep_children, for any process, as far as its children are visible. */
int sweep_children_of(pid_t parent, sweep_visit *visit, void *data);

#define SWEEP_TRACKER_NS 500000000ll

/* Resource trackers (multiprocessing's, loky's) unlink what their owner left in /dev/shm, once every process
 * that holds the other end of their pipe is dead. Spare each tracker for grace_ns after a sweep first sees it;
 * 0: spare none. A process counts as a tracker if it ignores or blocks both SIGINT and SIGTERM, which the
 * kernel reports without any wait. Others that do so gain that time, too; a sweep spares a few at most. */
void sweep_spare_trackers(long long grace_ns);

/* Return whether the process is spared now. */
bool sweep_spares(pid_t pid);

/* sweep_begin marks the start of a sweep. sweep_may_kill_groups returns whether that sweep may kill whole
 * process groups: not while a tracker may be in them, unseen or spared. */
void sweep_begin(void);
bool sweep_may_kill_groups(void);

/* Send SIGKILL to the child, to its process group unless that is the caller's, and to what is seen below the
 * child now. The work is bounded: of a large tree a part is killed, and the rest is reparented to the caller as
 * that part dies. Repeat it for all children until none is left. *last_group is 0 at the start of a look at all
 * children; it keeps a group from being killed once for each member. */
void sweep_kill_tree(pid_t child, pid_t *last_group);

/* Kill everything below the child, but not the child, until nothing there is alive or timeout_ns passed. A
 * child that is a subreaper keeps its descendants' orphans, so that nothing is lost if this process dies
 * meanwhile. */
void sweep_below(pid_t child, long long timeout_ns);

/* Kill and reap until this process has no child left, or until timeout_ns passed (-ETIMEDOUT). */
int sweep_all(long long timeout_ns);

/* Choose a mark for this process's children and all that they start: a value of RLIMIT_LOCKS, which the kernel
 * has kept without a use since Linux 2.4.25 (getrlimit(2)). It is inherited over fork and exec, an unprivileged
 * process cannot raise it, and any process of the same user can read it. The mark is below the present one, so
 * that a pool within a pool can mark, too. 0: no mark is available. */
uint64_t sweep_new_mark(void);

/* sweep_tag tags the calling process and all that it starts with a nonzero number: the soft limit, below the
 * mark. A process may set it again to anything below. sweep_tag_of returns a process's tag: 0 if it has none,
 * or cannot be read. */
void sweep_tag(uint64_t tag);
uint64_t sweep_tag_of(pid_t pid);

/* Mark the calling process. -EPERM: not possible, since its own mark is lower. */
int sweep_mark(uint64_t mark);

/* Kill once whatever carries the mark, wherever it is, and reap it if it is a child of this process. Return how
 * many were alive. A fork may have escaped, so repeat this until it returns 0. A negative errno: /proc cannot
 * be read at present. */
int sweep_marked(uint64_t mark);

#endif

/* sweep.h - find and kill the processes that fell to this one, a subreaper (prctl(2), PR_SET_CHILD_SUBREAPER), and those
 * that fell to another because all who were to sweep them were killed.
 *
 * A child of the caller that only the caller reaps keeps its pid until then, so it can be killed by that pid. What
 * lies deeper is killed by pidfd, after a proof that the pidfd names a descendant: its pid may be used again at
 * any moment. Nothing here allocates memory; all of it reads proc(5).
 */
#ifndef PINFOLD_SWEEP_H
#define PINFOLD_SWEEP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define SWEEP_FOREVER __LONG_LONG_MAX__

typedef void sweep_visit(pid_t pid, void *data);

/* Opens the list of the calling thread's children (proc(5), /proc/[pid]/task/[tid]/children), which sweep_read
 * reads again and again, for a process with a single thread that looks often. A negative errno: -ENOENT when the
 * kernel has no such files. */
int sweep_open(void);
int sweep_read(int list, sweep_visit *visit, void *data);

/* Calls visit(pid, data) for each child of this process, of all its threads. A child that is dead and not reaped
 * yet counts. The visitor must not reap. 0, or a negative errno: some may not have been seen. */
int sweep_children(sweep_visit *visit, void *data);

/* The same for the children of any process, as far as they may be seen. */
int sweep_children_of(pid_t parent, sweep_visit *visit, void *data);

#define SWEEP_TRACKER_NS 500000000ll

/* Resource trackers (multiprocessing's, loky's) unlink what their owner has left in /dev/shm, once all are dead that hold
 * the other end of their pipe. From now on each is spared for so long after a sweep has seen it first; 0: none is. A
 * tracker is told by its ignoring or blocking both SIGINT and SIGTERM: the kernel's word, for which nobody has to be waited
 * for. Another process that does gains that time, and a sweep spares a few at most. */
void sweep_spare_trackers(long long grace_ns);

/* Whether it is spared yet. */
bool sweep_spares(pid_t pid);

/* A sweep begins. And whether whole process groups may be killed in it: not while a tracker may be in them, unseen or
 * spared. */
void sweep_begin(void);
bool sweep_may_kill_groups(void);

/* Sends SIGKILL to the child, to its process group unless that is the caller's, and to what is below the child, as
 * seen now. The work is bounded: of a large tree a part is killed, and the rest falls to the caller when that part
 * dies, so whoever repeats this for all children until none is left gets them all. *last_group is 0 at the start of
 * a look at all children; it keeps a group from being killed once for each of its members. */
void sweep_kill_tree(pid_t child, pid_t *last_group);

/* Kills what is below the child, but not the child, until nothing alive is, or until timeout_ns passed. A child that
 * is a subreaper itself keeps what its own descendants leave behind, so that nothing is lost if this process dies in
 * the middle of it. */
void sweep_below(pid_t child, long long timeout_ns);

/* Kills and reaps until this process has no child left, or until timeout_ns passed (-ETIMEDOUT). */
int sweep_all(long long timeout_ns);

/* A mark that this process's children, and all that they start, carry: a value of RLIMIT_LOCKS, which the kernel has
 * kept since Linux 2.4.25 without a use for it (getrlimit(2)). It goes from process to process by fork and exec, an
 * unprivileged one cannot raise it again, and any process of the same user can be asked for it. Below the present one,
 * so that a pool within a pool can mark, too. 0: none can be had. */
uint64_t sweep_new_mark(void);

/* Tags the calling process, and all that it starts, with a number other than 0: the limit proper below that mark, which a
 * process may set again, in the whole range below. And the tag of a process: 0 if it has none, or cannot be asked. */
void sweep_tag(uint64_t tag);
uint64_t sweep_tag_of(pid_t pid);

/* Marks the calling process. -EPERM: it may not, since its own mark is lower. */
int sweep_mark(uint64_t mark);

/* Kills whatever carries the mark, wherever it is, once; and reaps it if it fell to this process. How many were found alive: a fork may have escaped, so that it
 * is to be repeated until this is 0. A negative errno: nothing can be seen at present. */
int sweep_marked(uint64_t mark);

#endif

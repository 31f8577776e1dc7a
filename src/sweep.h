/* sweep.h - find and kill the processes that fell to this one, a subreaper (prctl(2), PR_SET_CHILD_SUBREAPER).
 *
 * Every process named here is a child of the caller that only the caller reaps, so its pid cannot be used again
 * between the look and the kill.
 */
#ifndef PINFOLD_SWEEP_H
#define PINFOLD_SWEEP_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Calls visit(pid, data) for each child of this process, of all its threads. */
int sweep_children(void (*visit)(pid_t pid, void *data), void *data);

/* Sends SIGKILL to the child and to everything below it, as seen now. */
void sweep_kill_tree(pid_t child);

/* Kills and reaps until this process has no child left, or until timeout_ns passed (-ETIMEDOUT). */
int sweep_all(long long timeout_ns);

#endif

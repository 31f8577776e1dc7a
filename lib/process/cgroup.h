/* cgroup.h - a control group of its own for each worker (cgroup v2): the kernel bounds its memory exactly, files
 * without a name and all, and kills everything in it at once.
 *
 * The pool is given a directory whose children have the controllers "memory" and "pids". It makes one child for each
 * worker, named by the worker's id; the worker moves itself there before it takes a call, since moving another
 * process can take the kernel milliseconds. All but cgroup_open and cgroup_make do what can be done, and say nothing.
 */
#ifndef PINFOLD_CGROUP_H
#define PINFOLD_CGROUP_H

#include <pinfold.h>
#include <stdbool.h>

struct cgroup {
    int fd;                                     /* the directory; -1: there is none, and the rest does nothing */
    char (*left)[PINFOLD_WORKER_ID_LENGTH + 1]; /* children that could not be removed yet */
    uint32_t n_left, capacity;
};

int cgroup_open(struct cgroup *cgroup, const char *path, pinfold_error *error);
void cgroup_close(struct cgroup *cgroup);

int cgroup_make(struct cgroup *cgroup, const char *id);

/* What the worker and all below it may use from now on; 0: no bound. */
void cgroup_limit(const struct cgroup *cgroup, const char *id, uint64_t memory_bytes, uint32_t processes);

/* Kills all that is in it. */
void cgroup_kill(const struct cgroup *cgroup, const char *id);

/* Whether the kernel killed it for its memory, and how much it had at most. */
bool cgroup_ran_out(const struct cgroup *cgroup, const char *id, uint64_t *ret_peak_bytes);

/* Removes it, now or when it is empty. */
void cgroup_remove(struct cgroup *cgroup, const char *id);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* cgroup.h - a control group for each worker (cgroup v2): the kernel bounds its memory exactly, unnamed files
 * included, and kills everything in it at once.
 *
 * The pool is given a directory whose children have the controllers "memory" and "pids". It makes one child for
 * each worker, named by the worker's id. The worker moves itself there before it takes a call, since moving
 * another process can take the kernel milliseconds. All functions but cgroup_open and cgroup_make are best effort
 * and report no error.
 */
#ifndef PINFOLD_CGROUP_H
#define PINFOLD_CGROUP_H

#include <pinfold.h>
#include <stdbool.h>

struct cgroup {
    int fd;                                     /* the directory; -1: none, and all functions do nothing */
    char (*left)[PINFOLD_WORKER_ID_LENGTH + 1]; /* children to be removed later */
    uint32_t n_left, capacity;
};

int cgroup_open(struct cgroup *cgroup, const char *path, pinfold_error *error);
void cgroup_close(struct cgroup *cgroup);

int cgroup_make(struct cgroup *cgroup, const char *id);

/* Set what the worker and all its descendants may use from now on. 0: no bound. */
void cgroup_limit(const struct cgroup *cgroup, const char *id, uint64_t memory_bytes, uint32_t processes);

/* Kill everything in the group. */
void cgroup_kill(const struct cgroup *cgroup, const char *id);

/* Return whether the kernel killed the group for its memory, and how much it used at most. */
bool cgroup_ran_out(const struct cgroup *cgroup, const char *id, uint64_t *ret_peak_bytes);

/* Remove the group, now or once it is empty. */
void cgroup_remove(struct cgroup *cgroup, const char *id);

#endif

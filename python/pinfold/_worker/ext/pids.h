/* SPDX-License-Identifier: Apache-2.0 */
/* pids.h - maps a worker's pid to its number; lookup, insertion and removal take constant time. */
#ifndef PINFOLD_PIDS_H
#define PINFOLD_PIDS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct pids_entry {
    pid_t pid; /* 0: free */
    uint64_t number;
};

struct pids {
    struct pids_entry *entries;
    uint32_t capacity; /* a power of two, or 0 */
    uint32_t used;
};

/* Make room for one more entry, so that the next pids_add cannot fail. 0 or -ENOMEM. */
int pids_reserve(struct pids *pids);
void pids_add(struct pids *pids, pid_t pid, uint64_t number);

bool pids_has(const struct pids *pids, pid_t pid);

/* Remove the pid. False: it is not in the table. */
bool pids_take(struct pids *pids, pid_t pid, uint64_t *ret_number);

#endif

/* pids.h - which worker a pid is: found, added and removed in a time that does not grow with their number. */
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

/* Makes room for one more, so that the next pids_add cannot fail. -ENOMEM. */
int pids_reserve(struct pids *pids);
void pids_add(struct pids *pids, pid_t pid, uint64_t number);

bool pids_has(const struct pids *pids, pid_t pid);

/* Forgets the pid. False if it is not there. */
bool pids_take(struct pids *pids, pid_t pid, uint64_t *ret_number);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* pids.c - an open-addressing hash table from the pids of workers to their numbers. */
#include "pids.h"

#include <errno.h>
#include <stdlib.h>

static uint32_t wanted(const struct pids *pids, pid_t pid)
{
    return ((uint32_t)pid * UINT32_C(2654435769) >> 7) & (pids->capacity - 1); /* Knuth's multiplicative hash */
}

/* Return the pid's entry, or the free one where it belongs. The table always has a free entry. */
static struct pids_entry *entry_of(const struct pids *pids, pid_t pid)
{
    uint32_t at = wanted(pids, pid);
    while (pids->entries[at].pid && pids->entries[at].pid != pid)
        at = (at + 1) & (pids->capacity - 1);
    return &pids->entries[at];
}

int pids_reserve(struct pids *pids)
{
    if (2 * (pids->used + 1) <= pids->capacity)
        return 0;
    struct pids grown = {.capacity = pids->capacity ? 2 * pids->capacity : 64};
    grown.entries = calloc(grown.capacity, sizeof(*grown.entries));
    if (!grown.entries)
        return -ENOMEM;
    for (uint32_t at = 0; at < pids->capacity; at++)
        if (pids->entries[at].pid)
            pids_add(&grown, pids->entries[at].pid, pids->entries[at].number);
    free(pids->entries);
    *pids = grown;
    return 0;
}

void pids_add(struct pids *pids, pid_t pid, uint64_t number)
{
    *entry_of(pids, pid) = (struct pids_entry){pid, number};
    pids->used++;
}

bool pids_has(const struct pids *pids, pid_t pid)
{
    return pids->used > 0 && entry_of(pids, pid)->pid == pid;
}

bool pids_take(struct pids *pids, pid_t pid, uint64_t *ret_number)
{
    if (!pids_has(pids, pid))
        return false;
    struct pids_entry *gone = entry_of(pids, pid);
    *ret_number = gone->number;
    gone->pid = 0;
    pids->used--;
    /* Move up the entries that collisions pushed past this one, so that no search ends at the gap. */
    uint32_t mask = pids->capacity - 1, gap = (uint32_t)(gone - pids->entries);
    for (uint32_t at = (gap + 1) & mask; pids->entries[at].pid; at = (at + 1) & mask) {
        if (((at - wanted(pids, pids->entries[at].pid)) & mask) < ((at - gap) & mask))
            continue;
        pids->entries[gap] = pids->entries[at];
        pids->entries[at].pid = 0;
        gap = at;
    }
    return true;
}

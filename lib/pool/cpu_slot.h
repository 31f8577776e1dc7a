/* cpu_slot.h - the CPU slots of a pool with PINFOLD_CPU_SLOTS: 1 .. max_workers, at most one living worker each.
 *
 * A worker gets a slot with its first call and keeps it until it is gone, not only until the call ends: what a dying
 * process still does, it does on its own CPUs, not where the next call runs. Under the pool's lock.
 */
#ifndef PINFOLD_CPU_SLOT_H
#define PINFOLD_CPU_SLOT_H

#include <stdbool.h>
#include <stdint.h>

/* Gives `*slot` the lowest free slot of `n`, unless it is nonzero already. False: none is free. */
static inline bool cpu_slot_take(bool *used, uint32_t n, uint32_t *slot)
{
    for (uint32_t i = 1; !*slot && i <= n; i++) {
        if (!used[i - 1]) {
            used[i - 1] = true;
            *slot = i;
        }
    }
    return *slot > 0;
}

/* Frees the slot, if there is one. */
static inline void cpu_slot_release(bool *used, uint32_t *slot)
{
    if (*slot)
        used[*slot - 1] = false;
    *slot = 0;
}

#endif

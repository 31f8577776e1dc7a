/* SPDX-License-Identifier: Apache-2.0 */
/* cpu_slot.h - the CPU slots of a pool with PINFOLD_CPU_SLOTS: 1 .. max_workers, for at most one living worker
 * each.
 *
 * A worker gets a slot with its first call and keeps it until it is gone, not only until the call ends. So a dying
 * process uses its own CPUs, not those of the next call. Under the pool's lock.
 */
#ifndef PINFOLD_CPU_SLOT_H
#define PINFOLD_CPU_SLOT_H

#include <stdbool.h>
#include <stdint.h>

/* Set `*slot` to the lowest free slot of `n`, unless it is nonzero already. False: none is free. */
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

/* Free the slot, if any. */
static inline void cpu_slot_release(bool *used, uint32_t *slot)
{
    if (*slot)
        used[*slot - 1] = false;
    *slot = 0;
}

#endif

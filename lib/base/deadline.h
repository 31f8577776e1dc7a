/* SPDX-License-Identifier: Apache-2.0 */
/* deadline.h - a binary heap of deadlines: the earliest is found in O(1), setting or dropping one costs O(log
 * n). */
#ifndef PINFOLD_DEADLINE_H
#define PINFOLD_DEADLINE_H

#include <stdint.h>

/* Embedded in the object that it times. All zero but `passed`: not set. */
struct deadline {
    int64_t due;   /* CLOCK_MONOTONIC, ns */
    uint32_t slot; /* index in the heap, counted from 1; 0: not in the heap */
    void (*passed)(void *context,
                   struct deadline *deadline); /* for the heap's user, who calls it when it is due */
};

struct deadline_heap {
    struct deadline **items;
    uint32_t n;
    uint32_t capacity;
};

/* Make room for n deadlines, so that deadline_set cannot fail for up to n. Return 0 or -ENOMEM. */
int deadline_reserve(struct deadline_heap *heap, uint32_t n);

/* Set the deadline, or move one that is already set. */
void deadline_set(struct deadline_heap *heap, struct deadline *deadline, int64_t due);

/* Remove the deadline from the heap. Does nothing if it is not set. */
void deadline_drop(struct deadline_heap *heap, struct deadline *deadline);

/* Return the earliest deadline, or NULL. */
struct deadline *deadline_first(const struct deadline_heap *heap);

void deadline_heap_free(struct deadline_heap *heap);

#endif

/* deadline.h - deadlines in a binary heap: the next one is at hand, setting or dropping one costs O(log n). */
#ifndef PINFOLD_DEADLINE_H
#define PINFOLD_DEADLINE_H

#include <stddef.h>
#include <stdint.h>

/* Lies inside the object whose deadline it is. Zeroed: not set. `kind` is the owner's business. */
struct deadline {
    int64_t due;   /* CLOCK_MONOTONIC, ns */
    uint32_t slot; /* place in the heap, counted from 1; 0: not in it */
    uint32_t kind;
};

struct deadline_heap {
    struct deadline **items;
    uint32_t n;
    uint32_t capacity;
};

/* Makes room for n deadlines, so that deadline_set cannot fail for so many. 0 or -ENOMEM. */
int deadline_reserve(struct deadline_heap *heap, uint32_t n);

/* Sets the deadline, or moves one that is set. */
void deadline_set(struct deadline_heap *heap, struct deadline *deadline, int64_t due);

/* Takes it out; one that is not set stays so. */
void deadline_drop(struct deadline_heap *heap, struct deadline *deadline);

/* The earliest, or NULL. */
struct deadline *deadline_first(const struct deadline_heap *heap);

void deadline_heap_free(struct deadline_heap *heap);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* deadline.c - sifting in the heap of deadlines (deadline.h). */
#include "base/deadline.h"

#include "base/util.h"

int deadline_reserve(struct deadline_heap *heap, uint32_t n)
{
    if (n <= heap->capacity)
        return 0;
    uint32_t capacity = heap->capacity ? heap->capacity : 64;
    while (capacity < n)
        capacity *= 2;
    struct deadline **items = reallocarray(heap->items, capacity, sizeof(struct deadline *));
    if (!items)
        return -ENOMEM;
    heap->items = items;
    heap->capacity = capacity;
    return 0;
}

static void heap_set(struct deadline_heap *heap, uint32_t slot, struct deadline *deadline)
{
    heap->items[slot - 1] = deadline;
    deadline->slot = slot;
}

/* Move the deadline from the free slot towards the root or the leaves until the heap is in order. */
static void sift(struct deadline_heap *heap, uint32_t slot, struct deadline *deadline)
{
    while (slot > 1 && deadline->due < heap->items[slot / 2 - 1]->due) {
        heap_set(heap, slot, heap->items[slot / 2 - 1]);
        slot /= 2;
    }
    for (;;) {
        uint32_t child = 2 * slot;
        if (child > heap->n)
            break;
        if (child < heap->n && heap->items[child]->due < heap->items[child - 1]->due)
            child++;
        if (deadline->due <= heap->items[child - 1]->due)
            break;
        heap_set(heap, slot, heap->items[child - 1]);
        slot = child;
    }
    heap_set(heap, slot, deadline);
}

void deadline_set(struct deadline_heap *heap, struct deadline *deadline, int64_t due)
{
    deadline->due = due;
    sift(heap, deadline->slot ? deadline->slot : ++heap->n, deadline);
}

void deadline_drop(struct deadline_heap *heap, struct deadline *deadline)
{
    if (!deadline->slot)
        return;
    uint32_t slot = deadline->slot;
    struct deadline *last = heap->items[--heap->n];
    deadline->slot = 0;
    if (last != deadline)
        sift(heap, slot, last);
}

struct deadline *deadline_first(const struct deadline_heap *heap)
{
    return heap->n ? heap->items[0] : NULL;
}

void deadline_heap_free(struct deadline_heap *heap)
{
    free(heap->items);
    *heap = (struct deadline_heap){0};
}

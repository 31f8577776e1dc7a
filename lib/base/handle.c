/* SPDX-License-Identifier: Apache-2.0 */
/* handle.c - the table behind handles, with a list of free slots (handle.h). */
#include "base/handle.h"

#include "base/util.h"

#define SLOT_MASK ((UINT64_C(1) << HANDLE_SLOT_BITS) - 1)

static int handle_table_grow(struct handle_table *table)
{
    uint32_t capacity = table->capacity ? table->capacity * 2 : 64;
    if (capacity > SLOT_MASK)
        return -ENOSPC;
    struct handle_slot *slots = reallocarray(table->slots, capacity, sizeof(*slots));
    if (!slots)
        return -ENOMEM;
    memset(slots + table->capacity, 0, (capacity - table->capacity) * sizeof(*slots));
    table->slots = slots;
    table->capacity = capacity;
    return 0;
}

int handle_new(struct handle_table *table, void *object, uint64_t *ret_handle)
{
    uint32_t at;
    if (table->free) {
        at = table->free - 1;
        table->free = table->slots[at].next_free;
    } else {
        int r = table->used < table->capacity ? 0 : handle_table_grow(table);
        if (r < 0)
            return r;
        at = table->used++;
    }
    struct handle_slot *slot = &table->slots[at];
    slot->object = object;
    slot->uses++;
    table->n++;
    *ret_handle = slot->uses << HANDLE_SLOT_BITS | at;
    return 0;
}

static struct handle_slot *handle_find(const struct handle_table *table, uint64_t handle)
{
    uint64_t at = handle & SLOT_MASK;
    if (at >= table->used)
        return NULL;
    struct handle_slot *slot = &table->slots[at];
    return slot->object && slot->uses == handle >> HANDLE_SLOT_BITS ? slot : NULL;
}

void *handle_get(const struct handle_table *table, uint64_t handle)
{
    struct handle_slot *slot = handle_find(table, handle);
    return slot ? slot->object : NULL;
}

void handle_drop(struct handle_table *table, uint64_t handle)
{
    struct handle_slot *slot = handle_find(table, handle);
    if (!slot)
        return;
    slot->object = NULL;
    slot->next_free = table->free;
    table->free = (uint32_t)(handle & SLOT_MASK) + 1;
    table->n--;
}

void *handle_each(const struct handle_table *table, uint32_t *at)
{
    while (*at < table->used) {
        void *object = table->slots[(*at)++].object;
        if (object)
            return object;
    }
    return NULL;
}

void handle_table_free(struct handle_table *table)
{
    free(table->slots);
    *table = (struct handle_table){0};
}

/* SPDX-License-Identifier: Apache-2.0 */
/* handle.h - numbers for objects: looked up in O(1) and never reused, so that a stale number finds nothing. */
#ifndef PINFOLD_HANDLE_H
#define PINFOLD_HANDLE_H

#include <stdint.h>

#define HANDLE_SLOT_BITS 26
#define HANDLE_BITS 61 /* a handle leaves the three highest bits free */

struct handle_slot {
    void *object;       /* NULL: free */
    uint64_t uses;      /* of the slot so far; part of its handles */
    uint32_t next_free; /* counted from 1; 0: none */
};

struct handle_table {
    struct handle_slot *slots;
    uint32_t capacity;
    uint32_t used; /* slots ever used */
    uint32_t free; /* first free slot, counted from 1; 0: none */
    uint32_t n;    /* objects in the table */
    /* For the table's user: `source`, a descriptor of the object, is readable. */
    void (*ready)(void *context, void *object, unsigned source);
};

/* Give the object a handle, which is never 0. -ENOMEM; -ENOSPC: the table holds 2^25 objects. */
int handle_new(struct handle_table *table, void *object, uint64_t *ret_handle);

/* Return the object, or NULL if the handle is unknown or was dropped. */
void *handle_get(const struct handle_table *table, uint64_t handle);

/* Remove the handle from the table. */
void handle_drop(struct handle_table *table, uint64_t handle);

/* Return the first object whose slot is `*at` or later, and move *at past it. Return NULL at the end. */
void *handle_each(const struct handle_table *table, uint32_t *at);

void handle_table_free(struct handle_table *table);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* box.h - shared by the files of the extension _box, which sandboxes a worker from the inside.
 *
 * Theory of operation. Before the first fork the template builds what all its workers share: the filter of system
 * calls (filter.c), and for "strict" the view (view.c). The guard makes the namespaces for the view. Each worker,
 * while single-threaded, takes over a Landlock ruleset (box_slot.h) or drafts one (landlock.c) ahead of its call.
 * When it knows what its call may read and where its scratch directory is, it closes the box, and nothing opens it
 * again.
 */
#ifndef PINFOLD_BOX_H
#define PINFOLD_BOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../walls/walls.h"

/* filter.c */
enum filter_kind {
    FILTER_STANDARD,
    FILTER_STRICT,
    FILTER_STRICT_FIRST,   /* the template's: leaves workers what they need to enter their mounts */
    FILTER_STRICT_REST,    /* the worker's, loaded above it: the two equal FILTER_STRICT */
    FILTER_STANDARD_FIRST, /* likewise: leaves the template what it clears scratch directories with */
    FILTER_STANDARD_REST,
};
/* `abi`: Landlock's; the filter replaces what an old one lacks. `reused`: the worker runs more than one call. */
int filter_new(enum filter_kind kind, bool network, int abi, bool reused, struct filter **ret_filter);
void filter_free(struct filter *filter);

/* view.c: requires CAP_SYS_ADMIN over the mount namespace. */
int view_open(const char *root); /* mounts an empty root on an existing directory */
enum view_kind {
    VIEW_READ,
    VIEW_DEVICE,
    VIEW_STILL, /* as VIEW_READ, if no file of the directory is replaced meanwhile: an overlay, where possible,
                 * keeps its sockets and locks apart from those outside */
};
int view_show(const char *root, const char *path, enum view_kind kind); /* at the same path below root */
/* Mount /proc twice: whole for the template, and for workers with the processes that they could trace and with
 * `shown` only, which are names below /proc. */
int view_proc(const char *root, const char *const *shown, size_t n);
int view_enter(const char *root); /* the old root stays at VIEW_OUTSIDE, for the workers' own namespaces */
/* Enter a new mount namespace, made from the current one, or from the one behind the descriptor `back` (else -1).
 * In it only the scratch directory can be changed. */
int view_part(int back, const char *const *paths, size_t n, const char *scratch, uint64_t scratch_bytes);
#define VIEW_OUTSIDE "/.outside"

#endif

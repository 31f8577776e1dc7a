/* box.h - what the files of the extension _box share: the walls around a worker, and what they are made of.
 *
 * Theory of operation. Before the first fork the template builds what all its workers share: the filter of system
 * calls (filter.c), and for "strict", in namespaces that the guard has put it in, a root of its own (view.c).
 * Each worker, while it has one thread, takes over a Landlock ruleset (box_slot.h) or drafts one (landlock.c) ahead of
 * its call; when it knows what its call may read and where its scratch directory is, it closes the box, and nothing
 * opens it again.
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
    FILTER_STRICT_FIRST, /* in the template: leaves a worker its mounts, and what is to be given up after them */
    FILTER_STRICT_REST,  /* in the worker, above it: takes just that, and makes the two as good as FILTER_STRICT */
    FILTER_STANDARD_FIRST, /* the same: leaves the template what it clears scratch directories with */
    FILTER_STANDARD_REST,
};
/* `abi`: of Landlock, which the filter stands in for where it is too old. `reused`: it is for more than one call. */
int filter_new(enum filter_kind kind, bool network, int abi, bool reused, struct filter **ret_filter);
void filter_free(struct filter *filter);

/* view.c: needs CAP_SYS_ADMIN over the mount namespace. */
int view_open(const char *root); /* an empty root, on an existing directory */
enum view_kind {
    VIEW_READ,
    VIEW_DEVICE,
    VIEW_STILL, /* as VIEW_READ, of a directory in which no file takes another's place meanwhile: out of reach of what is
                 * outside, where that can be had */
};
int view_show(const char *root, const char *path, enum view_kind kind); /* at the same place below root */
/* Two of them: for the template one with all that there is, and for workers one that shows of other processes only those
 * that they could trace, and besides only `shown`, names below /proc. */
int view_proc(const char *root, const char *const *shown, size_t n);
int view_enter(const char *root); /* the old one stays at VIEW_OUTSIDE, for the workers' own namespaces */
/* A mount namespace of its own, made from the current one, or from the one that `back` is a descriptor of (else -1). Of
 * what is in it, only the scratch directory can be changed. */
int view_part(int back, const char *const *paths, size_t n, const char *scratch, uint64_t scratch_bytes);
#define VIEW_OUTSIDE "/.outside"

#endif

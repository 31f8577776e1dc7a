/* SPDX-License-Identifier: Apache-2.0 */
/* walls.h - the system calls that close a box: Landlock, a filter that is compiled already, privileges, limits.
 *
 * The template's loop (../ext) closes the boxes of most fresh workers by these alone, and ../box those of all
 * others. Each returns a negative errno on failure.
 */
#ifndef PINFOLD_WALLS_H
#define PINFOLD_WALLS_H

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

/* landlock.c */
int landlock_draft(int abi, bool network); /* a ruleset that allows nothing yet */
enum landlock_right { LANDLOCK_READ, LANDLOCK_DEVICE, LANDLOCK_ALL };
int landlock_allow(int ruleset, int abi, const char *path, enum landlock_right right);

/* Paths that many workers have in common, looked up once: consecutive descriptors from `first` on. The rulesets of
 * the box slots (box_slot.h) follow them; a worker inherits all of these. */
#define HELD_MAX 256
struct held {
    int first, n;
    unsigned descriptors; /* a worker's limit, see privilege_bound() */
    uint32_t rights[HELD_MAX];
};
int landlock_hold(struct held *held, const char *path, enum landlock_right right);
int landlock_put(int fd, int number); /* duplicates fd to the number; -EBUSY: it is taken */
int landlock_allow_held(int ruleset, int abi, const struct held *held);
#define BOX_SLOTS 32
static inline int box_slot_fd(const struct held *held, int i)
{
    return held->first + held->n + i;
}
void landlock_forget_held(const struct held *held); /* in a worker: closes them, and the rulesets */
int landlock_enforce(int ruleset);                  /* requires no_new_privs */

/* A filter of system calls, compiled (../box/filter.c). */
struct filter {
    struct sock_fprog program;
};
/* Load the filter for this thread and its descendants. Requires no_new_privs. 0 or a negative errno. */
static inline int filter_load(const struct filter *filter)
{
    return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &filter->program) < 0 ? -errno : 0;
}

/* privilege.c */
int privilege_none_new(void);
int privilege_drop(bool bounding); /* all capabilities, for good; `bounding`: also those that an exec could give */
/* Lower, for good, the limits on what the kernel counts per user, so that the caller always has some left. The
 * limit on descriptors becomes `descriptors` at most; open ones stay open. */
int privilege_bound(unsigned descriptors);

#endif

/* walls.h - the system calls that close a box: Landlock, a filter that is compiled already, privileges, limits.
 *
 * The template's loop (../ext) closes the boxes of most fresh workers by these alone, and ../box those of all others.
 * Each returns a negative errno on failure.
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

/* Paths that are the same for many workers, looked up once: descriptors from `first` on, all in one row. Behind them are
 * the rulesets of berths (box_slot.h), which a worker inherits as well. */
#define HELD_MAX 256
struct held {
    int first, n;
    unsigned descriptors; /* that a worker may have, see privilege_bound() */
    uint32_t rights[HELD_MAX];
};
int landlock_hold(struct held *held, const char *path, enum landlock_right right);
int landlock_put(int fd, int number); /* a duplicate of it at a number that is free, or -EBUSY */
int landlock_allow_held(int ruleset, int abi, const struct held *held);
#define BOX_SLOTS 32
static inline int box_slot_fd(const struct held *held, int i)
{
    return held->first + held->n + i;
}
void landlock_forget_held(const struct held *held); /* in a worker: closes them, and the rulesets */
int landlock_enforce(int ruleset);                  /* no new privileges must be set */

/* A filter of system calls, compiled (../box/filter.c). */
struct filter {
    struct sock_fprog program;
};
/* For this thread, and those that come of it; no new privileges must be set. 0 or a negative errno. */
static inline int filter_load(const struct filter *filter)
{
    return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &filter->program) < 0 ? -errno : 0;
}

/* privilege.c */
int privilege_none_new(void);
int privilege_drop(bool bounding); /* all capabilities, for good; `bounding`: what an exec could give, too */
/* Lower, for good, the limits of what the kernel counts for the user as a whole, so that the caller always has some left.
 * At most `descriptors`; those that are open stay open. */
int privilege_bound(unsigned descriptors);

#endif

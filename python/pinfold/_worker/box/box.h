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

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

/* landlock.c. All return a negative errno on failure. */
int landlock_abi(void);                    /* the ABI, from 1, or why there is none */
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

/* filter.c */
struct filter {
    struct sock_fprog program;
};
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
/* Load the filter for this thread and its descendants. Requires no_new_privs. 0 or a negative errno. */
static inline int filter_load(const struct filter *filter)
{
    return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &filter->program) < 0 ? -errno : 0;
}
void filter_free(struct filter *filter);
int filter_probe(void);

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

/* probe.c: return whether this process can have namespaces: 0, or why not, with the failing step in *ret_step. */
int probe_namespaces(int *ret_step);

/* privilege.c */
int privilege_none_new(void);
int privilege_drop(bool bounding); /* all capabilities, for good; `bounding`: also those that an exec could give */
/* Lower, for good, the limits on what the kernel counts per user, so that the caller always has some left. The
 * limit on descriptors becomes `descriptors` at most; open ones stay open. */
int privilege_bound(unsigned descriptors);

#endif

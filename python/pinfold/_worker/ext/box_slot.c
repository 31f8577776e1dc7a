/* SPDX-License-Identifier: Apache-2.0 */
/* box_slot.c - hands out box slots before a fork, and takes them back from dead workers. */
#include "box_slot.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/util.h"
#include "process/scratch.h"
#include "runtime.h"

#define STILL_NS 20000000 /* longer than one step of a file system's clock, which is at most 10 ms */
#define STILL_MAX 16      /* slots lying still at a time, which bounds how many are made */
#define WORKERS_MAX 16    /* workers per ruleset: each adds rules to it */

enum state { NONE, FREE, TAKEN, LEFT };

struct box_slot {
    enum state state;
    pid_t pid;             /* TAKEN, LEFT: the slot's worker */
    bool ruleset;          /* whether the slot's descriptor (box_slot_fd) holds a ruleset */
    unsigned workers;      /* workers that have had this ruleset */
    int64_t ready_ns;      /* FREE: when the directory has lain still long enough */
    struct stat directory; /* its state when the slot was laid out */
};

static struct {
    const struct held *held; /* NULL: there are no slots */
    int abi;
    bool network;
    const struct filter *filter;
    char scratch[PATH_MAX]; /* "": no directories */
    int mine;               /* the next worker's, during a fork; -1: none */
    struct box_slot items[BOX_SLOTS];
} slots = {.mine = -1};

static void name_of(int i, char name[16])
{
    snprintf(name, 16, "b%d", i);
}

/* Network and FUSE file systems may use another clock, or miss changes. */
static bool has_true_times(const char *path)
{
    static const long kinds[] = {BTRFS_SUPER_MAGIC, EXT4_SUPER_MAGIC, OVERLAYFS_SUPER_MAGIC, TMPFS_MAGIC,
                                 XFS_SUPER_MAGIC};
    struct statfs status;
    if (statfs(path, &status) < 0)
        return false;
    for (size_t i = 0; i < COUNT_OF(kinds); i++)
        if (status.f_type == kinds[i])
            return true;
    return false;
}

void box_slots_use(const struct held *held, int abi, bool network, const char *scratch,
                   const struct filter *filter)
{
    if (scratch && (strlen(scratch) >= sizeof(slots.scratch) || !has_true_times(scratch)))
        return;
    strcpy(slots.scratch, scratch ? scratch : "");
    slots.held = held;
    slots.abi = abi;
    slots.network = network;
    slots.filter = filter;
}

static int slot_look(int i, struct stat *ret_status)
{
    char name[16];
    name_of(i, name);
    return fstatat(reserved_fd(RESERVED_SCRATCH), name, ret_status, AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0;
}

/* Note the directory's state. From now on it lies still. */
static int lay(int i)
{
    struct box_slot *slot = &slots.items[i];
    int r = slot_look(i, &slot->directory);
    if (r == 0 && slot->directory.st_ctim.tv_nsec == 0)
        r = -EOPNOTSUPP; /* the file system keeps whole seconds only, it seems, and would hide a change */
    slot->ready_ns = now_ns() + STILL_NS;
    return r;
}

static bool same_time(struct timespec a, struct timespec b)
{
    return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

/* Return whether nothing was done to the directory but listing, whose trace is undone here. */
static bool is_untouched(int i)
{
    struct box_slot *slot = &slots.items[i];
    const struct stat *was = &slot->directory;
    struct stat is;
    if (slot_look(i, &is) < 0 || is.st_dev != was->st_dev || is.st_ino != was->st_ino ||
        is.st_mode != was->st_mode || !same_time(is.st_ctim, was->st_ctim) || !same_time(is.st_mtim, was->st_mtim))
        return false;
    if (same_time(is.st_atim, was->st_atim))
        return true;
    char name[16];
    name_of(i, name);
    const struct timespec times[2] = {was->st_atim, was->st_mtim};
    return utimensat(reserved_fd(RESERVED_SCRATCH), name, times, AT_SYMLINK_NOFOLLOW) == 0 && lay(i) == 0;
}

static void drop_ruleset(int i)
{
    struct box_slot *slot = &slots.items[i];
    if (slot->ruleset)
        close(box_slot_fd(slots.held, i));
    slot->ruleset = false;
}

/* Return true if the directory is in the trash now. */
static bool drop_slot(int i)
{
    drop_ruleset(i);
    slots.items[i].state = NONE;
    if (!*slots.scratch)
        return false;
    char name[16];
    name_of(i, name);
    return scratch_drop(reserved_fd(RESERVED_SCRATCH), name, reserved_fd(RESERVED_TRASH));
}

static void make_slot(int i)
{
    slots.items[i] = (struct box_slot){.state = FREE};
    if (!*slots.scratch)
        return;
    char name[16];
    name_of(i, name);
    if (mkdirat(reserved_fd(RESERVED_SCRATCH), name, 0700) < 0)
        slots.items[i].state = NONE;
    else if (lay(i) < 0)
        drop_slot(i);
}

static void path_of(int i, char path[BOX_SLOT_PATH])
{
    snprintf(path, BOX_SLOT_PATH, "%s/b%d", slots.scratch, i);
}

static int make_ruleset(int i)
{
    _cleanup_close_ int fd = landlock_draft(slots.abi, slots.network);
    if (fd < 0)
        return fd;
    int r = landlock_allow_held(fd, slots.abi, slots.held);
    if (r == 0 && *slots.scratch) {
        char path[BOX_SLOT_PATH];
        path_of(i, path);
        r = landlock_allow(fd, slots.abi, path, LANDLOCK_ALL);
    }
    if (r == 0)
        r = landlock_put(fd, box_slot_fd(slots.held, i));
    if (r < 0)
        return r;
    slots.items[i].ruleset = true;
    slots.items[i].workers = 0;
    return 0;
}

void box_slot_take(void)
{
    slots.mine = -1;
    if (!slots.held)
        return;
    int64_t now = now_ns();
    int found = -1, none = -1, still = 0;
    for (int i = 0; i < BOX_SLOTS && found < 0; i++) {
        const struct box_slot *slot = &slots.items[i];
        if (slot->state == FREE && slot->ready_ns <= now)
            found = i;
        still += slot->state == FREE && slot->ready_ns > now;
        if (slot->state == NONE && none < 0)
            none = i;
    }
    if (found < 0 && none >= 0 && still < STILL_MAX) {
        make_slot(none);
        if (slots.items[none].state == FREE && slots.items[none].ready_ns <= now)
            found = none;
    }
    if (found < 0 || (!slots.items[found].ruleset && make_ruleset(found) < 0))
        return;
    slots.items[found].state = TAKEN;
    slots.items[found].workers++;
    slots.mine = found;
}

void box_slot_given(pid_t pid)
{
    if (slots.mine < 0)
        return;
    struct box_slot *slot = &slots.items[slots.mine];
    slot->pid = pid;
    if (pid < 0)
        slot->state = FREE;
    slots.mine = -1;
}

bool box_slot_left(pid_t pid)
{
    for (int i = 0; i < BOX_SLOTS; i++)
        if (slots.items[i].state == TAKEN && slots.items[i].pid == pid) {
            slots.items[i].state = LEFT;
            return true;
        }
    return false;
}

bool box_slots_recycle(bool last)
{
    bool trash = false;
    for (int i = 0; i < BOX_SLOTS; i++) {
        struct box_slot *slot = &slots.items[i];
        if (slot->state != LEFT)
            continue;
        if (!last || (*slots.scratch && !is_untouched(i))) {
            trash = drop_slot(i) || trash;
            continue;
        }
        slot->state = FREE;
        if (slot->workers >= WORKERS_MAX)
            drop_ruleset(i);
    }
    return trash;
}

int box_slot_own(char ret_name[16])
{
    ret_name[0] = '\0';
    if (slots.mine < 0)
        return -1;
    if (*slots.scratch)
        name_of(slots.mine, ret_name);
    return box_slot_fd(slots.held, slots.mine);
}

static bool is_all_of_the_box(void)
{
    return slots.mine >= 0 && *slots.scratch;
}

int box_slot_draft(void)
{
    if (!is_all_of_the_box())
        return 0;
    int r = landlock_allow(box_slot_fd(slots.held, slots.mine), slots.abi, "/proc/self", LANDLOCK_READ);
    if (r == 0 || r == -ENOENT) /* without /proc the worker lacks one right, no more */
        r = slots.filter ? filter_load(slots.filter) : 0;
    return r < 0 ? r : 1;
}

int box_slot_enter(char ret_directory[BOX_SLOT_PATH])
{
    if (!is_all_of_the_box())
        return 0;
    int r = landlock_enforce(box_slot_fd(slots.held, slots.mine));
    if (r < 0)
        return r;
    landlock_forget_held(slots.held);
    r = privilege_bound(slots.held->descriptors);
    if (r < 0)
        return r;
    path_of(slots.mine, ret_directory);
    return chdir(ret_directory) < 0 ? -errno : 1;
}

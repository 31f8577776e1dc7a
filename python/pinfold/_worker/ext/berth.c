#include "berth.h"

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

#define STILL_NS 20000000 /* longer than a file system's clock stands still: 10 ms at most */
#define STILL_MAX 16      /* that lie still at a time, so that no more are made than are needed */
#define WORKERS_MAX 16    /* that add to one ruleset */

enum state { NONE, FREE, TAKEN, LEFT };

struct berth {
    enum state state;
    pid_t pid;             /* TAKEN, LEFT: whose it is */
    bool ruleset;          /* whether there is one, at its number */
    unsigned workers;      /* that had this ruleset */
    int64_t ready_ns;      /* FREE: when it has lain still for long enough */
    struct stat directory; /* as it shall be found */
};

static struct {
    const struct held *held; /* NULL: there are no berths */
    int abi;
    bool network;
    const struct filter *filter;
    char scratch[PATH_MAX]; /* "": no directories */
    int mine;               /* of the worker that is made; -1: none */
    struct berth berths[BERTHS];
} harbour = {.mine = -1};

static void name_of(int i, char name[16])
{
    snprintf(name, 16, "b%d", i);
}

/* A network's file system, or one of a program, may have another clock, or not tell all changes. */
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

void berth_use(const struct held *held, int abi, bool network, const char *scratch, const struct filter *filter)
{
    if (scratch && (strlen(scratch) >= sizeof(harbour.scratch) || !has_true_times(scratch)))
        return;
    strcpy(harbour.scratch, scratch ? scratch : "");
    harbour.held = held;
    harbour.abi = abi;
    harbour.network = network;
    harbour.filter = filter;
}

static int look(int i, struct stat *ret_status)
{
    char name[16];
    name_of(i, name);
    return fstatat(seat_fd(SEAT_SCRATCH), name, ret_status, AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0;
}

/* Takes note of how the directory is; from now on it lies still. */
static int lay(int i)
{
    struct berth *berth = &harbour.berths[i];
    int r = look(i, &berth->directory);
    if (r == 0 && berth->directory.st_ctim.tv_nsec == 0)
        r = -EOPNOTSUPP; /* whole seconds, it seems: a change would not be seen */
    berth->ready_ns = now_ns() + STILL_NS;
    return r;
}

static bool same_time(struct timespec a, struct timespec b)
{
    return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

/* Whether nothing was done to the directory, but that it may have been listed: that is undone. */
static bool is_untouched(int i)
{
    struct berth *berth = &harbour.berths[i];
    const struct stat *was = &berth->directory;
    struct stat is;
    if (look(i, &is) < 0 || is.st_dev != was->st_dev || is.st_ino != was->st_ino || is.st_mode != was->st_mode ||
        !same_time(is.st_ctim, was->st_ctim) || !same_time(is.st_mtim, was->st_mtim))
        return false;
    if (same_time(is.st_atim, was->st_atim))
        return true;
    char name[16];
    name_of(i, name);
    const struct timespec times[2] = {was->st_atim, was->st_mtim};
    return utimensat(seat_fd(SEAT_SCRATCH), name, times, AT_SYMLINK_NOFOLLOW) == 0 && lay(i) == 0;
}

static void drop_ruleset(int i)
{
    struct berth *berth = &harbour.berths[i];
    if (berth->ruleset)
        close(berth_fd(harbour.held, i));
    berth->ruleset = false;
}

/* True: the directory is in the trash now. */
static bool drop(int i)
{
    drop_ruleset(i);
    harbour.berths[i].state = NONE;
    if (!*harbour.scratch)
        return false;
    char name[16];
    name_of(i, name);
    return scratch_drop(seat_fd(SEAT_SCRATCH), name, seat_fd(SEAT_TRASH));
}

static void make(int i)
{
    harbour.berths[i] = (struct berth){.state = FREE};
    if (!*harbour.scratch)
        return;
    char name[16];
    name_of(i, name);
    if (mkdirat(seat_fd(SEAT_SCRATCH), name, 0700) < 0)
        harbour.berths[i].state = NONE;
    else if (lay(i) < 0)
        drop(i);
}

static void path_of(int i, char path[BERTH_PATH])
{
    snprintf(path, BERTH_PATH, "%s/b%d", harbour.scratch, i);
}

static int make_ruleset(int i)
{
    _cleanup_close_ int fd = landlock_draft(harbour.abi, harbour.network);
    if (fd < 0)
        return fd;
    int r = landlock_allow_held(fd, harbour.abi, harbour.held);
    if (r == 0 && *harbour.scratch) {
        char path[BERTH_PATH];
        path_of(i, path);
        r = landlock_allow(fd, harbour.abi, path, LANDLOCK_ALL);
    }
    if (r == 0)
        r = landlock_put(fd, berth_fd(harbour.held, i));
    if (r < 0)
        return r;
    harbour.berths[i].ruleset = true;
    harbour.berths[i].workers = 0;
    return 0;
}

void berth_take(void)
{
    harbour.mine = -1;
    if (!harbour.held)
        return;
    int64_t now = now_ns();
    int found = -1, none = -1, still = 0;
    for (int i = 0; i < BERTHS && found < 0; i++) {
        const struct berth *berth = &harbour.berths[i];
        if (berth->state == FREE && berth->ready_ns <= now)
            found = i;
        still += berth->state == FREE && berth->ready_ns > now;
        if (berth->state == NONE && none < 0)
            none = i;
    }
    if (found < 0 && none >= 0 && still < STILL_MAX) {
        make(none);
        if (harbour.berths[none].state == FREE && harbour.berths[none].ready_ns <= now)
            found = none;
    }
    if (found < 0 || (!harbour.berths[found].ruleset && make_ruleset(found) < 0))
        return;
    harbour.berths[found].state = TAKEN;
    harbour.berths[found].workers++;
    harbour.mine = found;
}

void berth_given(pid_t pid)
{
    if (harbour.mine < 0)
        return;
    struct berth *berth = &harbour.berths[harbour.mine];
    berth->pid = pid;
    if (pid < 0)
        berth->state = FREE;
    harbour.mine = -1;
}

bool berth_left(pid_t pid)
{
    for (int i = 0; i < BERTHS; i++)
        if (harbour.berths[i].state == TAKEN && harbour.berths[i].pid == pid) {
            harbour.berths[i].state = LEFT;
            return true;
        }
    return false;
}

bool berth_settle(bool last)
{
    bool trash = false;
    for (int i = 0; i < BERTHS; i++) {
        struct berth *berth = &harbour.berths[i];
        if (berth->state != LEFT)
            continue;
        if (!last || (*harbour.scratch && !is_untouched(i))) {
            trash = drop(i) || trash;
            continue;
        }
        berth->state = FREE;
        if (berth->workers >= WORKERS_MAX)
            drop_ruleset(i);
    }
    return trash;
}

int berth_own(char ret_name[16])
{
    ret_name[0] = '\0';
    if (harbour.mine < 0)
        return -1;
    if (*harbour.scratch)
        name_of(harbour.mine, ret_name);
    return berth_fd(harbour.held, harbour.mine);
}

static bool is_all_of_the_box(void)
{
    return harbour.mine >= 0 && *harbour.scratch;
}

int berth_draft(void)
{
    if (!is_all_of_the_box())
        return 0;
    int r = landlock_allow(berth_fd(harbour.held, harbour.mine), harbour.abi, "/proc/self", LANDLOCK_READ);
    if (r == 0 || r == -ENOENT) /* where there is no such thing it is one right less */
        r = harbour.filter ? filter_load(harbour.filter) : 0;
    return r < 0 ? r : 1;
}

int berth_enter(char ret_home[BERTH_PATH])
{
    if (!is_all_of_the_box())
        return 0;
    int r = landlock_enforce(berth_fd(harbour.held, harbour.mine));
    if (r < 0)
        return r;
    landlock_forget_held(harbour.held);
    r = privilege_bound(harbour.held->descriptors);
    if (r < 0)
        return r;
    path_of(harbour.mine, ret_home);
    return chdir(ret_home) < 0 ? -errno : 1;
}

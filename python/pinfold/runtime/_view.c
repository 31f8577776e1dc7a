/* A root that holds only what Python needs, made of what is there (mount_namespaces(7), open_tree(2)). */
#include "_box.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/mount.h>
#include <sched.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "util.h"

#define MS_NOSUID_ 2u
#define MS_NODEV_ 4u
#define MS_NOEXEC_ 8u
#define MS_REC_ 16384u
#define MS_PRIVATE_ (1u << 18)
#define MNT_DETACH_ 2

int mount(const char *source, const char *target, const char *type, unsigned long flags, const void *data);
int umount2(const char *target, int flags);

static int make_parents(char *path, size_t from)
{
    for (char *at = path + from + 1; (at = strchr(at, '/')); at++) {
        *at = '\0';
        int r = mkdir(path, 0755) < 0 && errno != EEXIST ? -errno : 0;
        *at = '/';
        if (r < 0)
            return r;
    }
    return 0;
}

static int make_place(char *place, size_t root_length, const struct stat *status)
{
    int r = make_parents(place, root_length);
    if (r < 0)
        return r;
    if (S_ISDIR(status->st_mode))
        return mkdir(place, 0755) < 0 && errno != EEXIST ? -errno : 0;
    int fd = open(place, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (fd < 0)
        return -errno;
    close(fd);
    return 0;
}

static int copy_link(const char *path, char *place, size_t root_length)
{
    char target[PATH_MAX];
    ssize_t size = readlink(path, target, sizeof(target) - 1);
    if (size < 0)
        return -errno;
    target[size] = '\0';
    int r = make_parents(place, root_length);
    return r < 0 ? r : symlink(target, place) < 0 && errno != EEXIST ? -errno : 0;
}

/* `source` (which `path` names inside) at `root` + `path`. */
static int show(const char *source, const char *root, const char *path, enum view_kind kind)
{
    char place[PATH_MAX];
    if (snprintf(place, sizeof(place), "%s%s", root, path) >= (int)sizeof(place))
        return -ENAMETOOLONG;
    struct stat status;
    if (lstat(source, &status) < 0)
        return -errno;
    if (S_ISLNK(status.st_mode))
        return copy_link(source, place, strlen(root));
    int r = make_place(place, strlen(root), &status);
    if (r < 0)
        return r;
    _cleanup_close_ int tree =
        (int)syscall(SYS_open_tree, AT_FDCWD, source, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);
    if (tree < 0)
        return -errno;
    struct mount_attr attributes = {.attr_set = MOUNT_ATTR_NOSUID | (uint64_t)MOUNT_ATTR_RDONLY |
                                                (kind == VIEW_DEVICE ? 0 : (uint64_t)MOUNT_ATTR_NODEV)};
    if (syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH | AT_RECURSIVE, &attributes, sizeof(attributes)) < 0)
        return -errno;
    return syscall(SYS_move_mount, tree, "", AT_FDCWD, place, MOVE_MOUNT_F_EMPTY_PATH) < 0 ? -errno : 0;
}

int view_open(const char *root)
{
    if (mount(NULL, "/", NULL, MS_REC_ | MS_PRIVATE_, NULL) < 0)
        return -errno;
    if (mount("pinfold", root, "tmpfs", MS_NOSUID_ | MS_NODEV_, "mode=755,size=1m") < 0)
        return -errno;
    return 0;
}

int view_show(const char *root, const char *path, enum view_kind kind)
{
    return show(path, root, path, kind);
}

int view_proc(const char *root)
{
    char place[PATH_MAX];
    if (snprintf(place, sizeof(place), "%s/proc", root) >= (int)sizeof(place))
        return -ENAMETOOLONG;
    if (mkdir(place, 0755) < 0 && errno != EEXIST)
        return -errno;
    return mount("proc", place, "proc", MS_NOSUID_ | MS_NODEV_ | MS_NOEXEC_, NULL) < 0 ? -errno : 0;
}

int view_enter(const char *root)
{
    char outside[PATH_MAX];
    if (snprintf(outside, sizeof(outside), "%s" VIEW_OUTSIDE, root) >= (int)sizeof(outside))
        return -ENAMETOOLONG;
    if (mkdir(outside, 0) < 0 && errno != EEXIST)
        return -errno;
    if (syscall(SYS_pivot_root, root, outside) < 0 || chdir("/") < 0)
        return -errno;
    return 0;
}

int view_part(int back, const char *const *paths, size_t n, const char *scratch, uint64_t scratch_bytes)
{
    if (back >= 0 && syscall(SYS_setns, back, CLONE_NEWNS) < 0)
        return -errno;
    if (syscall(SYS_unshare, CLONE_NEWNS) < 0)
        return -errno;
    /* Its own root's tmpfs is all workers': what one makes there for its own mounts, the others find empty. */
    for (size_t i = 0; i < n; i++) {
        char source[PATH_MAX];
        if (snprintf(source, sizeof(source), VIEW_OUTSIDE "%s", paths[i]) >= (int)sizeof(source))
            return -ENAMETOOLONG;
        int r = show(source, "", paths[i], VIEW_READ);
        if (r < 0 && r != -ENOENT)
            return r;
    }
    if (umount2(VIEW_OUTSIDE, MNT_DETACH_) < 0)
        return -errno;
    char options[80];
    snprintf(options, sizeof(options), "mode=700,size=%llu,nr_inodes=65536", (unsigned long long)scratch_bytes);
    if (mount("scratch", scratch, "tmpfs", MS_NOSUID_ | MS_NODEV_, options) < 0)
        return -errno;
    return 0;
}

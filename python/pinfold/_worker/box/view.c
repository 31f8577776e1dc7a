/* SPDX-License-Identifier: Apache-2.0 */
/* view.c - the view, a root with only what Python needs, made of mounts (mount_namespaces(7), open_tree(2)). */
#include "box.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/mount.h>
#include <sched.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/util.h"

#define MS_RDONLY_ 1u
#define MS_NOSUID_ 2u
#define MS_NODEV_ 4u
#define MS_NOEXEC_ 8u
#define MS_REC_ 16384u
#define MS_PRIVATE_ (1u << 18)
#define MNT_DETACH_ 2

#define VIEW_PROC "/.proc"     /* the workers' /proc, until each moves it over the template's */
#define VIEW_COPIES "/.copies" /* mounted over the hidden parts of VIEW_PROC */
#define VIEW_NOTHING VIEW_COPIES "/directory"

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

/* Make the path of `name` below root, with its parent directories. */
static int mount_point_of(const char *root, const char *name, char mount_point[PATH_MAX])
{
    if (snprintf(mount_point, PATH_MAX, "%s%s", root, name) >= PATH_MAX)
        return -ENAMETOOLONG;
    return make_parents(mount_point, strlen(root));
}

static int make_directory(const char *root, const char *name, char ret_mount_point[PATH_MAX])
{
    int r = mount_point_of(root, name, ret_mount_point);
    return r < 0 ? r : mkdir(ret_mount_point, 0755) < 0 && errno != EEXIST ? -errno : 0;
}

static int make_mount_point(char *mount_point, size_t root_length, const struct stat *status)
{
    int r = make_parents(mount_point, root_length);
    if (r < 0)
        return r;
    if (S_ISDIR(status->st_mode))
        return mkdir(mount_point, 0755) < 0 && errno != EEXIST ? -errno : 0;
    int fd = open(mount_point, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (fd < 0)
        return -errno;
    close(fd);
    return 0;
}

static int copy_link(const char *path, char *mount_point, size_t root_length)
{
    char target[PATH_MAX];
    ssize_t size = readlink(path, target, sizeof(target) - 1);
    if (size < 0)
        return -errno;
    target[size] = '\0';
    int r = make_parents(mount_point, root_length);
    return r < 0 ? r : symlink(target, mount_point) < 0 && errno != EEXIST ? -errno : 0;
}

/* Mount a copy of the mounts at `source` and below it on `mount_point`. */
static int attach(const char *source, const char *mount_point, uint64_t attributes)
{
    _cleanup_close_ int tree =
        (int)syscall(SYS_open_tree, AT_FDCWD, source, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);
    if (tree < 0)
        return -errno;
    struct mount_attr set = {.attr_set = attributes};
    if (syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH | AT_RECURSIVE, &set, sizeof(set)) < 0)
        return -errno;
    return syscall(SYS_move_mount, tree, "", AT_FDCWD, mount_point, MOVE_MOUNT_F_EMPTY_PATH) < 0 ? -errno : 0;
}

/* Mount the directory at `source` as an overlay of itself, which has inodes of its own. A socket in it then leads
 * to no process outside, and a lock on a file is not one on the original. But a name that was looked up once leads
 * to the same file for good. Negative where the kernel cannot: another mount lies below it, or the file system
 * cannot be a lower layer. */
static int overlay(const char *source, const char *root, const char *mount_point)
{
    char empty[PATH_MAX], options[80];
    if (snprintf(empty, sizeof(empty), "%s" VIEW_NOTHING, root) >= (int)sizeof(empty))
        return -ENAMETOOLONG;
    _cleanup_close_ int lower = open(source, O_PATH | O_DIRECTORY | O_CLOEXEC);
    _cleanup_close_ int lowest =
        open(empty, O_PATH | O_DIRECTORY | O_CLOEXEC); /* overlayfs requires two lower layers */
    if (lower < 0 || lowest < 0)
        return -errno;
    snprintf(options, sizeof(options), "lowerdir=/proc/self/fd/%d:/proc/self/fd/%d", lower, lowest);
    return mount("pinfold", mount_point, "overlay", MS_RDONLY_ | MS_NOSUID_ | MS_NODEV_, options) < 0 ? -errno : 0;
}

/* Show `source`, which is called `path` inside, at `root` + `path`. */
static int show(const char *source, const char *root, const char *path, enum view_kind kind)
{
    char mount_point[PATH_MAX];
    if (snprintf(mount_point, sizeof(mount_point), "%s%s", root, path) >= (int)sizeof(mount_point))
        return -ENAMETOOLONG;
    struct stat status;
    if (lstat(source, &status) < 0)
        return -errno;
    if (S_ISLNK(status.st_mode))
        return copy_link(source, mount_point, strlen(root));
    int r = make_mount_point(mount_point, strlen(root), &status);
    if (r < 0)
        return r;
    if (kind == VIEW_STILL && S_ISDIR(status.st_mode) && overlay(source, root, mount_point) == 0)
        return 0;
    return attach(source, mount_point,
                  MOUNT_ATTR_NOSUID | (uint64_t)MOUNT_ATTR_RDONLY |
                      (kind == VIEW_DEVICE ? 0 : (uint64_t)MOUNT_ATTR_NODEV));
}

int view_open(const char *root)
{
    if (mount(NULL, "/", NULL, MS_REC_ | MS_PRIVATE_, NULL) < 0)
        return -errno;
    if (mount("pinfold", root, "tmpfs", MS_NOSUID_ | MS_NODEV_, "mode=755,size=1m") < 0)
        return -errno;
    char mount_point[PATH_MAX];
    return make_directory(root, VIEW_NOTHING, mount_point);
}

int view_show(const char *root, const char *path, enum view_kind kind)
{
    return show(path, root, path, kind);
}

static int mount_proc(const char *root, const char *name, unsigned long flags, const char *options)
{
    char mount_point[PATH_MAX];
    int r = make_directory(root, name, mount_point);
    if (r < 0)
        return r;
    return mount("proc", mount_point, "proc", flags | MS_NOSUID_ | MS_NODEV_ | MS_NOEXEC_, options) < 0 ? -errno
                                                                                                        : 0;
}

static bool is_entry_shown(const char *name, const char *const *shown, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(shown[i], name) == 0)
            return true;
    return false;
}

/* Mount `source` below root, with all mounts below it, read-only on `name`. */
static int cover(const char *root, const char *source, const char *name)
{
    char from[PATH_MAX], to[PATH_MAX];
    if (snprintf(from, sizeof(from), "%s%s", root, source) >= (int)sizeof(from) ||
        snprintf(to, sizeof(to), "%s%s", root, name) >= (int)sizeof(to))
        return -ENAMETOOLONG;
    return attach(from, to, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
}

/* Copy a file of /proc with its present text; mount a directory. */
static int copy_setting(const char *root, const char *name)
{
    char from[PATH_MAX], to[PATH_MAX], text[4096];
    if (snprintf(from, sizeof(from), "%s" VIEW_PROC "/%s", root, name) >= (int)sizeof(from) ||
        snprintf(text, sizeof(text), VIEW_COPIES "/%s", name) >= (int)sizeof(text))
        return -ENAMETOOLONG;
    struct stat status;
    if (lstat(from, &status) < 0)
        return errno == ENOENT ? 0 : -errno; /* this kernel does not have the setting */
    int r = mount_point_of(root, text, to);
    if (r < 0)
        return r;
    if (S_ISDIR(status.st_mode)) {
        if (mkdir(to, 0755) < 0)
            return -errno;
        return attach(from, to, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
    }
    _cleanup_close_ int in = open(from, O_RDONLY | O_CLOEXEC);
    if (in < 0)
        return errno == EACCES || errno == EPERM ? 0 : -errno;
    ssize_t size = RETRY_EINTR(read(in, text, sizeof(text)));
    _cleanup_close_ int out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444);
    return size < 0 || out < 0 || write(out, text, (size_t)size) != size ? -errno : 0;
}

/* Cover all of /proc but processes and `shown`. A file can only be mounted on an existing one, hence the order:
 * the copies are complete before they cover the originals. */
static int cover_proc(const char *root, const char *const *shown, size_t n)
{
    char mount_point[PATH_MAX];
    int r = make_directory(root, VIEW_COPIES "/sys", mount_point);
    if (r == 0)
        r = mount_point_of(root, VIEW_COPIES "/file", mount_point);
    if (r < 0)
        return r;
    _cleanup_close_ int nothing = open(mount_point, O_RDONLY | O_CREAT | O_CLOEXEC, 0);
    if (nothing < 0)
        return -errno;
    for (size_t i = 0; r == 0 && i < n; i++)
        if (strncmp(shown[i], "sys/", 4) == 0)
            r = copy_setting(root, shown[i]);
    if (r < 0)
        return r;
    snprintf(mount_point, sizeof(mount_point), "%s" VIEW_PROC, root);
    DIR *proc = opendir(mount_point);
    if (!proc)
        return -errno;
    for (struct dirent *entry; r == 0 && (entry = readdir(proc));) {
        const char *name = entry->d_name;
        if (entry->d_type == DT_LNK || name[0] == '.' || (name[0] >= '0' && name[0] <= '9') ||
            is_entry_shown(name, shown, n))
            continue;
        if (snprintf(mount_point, sizeof(mount_point), VIEW_PROC "/%s", name) >= (int)sizeof(mount_point))
            r = -ENAMETOOLONG;
        else if (strcmp(name, "sys") == 0)
            r = cover(root, VIEW_COPIES "/sys", mount_point);
        else
            r = cover(root, entry->d_type == DT_DIR ? VIEW_NOTHING : VIEW_COPIES "/file", mount_point);
    }
    closedir(proc);
    return r;
}

int view_proc(const char *root, const char *const *shown, size_t n)
{
    int r = mount_proc(root, "/proc", 0, NULL);
    if (r == 0)
        r = mount_proc(root, VIEW_PROC, MS_RDONLY_, "hidepid=ptraceable");
    return r == 0 ? cover_proc(root, shown, n) : r;
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
    /* All workers share the root's tmpfs. A mount point that one of them makes is empty for the others. */
    for (size_t i = 0; i < n; i++) {
        char source[PATH_MAX];
        if (snprintf(source, sizeof(source), VIEW_OUTSIDE "%s", paths[i]) >= (int)sizeof(source))
            return -ENAMETOOLONG;
        int r = show(source, "", paths[i], VIEW_STILL); /* its files stay the same during the call */
        if (r < 0 && r != -ENOENT)
            return r;
    }
    if (umount2(VIEW_OUTSIDE, MNT_DETACH_) < 0)
        return -errno;
    if (syscall(SYS_move_mount, AT_FDCWD, VIEW_PROC, AT_FDCWD, "/proc", 0) < 0)
        return -errno;
    /* Make the root read-only; all other mounts are so already. The template's mount of it stays writable. */
    struct mount_attr attributes = {.attr_set = MOUNT_ATTR_RDONLY};
    if (syscall(SYS_mount_setattr, AT_FDCWD, "/", 0, &attributes, sizeof(attributes)) < 0)
        return -errno;
    char options[80];
    snprintf(options, sizeof(options), "mode=700,size=%llu,nr_inodes=65536", (unsigned long long)scratch_bytes);
    if (mount("scratch", scratch, "tmpfs", MS_NOSUID_ | MS_NODEV_, options) < 0)
        return -errno;
    return 0;
}

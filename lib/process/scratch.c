/* SPDX-License-Identifier: Apache-2.0 */
/* scratch.c - empties directories of any depth, in bounded steps (scratch.h). */
#include "process/scratch.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/util.h"

struct entries {
    _Alignas(struct dirent64) char bytes[4096];
    long size, at;
};

/* Return the next name in an open directory; NULL at its end. */
static const char *scratch_next(int directory, struct entries *entries)
{
    for (;;) {
        if (entries->at >= entries->size) {
            entries->size = syscall(SYS_getdents64, directory, entries->bytes, sizeof(entries->bytes));
            entries->at = 0;
            if (entries->size <= 0)
                return NULL;
        }
        const struct dirent64 *entry = (const struct dirent64 *)(entries->bytes + entries->at);
        entries->at += entry->d_reclen;
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            return entry->d_name;
    }
}

/* Give this user all rights to a directory. Never follows a link that has replaced it. */
static bool permit(int directory, const char *name)
{
    return fchmodat(directory, name, 0700, AT_SYMLINK_NOFOLLOW) == 0;
}

static int open_again(int directory, const char *name)
{
    int fd = openat(directory, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 && errno == EACCES && permit(directory, name))
        fd = openat(directory, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return fd;
}

/* 0: removed; -ENOTEMPTY: a directory that is not empty. */
static int remove_one(int directory, const char *name)
{
    if (unlinkat(directory, name, 0) == 0 || errno == ENOENT)
        return 0;
    if (errno != EISDIR && errno != EPERM)
        return -errno;
    if (unlinkat(directory, name, AT_REMOVEDIR) == 0)
        return 0;
    return errno == EEXIST ? -ENOTEMPTY : -errno;
}

/* Empty one directory in `top`. Directories in it that are not empty move up to `top`. */
static int flatten(int top, const char *name, unsigned *budget)
{
    static unsigned moved;
    _cleanup_close_ int fd = open_again(top, name);
    if (fd < 0)
        return -errno;
    (void)fchmod(fd, 0700);
    struct entries entries = {.size = 0};
    const char *inner;
    while (*budget > 0 && (inner = scratch_next(fd, &entries))) {
        --*budget;
        int r = remove_one(fd, inner);
        for (int i = 0; r == -ENOTEMPTY && i < 64; i++) {
            char up[48];
            snprintf(up, sizeof(up), ".up-%d-%u", getpid(), moved++);
            r = syscall(SYS_renameat2, fd, inner, top, up, 1 /* RENAME_NOREPLACE */) == 0 ? 0
                : errno == EEXIST                                                         ? -ENOTEMPTY
                                                                                          : -errno;
            if (r == -EACCES && permit(fd, inner)) /* the rename changes the directory's own ".." */
                r = -ENOTEMPTY;
        }
        if (r < 0 && r != -ENOTEMPTY)
            return r;
    }
    return *budget > 0 && unlinkat(top, name, AT_REMOVEDIR) < 0 && errno != ENOTEMPTY ? -errno : 0;
}

int scratch_clear(int directory, unsigned budget)
{
    (void)fchmod(directory, 0700);
    for (unsigned passes = 0; budget > 0; passes++) {
        if (lseek(directory, 0, SEEK_SET) < 0)
            return -errno;
        struct entries entries = {.size = 0};
        const char *name = scratch_next(directory, &entries);
        if (!name)
            return 0;
        for (; name && budget > 0; name = scratch_next(directory, &entries)) {
            budget--;
            int r = remove_one(directory, name);
            if (r == -ENOTEMPTY)
                r = flatten(directory, name, &budget);
            if (r < 0)
                return r;
        }
    }
    return 1;
}

bool scratch_drop(int parent, const char *name, int trash)
{
    static unsigned dropped;
    char remains[40];
    if (unlinkat(parent, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
        return false;
    snprintf(remains, sizeof(remains), "%.16s-%u", name, dropped++);
    return renameat(parent, name, trash, remains) == 0;
}

/* The spill directory may hold files of other owners. */
static bool is_base(const char *name)
{
    const size_t n = strlen(BASE_NAME);
    return strncmp(name, BASE_NAME, n) == 0 && strlen(name + n) == BASE_DIGITS &&
           strspn(name + n, "0123456789abcdef") == BASE_DIGITS;
}

/* Return whether the process has a file or a directory of this name open. Compare names: a look behind a
 * descriptor may have to wait for a file system. */
static bool has_open(pid_t pid, const char *name)
{
    char path[32], target[4096];
    snprintf(path, sizeof(path), "/proc/%d/fd", pid);
    _cleanup_close_ int descriptors = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct entries entries = {.size = 0};
    const char *number;
    while (descriptors >= 0 && (number = scratch_next(descriptors, &entries))) {
        const ssize_t size = readlinkat(descriptors, number, target, sizeof(target) - 1);
        target[size > 0 ? size : 0] = '\0';
        const char *last = strrchr(target, '/');
        if (last && strcmp(last + 1, name) == 0)
            return true;
    }
    return false;
}

static void remove_base(int spill_dir, const char *name, int base)
{
    if (scratch_clear(base, UINT32_MAX) == 0)
        unlinkat(spill_dir, name, AT_REMOVEDIR);
}

void scratch_clear_base_of(int spill_dir, pid_t template)
{
    struct entries entries = {.size = 0};
    if (lseek(spill_dir, 0, SEEK_SET) < 0)
        return;
    for (const char *name; (name = scratch_next(spill_dir, &entries));) {
        if (!is_base(name) || !has_open(template, name))
            continue;
        _cleanup_close_ int base = openat(spill_dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (base >= 0)
            remove_base(spill_dir, name, base);
    }
}

void scratch_clear_bases(int spill_dir)
{
    struct entries entries = {.size = 0};
    if (lseek(spill_dir, 0, SEEK_SET) < 0)
        return;
    for (const char *name; (name = scratch_next(spill_dir, &entries));) {
        if (!is_base(name))
            continue;
        _cleanup_close_ int base = openat(spill_dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (base >= 0 && flock(base, LOCK_EX | LOCK_NB) == 0)
            remove_base(spill_dir, name, base);
    }
}

/* SPDX-License-Identifier: Apache-2.0 */
/* source.c - takes and writes the file of a worker's source (source.py). It runs as little Python as it can: each
 * object first touched in a fresh worker is a page copied for its call. */
#include "runtime.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/util.h"
#include "process/scratch.h"

#define SLOTS 256
#define FILE_NAME "user_code.py"
#define SCRIPT_NAME "main.py" /* what a program's worker renamed it to */
#define FILE_FLAGS (O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC)
#define KEPT_AT 200 /* between the numbers that programs use and the reserved ones (reserved_fd.c) */

static int high(int fd)
{
    int kept = fcntl(fd, F_DUPFD_CLOEXEC, KEPT_AT), code = errno;
    close(fd);
    return kept < 0 ? -code : kept;
}

/* Return whether the directory is empty but for the file. */
static bool is_clean(int directory, bool *ret_renamed)
{
    _Alignas(struct { uint64_t inode; }) char entries[512];
    long size = syscall(SYS_getdents64, directory, entries, sizeof(entries));
    if (size < 0)
        return false;
    for (long at = 0; at < size;) {
        uint16_t length;
        memcpy(&length, entries + at + 16, sizeof(length)); /* struct linux_dirent64: d_reclen, and d_name at 19 */
        const char *name = entries + at + 19;
        const bool renamed = strcmp(name, SCRIPT_NAME) == 0;
        if (!renamed && strcmp(name, ".") != 0 && strcmp(name, "..") != 0 && strcmp(name, FILE_NAME) != 0)
            return false;
        *ret_renamed |= renamed;
        at += length;
    }
    return size < (long)sizeof(entries) - 256;
}

/* Open the file. Clears the directory if something else has its name, or if it has a second name. */
static int open_source_file(int directory)
{
    for (int tries = 0; tries < 2; tries++) {
        struct stat status;
        int fd = openat(directory, FILE_NAME, FILE_FLAGS, 0600);
        if (fd >= 0 && fstat(fd, &status) == 0 && S_ISREG(status.st_mode) && status.st_nlink == 1)
            return high(fd);
        if (fd >= 0)
            close(fd);
        int r = scratch_clear(directory, UINT32_MAX);
        if (r < 0)
            return r;
    }
    return -EBUSY;
}

static int open_slot(int sources, const char *name)
{
    const int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
    int fd = openat(sources, name, flags);
    if (fd < 0 && errno == ENOENT && (mkdirat(sources, name, 0700) == 0 || errno == EEXIST))
        fd = openat(sources, name, flags);
    return fd < 0 ? -errno : high(fd);
}

/* Take the directory for this process, until it exits. 0 or a negative errno. */
static int source_take(int sources, const char *name, int *ret_lock, int *ret_file)
{
    _cleanup_close_ int lock = open_slot(sources, name);
    if (lock < 0)
        return lock;
    if (flock(lock, LOCK_EX | LOCK_NB) < 0)
        return -errno;
    bool renamed = false;
    if (!is_clean(lock, &renamed) || (renamed && renameat(lock, SCRIPT_NAME, lock, FILE_NAME) < 0)) {
        int r = scratch_clear(lock, UINT32_MAX);
        if (r < 0)
            return r;
    }
    int file = open_source_file(lock);
    if (file < 0)
        return file;
    *ret_file = file;
    *ret_lock = lock;
    lock = -1;
    return 0;
}

PyObject *source_slot(PyObject *module, PyObject *arguments)
{
    (void)module;
    const char *path, *name;
    int locked;
    if (!PyArg_ParseTuple(arguments, "ssp", &path, &name, &locked))
        return NULL;
    int lock, file, r = -EBUSY;
    char number[16];
    _cleanup_close_ int sources = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (sources < 0)
        Py_RETURN_NONE;
    if (*name) {
        r = source_take(sources, name, &lock, &file);
    } else {
        /* Consecutive pids differ, so processes made one after another first try different numbers. They try low
         * numbers first, because a new directory takes time. */
        name = number;
        for (unsigned n = 0; n < 4 + 8 + SLOTS && r < 0; n++) {
            unsigned among = n < 4 ? 8 : n < 4 + 8 ? 64 : SLOTS;
            snprintf(number, sizeof(number), "%u", ((unsigned)getpid() + n) % among);
            r = source_take(sources, number, &lock, &file);
        }
    }
    if (r < 0)
        Py_RETURN_NONE;
    if (!locked) {
        close(lock);
        lock = -1;
    }
    return Py_BuildValue("(sii)", name, lock, file);
}

static int source_write_all(int fd, const char *data, Py_ssize_t size)
{
    for (Py_ssize_t at = 0; at < size;) {
        ssize_t written = RETRY_EINTR(pwrite(fd, data + at, (size_t)(size - at), at));
        if (written < 0)
            return -errno;
        at += written;
    }
    struct stat status;
    if (fstat(fd, &status) < 0 || (status.st_size != size && ftruncate(fd, size) < 0))
        return -errno;
    return 0;
}

PyObject *source_write(PyObject *module, PyObject *arguments)
{
    (void)module;
    int fd;
    const char *data;
    Py_ssize_t size;
    if (!PyArg_ParseTuple(arguments, "is#", &fd, &data, &size))
        return NULL;
    int r = source_write_all(fd, data, size);
    if (r < 0)
        return raise_errno(r, "cannot write the source");
    Py_RETURN_NONE;
}

static int make_file(const char *path, const char *data, Py_ssize_t size)
{
    if (mkdir(path, 0700) < 0 && errno != EEXIST)
        return -errno;
    _cleanup_close_ int directory = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (directory < 0)
        return -errno;
    _cleanup_close_ int file = openat(directory, FILE_NAME, FILE_FLAGS, 0600);
    return file < 0 ? -errno : source_write_all(file, data, size);
}

PyObject *source_make(PyObject *module, PyObject *arguments)
{
    (void)module;
    const char *path, *data;
    Py_ssize_t size;
    if (!PyArg_ParseTuple(arguments, "ss#", &path, &data, &size))
        return NULL;
    int r = make_file(path, data, size);
    if (r < 0)
        return raise_errno(r, "cannot write the source");
    Py_RETURN_NONE;
}

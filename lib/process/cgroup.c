/* SPDX-License-Identifier: Apache-2.0 */
/* cgroup.c - makes, limits, kills and removes the workers' control groups (cgroup.h). */
#include "process/cgroup.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/error.h"
#include "base/util.h"

/* pids.max counts threads, too. It is the wall behind the sampler, which counts processes (limit.c). */
#define THREADS 512u

static int cgroup_open_file(const struct cgroup *cgroup, const char *id, const char *name, int flags)
{
    char path[64];
    snprintf(path, sizeof(path), "%s/%s", id, name);
    int fd = openat(cgroup->fd, path, flags | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

static int cgroup_put(const struct cgroup *cgroup, const char *id, const char *name, const char *text)
{
    _cleanup_close_ int fd = cgroup_open_file(cgroup, id, name, O_WRONLY);
    if (fd < 0)
        return fd;
    return write(fd, text, strlen(text)) < 0 ? -errno : 0;
}

static void put_bound(const struct cgroup *cgroup, const char *id, const char *name, uint64_t most)
{
    char text[24];
    snprintf(text, sizeof(text), "%" PRIu64, most);
    (void)cgroup_put(cgroup, id, name, most ? text : "max");
}

static int get(const struct cgroup *cgroup, const char *id, const char *name, char *text, size_t size)
{
    _cleanup_close_ int fd = cgroup_open_file(cgroup, id, name, O_RDONLY);
    ssize_t got = fd < 0 ? -1 : RETRY_EINTR(read(fd, text, size - 1));
    text[got > 0 ? got : 0] = '\0';
    return got < 0 ? -errno : 0;
}

int cgroup_open(struct cgroup *cgroup, const char *path, pinfold_error *error)
{
    cgroup->fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return cgroup->fd < 0 ? error_errno(error, -errno, "cannot open the control group %s", path) : 0;
}

void cgroup_close(struct cgroup *cgroup)
{
    close_fd(&cgroup->fd);
    free(TAKE_PTR(cgroup->left));
}

int cgroup_make(struct cgroup *cgroup, const char *id)
{
    if (cgroup->fd < 0)
        return 0;
    if (mkdirat(cgroup->fd, id, 0755) < 0)
        return -errno;
    int r = cgroup_put(cgroup, id, "memory.oom.group", "1");
    if (r == 0)
        r = cgroup_put(cgroup, id, "memory.swap.max", "0");
    if (r < 0 && r != -ENOENT) { /* a kernel without swap has no such file */
        unlinkat(cgroup->fd, id, AT_REMOVEDIR);
        return r;
    }
    return 0;
}

void cgroup_limit(const struct cgroup *cgroup, const char *id, uint64_t memory_bytes, uint32_t processes)
{
    if (cgroup->fd < 0)
        return;
    put_bound(cgroup, id, "memory.max", memory_bytes);
    put_bound(cgroup, id, "pids.max", processes ? (uint64_t)processes + THREADS : 0);
}

void cgroup_kill(const struct cgroup *cgroup, const char *id)
{
    if (cgroup->fd >= 0)
        (void)cgroup_put(cgroup, id, "cgroup.kill", "1"); /* before Linux 5.14 only the sweep kills */
}

bool cgroup_ran_out(const struct cgroup *cgroup, const char *id, uint64_t *ret_peak_bytes)
{
    char text[512];
    if (cgroup->fd < 0 || get(cgroup, id, "memory.events", text, sizeof(text)) < 0)
        return false;
    const char *line = strstr(text, "oom_kill ");
    if (!line || strtoull(line + strlen("oom_kill "), NULL, 10) == 0)
        return false;
    if (get(cgroup, id, "memory.peak", text, sizeof(text)) < 0) /* Linux 5.19 */
        (void)get(cgroup, id, "memory.max", text, sizeof(text));
    *ret_peak_bytes = strtoull(text, NULL, 10);
    return true;
}

static bool removed(const struct cgroup *cgroup, const char *id)
{
    return unlinkat(cgroup->fd, id, AT_REMOVEDIR) == 0 || errno != EBUSY;
}

void cgroup_remove(struct cgroup *cgroup, const char *id)
{
    if (cgroup->fd < 0)
        return;
    for (uint32_t i = 0; i < cgroup->n_left;)
        if (removed(cgroup, cgroup->left[i]))
            memmove(cgroup->left[i], cgroup->left[--cgroup->n_left], sizeof(*cgroup->left));
        else
            i++;
    if (removed(cgroup, id))
        return;
    if (cgroup->n_left == cgroup->capacity) {
        uint32_t capacity = cgroup->capacity ? 2 * cgroup->capacity : 16;
        void *left = reallocarray(cgroup->left, capacity, sizeof(*cgroup->left));
        if (!left)
            return; /* the owner of the parent directory clears it */
        cgroup->left = left;
        cgroup->capacity = capacity;
    }
    snprintf(cgroup->left[cgroup->n_left++], sizeof(*cgroup->left), "%s", id);
}

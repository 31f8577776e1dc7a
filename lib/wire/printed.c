/* SPDX-License-Identifier: Apache-2.0 */
/* printed.c - makes the printed buffer and takes what it holds (printed.h). */
#include "wire/printed.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <sys/mman.h>

#include "base/util.h"

int printed_make(int *ret_fd)
{
    _cleanup_close_ int fd = memfd_create("pinfold-printed", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0)
        return -errno;
    /* The worker maps the file: sealed, its memory cannot be removed under that mapping. */
    if (ftruncate(fd, sizeof(struct pinfold_printed)) < 0 ||
        fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
        return -errno;
    *ret_fd = TAKE_FD(fd);
    return 0;
}

int printed_map(int fd, struct pinfold_printed **ret_printed)
{
    void *memory = mmap(NULL, sizeof(struct pinfold_printed), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (memory == MAP_FAILED)
        return -errno;
    *ret_printed = memory;
    return 0;
}

/* The pool reads and does not map, so that a worker can do no more than write other bytes. */
static bool read_at(int fd, void *to, size_t size, size_t at)
{
    return RETRY_EINTR(pread(fd, to, size, (off_t)at)) == (ssize_t)size;
}

static void take_stream(int fd, int stream, struct output *output)
{
    struct pinfold_printed_stream now;
    char bytes[PINFOLD_PRINTED_BYTES]; /* the thread's stack has at least 256 KiB */
    if (!read_at(fd, &now, sizeof(now), offsetof(struct pinfold_printed, streams) + (size_t)stream * sizeof(now)))
        return;
    const uint32_t begin = atomic_load(&now.begin), end = atomic_load(&now.end);
    uint32_t writing = atomic_load(&now.writing);
    if (end > PINFOLD_PRINTED_BYTES || begin >= end)
        return;
    const uint32_t n = end - begin;
    if (!read_at(fd, bytes, n,
                 offsetof(struct pinfold_printed, bytes) + (size_t)stream * PINFOLD_PRINTED_BYTES + begin))
        return;
    if (writing > n || !output_ends_with(output, bytes, writing))
        writing = 0;
    output_add(output, bytes + writing, n - writing);
}

static void take_c(int fd, struct output *output)
{
    _Atomic uint32_t size;
    char bytes[PINFOLD_PRINTED_BYTES]; /* the thread's stack has at least 256 KiB */
    if (!read_at(fd, &size, sizeof(size), offsetof(struct pinfold_printed, c_size)))
        return;
    size_t left = atomic_load(&size);
    if (left > PINFOLD_PRINTED_C_BYTES)
        return;
    for (size_t at = offsetof(struct pinfold_printed, c); left > 0;) {
        const size_t n = left < sizeof(bytes) ? left : sizeof(bytes);
        if (!read_at(fd, bytes, n, at))
            return;
        output_add(output, bytes, n);
        at += n;
        left -= n;
    }
}

void printed_take(int fd, struct output *outputs)
{
    take_stream(fd, PINFOLD_PRINTED_OUT, &outputs[PINFOLD_PRINTED_OUT]);
    take_c(fd, &outputs[PINFOLD_PRINTED_OUT]);
    take_stream(fd, PINFOLD_PRINTED_ERR, &outputs[PINFOLD_PRINTED_ERR]);
}

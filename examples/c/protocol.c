/* SPDX-License-Identifier: Apache-2.0 */
/* protocol.c - sends and receives frames and payloads. */
#include "protocol.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

union control {
    struct cmsghdr align;
    char bytes[CMSG_SPACE(PINFOLD_FRAME_FDS_MAX * sizeof(int))];
};

int frame_send(int socket, enum pinfold_frame_kind kind, uint64_t id, const void *body, size_t body_size,
               const void *tail, size_t tail_size, const int *fds, int n_fds)
{
    struct pinfold_frame_head head = {PINFOLD_FRAME_MAGIC, PINFOLD_FRAME_VERSION, (uint8_t)kind,
                                      (uint32_t)(sizeof(head) + body_size + tail_size), id};
    struct iovec parts[] = {{&head, sizeof(head)}, {(void *)body, body_size}, {(void *)tail, tail_size}};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = 3};
    union control control;
    if (n_fds > 0) {
        memset(&control, 0, sizeof(control));
        message.msg_control = &control;
        message.msg_controllen = CMSG_SPACE((size_t)n_fds * sizeof(int));
        control.align = (struct cmsghdr){CMSG_LEN((size_t)n_fds * sizeof(int)), SOL_SOCKET, SCM_RIGHTS};
        memcpy(CMSG_DATA(&control.align), fds, (size_t)n_fds * sizeof(int));
    }
    ssize_t sent;
    do
        sent = sendmsg(socket, &message, MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    return sent < 0 ? -1 : 0;
}

size_t frame_receive(int socket, struct frame *frame, int *fds, int n_fds)
{
    union control control;
    struct iovec part = {frame, sizeof(*frame)};
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
    ssize_t size;
    do
        size = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
    while (size < 0 && errno == EINTR);
    for (int i = 0; i < n_fds; i++)
        fds[i] = -1;
    const struct cmsghdr *rights = size > 0 ? CMSG_FIRSTHDR(&message) : NULL;
    if (rights && rights->cmsg_type == SCM_RIGHTS && rights->cmsg_len <= CMSG_LEN((size_t)n_fds * sizeof(int)))
        memcpy(fds, CMSG_DATA(rights), rights->cmsg_len - CMSG_LEN(0));
    return size > 0 ? (size_t)size : 0;
}

size_t payload_next(size_t end)
{
    return (end + PINFOLD_PAYLOAD_ALIGN - 1) / PINFOLD_PAYLOAD_ALIGN * PINFOLD_PAYLOAD_ALIGN;
}

size_t payload_begin(uint32_t n)
{
    return payload_next(8 + 8 * (size_t)n);
}

uint32_t payload_open(void *payload, struct iovec **ret_segments)
{
    uint32_t n;
    memcpy(&n, (char *)payload + 4, sizeof(n));
    struct iovec *segments = calloc(n, sizeof(*segments));
    size_t at = payload_begin(n);
    for (uint32_t i = 0; segments && i < n; i++) {
        uint64_t length;
        memcpy(&length, (char *)payload + 8 + 8 * (size_t)i, sizeof(length));
        segments[i] = (struct iovec){(char *)payload + at, length};
        at = payload_next(at + length);
    }
    *ret_segments = segments;
    return segments ? n : 0;
}

size_t payload_size(const struct iovec *segments, uint32_t n)
{
    size_t size = payload_begin(n);
    for (uint32_t i = 0; i < n; i++)
        size = (i ? payload_next(size) : size) + segments[i].iov_len;
    return size;
}

static void table_copy(uint8_t *to, const struct iovec *segments, uint32_t n)
{
    memset(to, 0, payload_begin(n));
    memcpy(to, (const uint32_t[]){PINFOLD_PAYLOAD_MAGIC, n}, 8);
    for (uint32_t i = 0; i < n; i++)
        memcpy(to + 8 + 8 * (size_t)i, &(uint64_t){segments[i].iov_len}, 8);
}

void payload_copy(uint8_t *to, const struct iovec *segments, uint32_t n)
{
    memset(to, 0, payload_size(segments, n));
    table_copy(to, segments, n);
    size_t at = payload_begin(n);
    for (uint32_t i = 0; i < n; i++) {
        if (segments[i].iov_len > 0)
            memcpy(to + at, segments[i].iov_base, segments[i].iov_len);
        at = payload_next(at + segments[i].iov_len);
    }
}

static int write_at(int fd, const void *bytes, size_t n, size_t at)
{
    for (size_t done = 0; done < n;) {
        ssize_t written = pwrite(fd, (const char *)bytes + done, n - done, (off_t)(at + done));
        if (written < 0 && errno != EINTR)
            return -1;
        done += written < 0 ? 0 : (size_t)written;
    }
    return 0;
}

int payload_spill(const char *directory, const struct iovec *segments, uint32_t n)
{
    const int sealed = !*directory;
    int writer = sealed ? memfd_create("spill", MFD_CLOEXEC | MFD_ALLOW_SEALING)
                        : open(directory, O_TMPFILE | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
    if (writer < 0)
        return -1;
    size_t at = payload_begin(n);
    uint8_t *table = malloc(at);
    if (table)
        table_copy(table, segments, n);
    int failed = !table || write_at(writer, table, at, 0) < 0;
    free(table);
    for (uint32_t i = 0; i < n && !failed; i++) {
        static const uint8_t zeroes[PINFOLD_PAYLOAD_ALIGN];
        size_t end = at + segments[i].iov_len, next = i + 1 < n ? payload_next(end) : end;
        failed = write_at(writer, segments[i].iov_base, segments[i].iov_len, at) < 0 ||
                 write_at(writer, zeroes, next - end, end) < 0; /* the pool refuses a memfd with holes */
        at = next;
    }
    /* The pool takes only a file that no process can write to any more. */
    if (!failed && sealed && fcntl(writer, F_ADD_SEALS, PINFOLD_SPILL_SEALS) == 0)
        return writer;
    char path[32];
    snprintf(path, sizeof(path), "/proc/self/fd/%d", writer);
    int reader = failed || sealed ? -1 : open(path, O_RDONLY | O_CLOEXEC);
    int code = errno;
    close(writer);
    errno = code;
    return reader;
}

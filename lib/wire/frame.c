/* SPDX-License-Identifier: Apache-2.0 */
/* frame.c - sends, receives and checks frames (frame.h). */
#include "wire/frame.h"

#include <assert.h>
#include <poll.h>
#include <sys/socket.h>

#include "base/util.h"

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "frames are little-endian, written as they lie");
static_assert(sizeof(struct pinfold_frame_head) == 16, "the head is 16 bytes");
static_assert(sizeof(struct pinfold_frame_setup) == 8 && sizeof(struct pinfold_frame_template) == 8 &&
                  sizeof(struct pinfold_frame_start) == 16 && sizeof(struct pinfold_frame_started) == 16 &&
                  sizeof(struct pinfold_frame_exited) == 32 && sizeof(struct pinfold_frame_call) == 24 &&
                  sizeof(struct pinfold_frame_result) == 48,
              "bodies have no padding");

#define SIGNAL_MAX 64 /* the largest number of a signal (signal(7)) */

/* The shape of each kind, and its permitted senders. */
static const struct frame_rule {
    uint8_t senders; /* frame_peer bits */
    uint8_t body;    /* exact size */
    uint8_t fds;     /* exact count; see fds_expected where it depends on the body */
    uint32_t tail_min;
    uint32_t tail_max;
} rules[PINFOLD_FRAME_KINDS] = {
#define ANY_TAIL 0, PINFOLD_FRAME_MAX
    [PINFOLD_FRAME_SETUP] = {FRAME_FROM_POOL, sizeof(struct pinfold_frame_setup), 0, 1, PINFOLD_SETUP_PATH_MAX},
    [PINFOLD_FRAME_TEMPLATE] = {FRAME_FROM_GUARD, sizeof(struct pinfold_frame_template), 1, 0, 0},
    [PINFOLD_FRAME_READY] = {FRAME_FROM_TEMPLATE | FRAME_FROM_WORKER, 0, 0, 0, 0},
    [PINFOLD_FRAME_FAILED] = {FRAME_FROM_GUARD | FRAME_FROM_TEMPLATE | FRAME_FROM_WORKER, 0, 0, ANY_TAIL},
    [PINFOLD_FRAME_START] = {FRAME_FROM_POOL, sizeof(struct pinfold_frame_start), 3, 0, 0},
    [PINFOLD_FRAME_STARTED] = {FRAME_FROM_TEMPLATE, sizeof(struct pinfold_frame_started), 1, 0, 0},
    [PINFOLD_FRAME_EXITED] = {FRAME_FROM_TEMPLATE, sizeof(struct pinfold_frame_exited), 0, 0, 0},
    [PINFOLD_FRAME_SWEPT] = {FRAME_FROM_TEMPLATE, 0, 0, 0, 0},
    [PINFOLD_FRAME_CALL] = {FRAME_FROM_POOL, sizeof(struct pinfold_frame_call), 0, ANY_TAIL},
    [PINFOLD_FRAME_RESULT] = {FRAME_FROM_WORKER, sizeof(struct pinfold_frame_result), 0, ANY_TAIL},
    [PINFOLD_FRAME_STACK] = {FRAME_FROM_WORKER, 0, 0, ANY_TAIL},
    [PINFOLD_FRAME_NOTE] = {FRAME_FROM_WORKER, 0, 0, 0, PINFOLD_NOTE_MAX},
    [PINFOLD_FRAME_SLATE] = {FRAME_FROM_POOL, 0, 1, 0, 0},
    [PINFOLD_FRAME_PRINTED] = {FRAME_FROM_POOL, 0, 1, 0, 0},
    [PINFOLD_FRAME_DROP] = {FRAME_FROM_POOL, 0, 1, 0, 0},
    [PINFOLD_FRAME_TAKEN] = {FRAME_FROM_POOL, 0, 0, 0, 0},
    [PINFOLD_FRAME_STOP] = {FRAME_FROM_POOL, 0, 0, 0, 0},
#undef ANY_TAIL
};

uint32_t frame_body_size(enum pinfold_frame_kind kind)
{
    return (unsigned)kind < PINFOLD_FRAME_KINDS ? rules[kind].body : 0;
}

/* Return how many descriptors must have come, or -1 if the tail contradicts the body. */
static int fds_expected(const struct frame *frame)
{
    switch (frame->head.kind) {
    case PINFOLD_FRAME_STARTED:
        return ((const struct pinfold_frame_started *)frame->body)->error == 0 ? 1 : 0;
    case PINFOLD_FRAME_CALL: {
        const struct pinfold_frame_call *call = frame->body;
        bool spilled = call->flags & PINFOLD_CALL_SPILLED;
        return (spilled ? 0 : call->payload_size) == frame->tail_size ? spilled : -1;
    }
    case PINFOLD_FRAME_RESULT: {
        const struct pinfold_frame_result *result = frame->body;
        bool spilled = result->flags & PINFOLD_RESULT_SPILLED, held = result->flags & PINFOLD_RESULT_HELD;
        if (result->status >= PINFOLD_STATUSES)
            return -1;
        if (result->ended < -SIGNAL_MAX || result->ended > 255 ||
            (result->ended != 0 && result->status != PINFOLD_STATUS_ENDED))
            return -1;
        if (spilled && held)
            return -1;
        return (held ? sizeof(int32_t) : spilled ? 0 : result->payload_size) == frame->tail_size ? spilled : -1;
    }
    default:
        return rules[frame->head.kind].fds;
    }
}

/* Do all of frame_parse except the check of the number of descriptors. */
static int parse(const void *buffer, size_t size, enum frame_peer allowed, struct frame *frame)
{
    if (size < sizeof(struct pinfold_frame_head) || size > PINFOLD_FRAME_MAX)
        return -EPROTO;
    memcpy(&frame->head, buffer, sizeof(frame->head));
    if (frame->head.magic != PINFOLD_FRAME_MAGIC || frame->head.version != PINFOLD_FRAME_VERSION ||
        frame->head.size != size || frame->head.kind >= PINFOLD_FRAME_KINDS)
        return -EPROTO;

    const struct frame_rule *rule = &rules[frame->head.kind];
    size_t fixed = sizeof(struct pinfold_frame_head) + rule->body;
    if (!(rule->senders & allowed) || size < fixed)
        return -EPROTO;
    size_t tail = size - fixed;
    if (tail < rule->tail_min || tail > rule->tail_max)
        return -EPROTO;
    frame->body = (const uint8_t *)buffer + sizeof(struct pinfold_frame_head);
    frame->tail = (const uint8_t *)buffer + fixed;
    frame->tail_size = (uint32_t)tail;
    return 0;
}

int frame_parse(const void *buffer, size_t size, enum frame_peer allowed, struct frame *frame)
{
    int r = parse(buffer, size, allowed, frame);
    return r == 0 && fds_expected(frame) != frame->n_fds ? -EPROTO : r;
}

int frame_send(int socket, enum pinfold_frame_kind kind, uint64_t id, const void *body, const struct iovec *tail,
               int n_tail, const int *fds, int n_fds)
{
    if ((unsigned)kind >= PINFOLD_FRAME_KINDS || n_tail < 0 || n_tail > 8 || n_fds < 0 ||
        n_fds > PINFOLD_FRAME_FDS_MAX)
        return -EINVAL;
    struct pinfold_frame_head head = {
        .magic = PINFOLD_FRAME_MAGIC, .version = PINFOLD_FRAME_VERSION, .kind = (uint8_t)kind, .id = id};
    struct iovec parts[10] = {{&head, sizeof(head)}, {(void *)body, rules[kind].body}};
    size_t size = sizeof(head) + rules[kind].body;
    for (int i = 0; i < n_tail; i++) {
        if (tail[i].iov_len > PINFOLD_FRAME_MAX - size)
            return -EMSGSIZE;
        size += tail[i].iov_len;
        parts[2 + i] = tail[i];
    }
    head.size = (uint32_t)size;

    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int) * PINFOLD_FRAME_FDS_MAX)];
    } control;
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = (size_t)(2 + n_tail)};
    if (n_fds > 0) {
        memset(&control, 0, sizeof(control));
        message.msg_control = &control;
        message.msg_controllen = CMSG_SPACE(sizeof(int) * (size_t)n_fds);
        struct cmsghdr *rights = CMSG_FIRSTHDR(&message);
        rights->cmsg_level = SOL_SOCKET;
        rights->cmsg_type = SCM_RIGHTS;
        rights->cmsg_len = CMSG_LEN(sizeof(int) * (size_t)n_fds);
        memcpy(CMSG_DATA(rights), fds, sizeof(int) * (size_t)n_fds);
    }
    ssize_t sent = RETRY_EINTR(sendmsg(socket, &message, MSG_DONTWAIT | MSG_NOSIGNAL));
    if (sent < 0) /* ECONNRESET: the peer closed its end with a message unread */
        return errno == EWOULDBLOCK ? -EAGAIN : errno == ECONNRESET ? -EPIPE : -errno;
    return 0;
}

bool frame_may_yet_go(int r)
{
    return r == -EAGAIN || r == -ENOBUFS || r == -ENOMEM || r == -ETOOMANYREFS;
}

/* Take the descriptors out of the control data, and close those beyond PINFOLD_FRAME_FDS_MAX. -EPROTO: there were
 * more; -EMFILE: the kernel kept some back although the control data had room for them. */
static int take_descriptors(struct msghdr *message, struct frame *frame)
{
    int surplus = 0;
    for (struct cmsghdr *part = CMSG_FIRSTHDR(message); part; part = CMSG_NXTHDR(message, part)) {
        if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS)
            continue;
        size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < count; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(part) + i * sizeof(int), sizeof(int));
            if (frame->n_fds < PINFOLD_FRAME_FDS_MAX)
                frame->fds[frame->n_fds++] = fd;
            else
                surplus++, close(fd);
        }
    }
    if (surplus || (message->msg_flags & MSG_CTRUNC && frame->n_fds == PINFOLD_FRAME_FDS_MAX))
        return -EPROTO;
    return message->msg_flags & MSG_CTRUNC ? -EMFILE : 0;
}

/* Return whether the socket is at end-of-file. recvmsg(2) returns 0 for an empty message, too; only the
 * socket's state distinguishes the two. */
static bool at_end(int socket)
{
    struct pollfd watched = {.fd = socket, .events = POLLRDHUP};
    return poll(&watched, 1, 0) == 1;
}

/* Remove the message that was peeked at. */
static int discard(int socket, bool *ret_unread)
{
    ssize_t size;
    do {
        size = recv(socket, NULL, 0, MSG_DONTWAIT);
        if (size < 0 && errno == ECONNRESET)
            *ret_unread = true;
    } while (size < 0 && (errno == EINTR || errno == ECONNRESET));
    return size < 0 ? -errno : 0;
}

int frame_receive(int socket, int flags, enum frame_peer allowed, void *buffer, struct frame *ret_frame)
{
    return frame_receive_noting(socket, flags, allowed, buffer, ret_frame, &(bool){false});
}

int frame_receive_noting(int socket, int flags, enum frame_peer allowed, void *buffer, struct frame *ret_frame,
                         bool *ret_unread)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int) * PINFOLD_FRAME_FDS_MAX)];
    } control;
    struct iovec part = {buffer, PINFOLD_FRAME_MAX};
    const bool look_first = flags & MSG_PEEK;
    struct msghdr message = {
        .msg_iov = &part,
        .msg_iovlen = 1,
        .msg_control = look_first ? NULL : &control,
        .msg_controllen = look_first ? 0 : sizeof(control),
    };
    ssize_t size;
    do {
        size = recvmsg(socket, &message, flags | MSG_CMSG_CLOEXEC);
        if (size < 0 && errno == ECONNRESET) /* reported ahead of what the peer sent before */
            *ret_unread = true;
    } while (size < 0 && (errno == EINTR || errno == ECONNRESET));
    if (size < 0)
        return errno == EWOULDBLOCK ? -EAGAIN : -errno;

    struct frame frame = {.fds = {-1, -1, -1}};
    int r = take_descriptors(&message, &frame);
    if (size == 0 && r == 0 && frame.n_fds == 0 && at_end(socket))
        return 0;
    if (message.msg_flags & MSG_TRUNC || (look_first && r < 0))
        r = -EPROTO;
    if (r == 0)
        r = frame_parse(buffer, (size_t)size, allowed, &frame);
    else if (r == -EMFILE && parse(buffer, (size_t)size, allowed, &frame) < 0)
        r = -EPROTO;
    if (r == 0 && look_first)
        r = discard(socket, ret_unread);
    if (r < 0)
        frame_release(&frame);
    if (r == 0 || r == -EMFILE)
        *ret_frame = frame;
    return r < 0 ? r : 1;
}

/* recvmsg(2) returns 0 at the end as for an empty message, which may have others behind it. With SO_PASSCRED a
 * message also carries credentials (unix(7)). The control buffer has no room for them, so that MSG_CTRUNC marks
 * a message. */
bool frame_left(int socket)
{
    struct msghdr message = {.msg_iov = NULL};
    (void)setsockopt(socket, SOL_SOCKET, SO_PASSCRED, &(int){1}, sizeof(int));
    ssize_t size;
    do
        size = recvmsg(socket, &message, MSG_PEEK | MSG_DONTWAIT);
    while (size < 0 && (errno == EINTR || errno == ECONNRESET));
    return size >= 0 && message.msg_flags & (MSG_TRUNC | MSG_CTRUNC);
}

void frame_release(struct frame *frame)
{
    for (int i = 0; i < PINFOLD_FRAME_FDS_MAX; i++)
        if (frame->fds[i] >= 0)
            close_fd(&frame->fds[i]);
    frame->n_fds = 0;
}

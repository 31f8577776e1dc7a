/* SPDX-License-Identifier: Apache-2.0 */
/* The frame decoder accepts exactly the frames of docs/design.md, and keeps no descriptor of any other. */
#include "check.h"
#include "wire/frame.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/socket.h>

#define ALL_PEERS (FRAME_FROM_POOL | FRAME_FROM_GUARD | FRAME_FROM_TEMPLATE | FRAME_FROM_WORKER)

/* A whole message of each kind, as bytes. */
struct message {
    uint8_t kind;
    uint8_t senders;
    uint8_t body;  /* size from docs/design.md */
    uint8_t n_fds; /* exact */
    uint32_t tail;
    uint32_t tail_max;
};

static const struct message good[] = {
    {PINFOLD_FRAME_SETUP, FRAME_FROM_POOL, 8, 0, 4, 4095},
    {PINFOLD_FRAME_TEMPLATE, FRAME_FROM_GUARD, 8, 1, 0, 0},
    {PINFOLD_FRAME_READY, FRAME_FROM_TEMPLATE | FRAME_FROM_WORKER, 0, 0, 0, 0},
    {PINFOLD_FRAME_FAILED, FRAME_FROM_GUARD | FRAME_FROM_TEMPLATE | FRAME_FROM_WORKER, 0, 0, 9,
     PINFOLD_FRAME_MAX - 16},
    {PINFOLD_FRAME_START, FRAME_FROM_POOL, 16, 3, 0, 0},
    {PINFOLD_FRAME_STARTED, FRAME_FROM_TEMPLATE, 16, 1, 0, 0},
    {PINFOLD_FRAME_EXITED, FRAME_FROM_TEMPLATE, 32, 0, 0, 0},
    {PINFOLD_FRAME_SWEPT, FRAME_FROM_TEMPLATE, 0, 0, 0, 0},
    {PINFOLD_FRAME_CALL, FRAME_FROM_POOL, 24, 0, 64, 0},
    {PINFOLD_FRAME_RESULT, FRAME_FROM_WORKER, 48, 0, 64, 0},
    {PINFOLD_FRAME_STACK, FRAME_FROM_WORKER, 0, 0, 9, PINFOLD_FRAME_MAX - 16},
    {PINFOLD_FRAME_NOTE, FRAME_FROM_WORKER, 0, 0, 9, PINFOLD_NOTE_MAX},
    {PINFOLD_FRAME_SLATE, FRAME_FROM_POOL, 0, 1, 0, 0},
    {PINFOLD_FRAME_PRINTED, FRAME_FROM_POOL, 0, 1, 0, 0},
    {PINFOLD_FRAME_DROP, FRAME_FROM_POOL, 0, 1, 0, 0},
    {PINFOLD_FRAME_TAKEN, FRAME_FROM_POOL, 0, 0, 0, 0},
    {PINFOLD_FRAME_STOP, FRAME_FROM_POOL, 0, 0, 0, 0},
};

static uint8_t bytes[PINFOLD_FRAME_MAX + 4096];
static _Alignas(8) uint8_t buffer[PINFOLD_FRAME_MAX];
static int ends[2];
static int fds_before;

static struct pinfold_frame_head *head(void)
{
    return (struct pinfold_frame_head *)(void *)bytes;
}

static struct pinfold_frame_result *result_body(void)
{
    return (struct pinfold_frame_result *)(void *)(bytes + sizeof(struct pinfold_frame_head));
}

static struct pinfold_frame_call *call_body(void)
{
    return (struct pinfold_frame_call *)(void *)(bytes + sizeof(struct pinfold_frame_head));
}

static struct pinfold_frame_started *started_body(void)
{
    return (struct pinfold_frame_started *)(void *)(bytes + sizeof(struct pinfold_frame_head));
}

/* Lay the message out in `bytes`, and return its size. */
static size_t lay_out(const struct message *message, uint32_t tail)
{
    size_t size = sizeof(struct pinfold_frame_head) + message->body + tail;
    memset(bytes, 0, sizeof(bytes));
    *head() =
        (struct pinfold_frame_head){PINFOLD_FRAME_MAGIC, PINFOLD_FRAME_VERSION, message->kind, (uint32_t)size, 42};
    memset(bytes + sizeof(struct pinfold_frame_head) + message->body, 'x', tail);
    if (message->kind == PINFOLD_FRAME_CALL)
        call_body()->payload_size = tail;
    if (message->kind == PINFOLD_FRAME_RESULT)
        result_body()->payload_size = tail;
    return size;
}

static enum frame_peer sender_of(const struct message *message)
{
    for (int peer = 1; peer <= FRAME_FROM_WORKER; peer *= 2)
        if (message->senders & peer)
            return (enum frame_peer)peer;
    return 0;
}

static void send_bytes(size_t size, int n_fds)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int) * 64)];
    } control;
    memset(&control, 0, sizeof(control));
    struct iovec part = {bytes, size};
    struct msghdr sent = {.msg_iov = &part, .msg_iovlen = 1};
    if (n_fds > 0) {
        sent.msg_control = &control;
        sent.msg_controllen = CMSG_SPACE(sizeof(int) * (size_t)n_fds);
        control.align = (struct cmsghdr){CMSG_LEN(sizeof(int) * (size_t)n_fds), SOL_SOCKET, SCM_RIGHTS};
        for (int i = 0; i < n_fds; i++)
            memcpy(CMSG_DATA(&control.align) + (size_t)i * sizeof(int), &(int){0}, sizeof(int));
    }
    assert_int_equal(sendmsg(ends[0], &sent, MSG_NOSIGNAL), size);
}

/* Send `size` bytes with n_fds descriptors and receive them: -EPROTO, and no descriptor is left. */
static void refused(const char *what, size_t size, int n_fds, enum frame_peer peer)
{
    struct frame frame;
    send_bytes(size, n_fds);
    int r = frame_receive(ends[1], MSG_DONTWAIT, peer, buffer, &frame);
    if (r != -EPROTO)
        fail_msg("kind %u, %s: %d", head()->kind, what, r);
    if (count_entries("/proc/self/fd") != fds_before)
        fail_msg("kind %u, %s: a descriptor is left", head()->kind, what);
}

static void accepted(size_t size, int n_fds, enum frame_peer peer, struct frame *frame)
{
    send_bytes(size, n_fds);
    assert_int_equal(frame_receive(ends[1], MSG_DONTWAIT, peer, buffer, frame), 1);
    assert_int_equal(frame->n_fds, n_fds);
    for (int i = 0; i < PINFOLD_FRAME_FDS_MAX; i++)
        assert_int_equal(frame->fds[i] >= 0, i < n_fds);
    for (int i = 0; i < n_fds; i++)
        assert_int_equal(fcntl(frame->fds[i], F_GETFD), FD_CLOEXEC);
}

static int open_ends(void **state)
{
    (void)state;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
        return -1;
    fds_before = count_entries("/proc/self/fd");
    return 0;
}

static int close_ends(void **state)
{
    (void)state;
    int after = count_entries("/proc/self/fd");
    close(ends[0]);
    close(ends[1]);
    return after == fds_before || after == fds_before - 1 ? 0 : -1; /* a test may have closed one of them */
}

static void test_a_good_frame_of_every_kind_is_taken(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(good); i++) {
        struct frame frame;
        size_t size = lay_out(&good[i], good[i].tail);
        accepted(size, good[i].n_fds, sender_of(&good[i]), &frame);
        assert_int_equal(frame.head.kind, good[i].kind);
        assert_int_equal(frame.head.id, 42);
        assert_int_equal(frame.tail_size, good[i].tail);
        assert_int_equal(frame_body_size(good[i].kind), good[i].body);
        assert_memory_equal(frame.body, bytes + 16, good[i].body);
        assert_memory_equal(frame.tail, bytes + 16 + good[i].body, good[i].tail);
        frame_release(&frame);
        assert_same_fds(fds_before);
    }
    assert_int_equal(COUNT_OF(good), PINFOLD_FRAME_KINDS - 1);
}

static void test_a_frame_is_taken_from_its_senders_only(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(good); i++) {
        for (int peer = 1; peer <= FRAME_FROM_WORKER; peer *= 2) {
            struct frame frame;
            size_t size = lay_out(&good[i], good[i].tail);
            if (!(good[i].senders & peer)) {
                refused("from a peer that may not send it", size, good[i].n_fds, (enum frame_peer)peer);
                continue;
            }
            accepted(size, good[i].n_fds, (enum frame_peer)peer, &frame);
            frame_release(&frame);
        }
    }
}

static void test_a_head_that_is_not_exact_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(good); i++) {
        const struct message *message = &good[i];
        enum frame_peer peer = sender_of(message);
        size_t size = lay_out(message, message->tail);
        head()->magic ^= 1;
        refused("magic", size, message->n_fds, peer);
        for (unsigned version = 0; version < 256; version++) {
            lay_out(message, message->tail);
            head()->version = (uint8_t)version;
            if (version != PINFOLD_FRAME_VERSION)
                refused("version", size, message->n_fds, peer);
        }
        static const int wrong[] = {-1, 1, -16, 4096};
        for (size_t k = 0; k < COUNT_OF(wrong); k++) {
            lay_out(message, message->tail);
            head()->size += (uint32_t)wrong[k];
            refused("size", size, message->n_fds, peer);
        }
    }
}

static void test_an_unknown_kind_is_refused_from_everybody(void **state)
{
    (void)state;
    for (unsigned kind = 0; kind < 256; kind++) {
        if (kind >= 1 && kind < PINFOLD_FRAME_KINDS)
            continue;
        for (int n_fds = 0; n_fds <= PINFOLD_FRAME_FDS_MAX; n_fds++) {
            size_t size = lay_out(&good[3], 9);
            head()->kind = (uint8_t)kind;
            refused("kind", size, n_fds, (enum frame_peer)ALL_PEERS);
        }
    }
}

static void test_every_message_that_is_too_short_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(good); i++) {
        const struct message *message = &good[i];
        size_t whole = lay_out(message, message->tail);
        bool exact_tail = message->kind == PINFOLD_FRAME_CALL || message->kind == PINFOLD_FRAME_RESULT;
        size_t least = whole - (exact_tail ? 0 : message->tail) + (message->kind == PINFOLD_FRAME_SETUP ? 1 : 0);
        for (size_t size = 1; size < least; size++) {
            lay_out(message, message->tail);
            refused("cut", size, message->n_fds, sender_of(message));
            head()->size = (uint32_t)size;
            refused("cut, and its size with it", size, message->n_fds, sender_of(message));
        }
    }
}

static void test_a_tail_where_none_belongs_or_too_long_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(good); i++) {
        const struct message *message = &good[i];
        if (message->kind == PINFOLD_FRAME_CALL || message->kind == PINFOLD_FRAME_RESULT)
            continue;
        struct frame frame;
        accepted(lay_out(message, message->tail_max), message->n_fds, sender_of(message), &frame);
        frame_release(&frame);
        refused("tail", lay_out(message, message->tail_max + 1), message->n_fds, sender_of(message));
    }
}

static void test_a_message_larger_than_a_frame_is_refused(void **state)
{
    (void)state;
    struct message stack = good[10];
    refused("larger than FRAME_MAX", lay_out(&stack, PINFOLD_FRAME_MAX - 15), 0, FRAME_FROM_WORKER);
    refused("larger, with descriptors", lay_out(&stack, PINFOLD_FRAME_MAX - 15), 3, FRAME_FROM_WORKER);
    /* The kernel cuts it to the buffer. Only MSG_TRUNC shows that if the head names the size of what is left. */
    lay_out(&stack, PINFOLD_FRAME_MAX - 15);
    head()->size = PINFOLD_FRAME_MAX;
    refused("larger, and the head says it fits", PINFOLD_FRAME_MAX + 1, 0, FRAME_FROM_WORKER);
}

static void test_a_wrong_number_of_descriptors_is_refused_and_all_are_closed(void **state)
{
    (void)state;
    static const int counts[] = {0, 1, 2, 3, 4, 5, 8, 64}; /* above 4 the kernel drops some: MSG_CTRUNC */
    for (size_t i = 0; i < COUNT_OF(good); i++)
        for (size_t k = 0; k < COUNT_OF(counts); k++)
            if (counts[k] != good[i].n_fds)
                refused("descriptors", lay_out(&good[i], good[i].tail), counts[k], sender_of(&good[i]));
}

static void test_descriptors_that_find_no_room_are_told_from_damage(void **state)
{
    (void)state;
    struct rlimit before;
    getrlimit(RLIMIT_NOFILE, &before);
    int lowest = fcntl(0, F_DUPFD_CLOEXEC, 0);
    close(lowest);
    for (int room = 0; room <= 3; room++) {
        struct frame frame;
        send_bytes(lay_out(&good[4], 0), 3); /* START */
        setrlimit(RLIMIT_NOFILE, &(struct rlimit){(rlim_t)(lowest + room), before.rlim_max});
        int r = frame_receive(ends[1], MSG_DONTWAIT, FRAME_FROM_POOL, buffer, &frame);
        setrlimit(RLIMIT_NOFILE, &before);
        assert_int_equal(r, room < 3 ? -EMFILE : 1);
        assert_int_equal(frame.head.id, 42);
        assert_int_equal(frame.head.kind, PINFOLD_FRAME_START);
        frame_release(&frame);
        assert_same_fds(fds_before);
        /* A frame that is also invalid is damaged, not unlucky. */
        send_bytes(lay_out(&good[4], 1), 3);
        setrlimit(RLIMIT_NOFILE, &(struct rlimit){(rlim_t)(lowest + room), before.rlim_max});
        r = frame_receive(ends[1], MSG_DONTWAIT, FRAME_FROM_POOL, buffer, &frame);
        setrlimit(RLIMIT_NOFILE, &before);
        assert_int_equal(r, -EPROTO);
        assert_same_fds(fds_before);
    }
}

static void test_descriptors_come_exactly_when_the_body_says_so(void **state)
{
    (void)state;
    const struct message *started = &good[5], *call = &good[8], *result = &good[9];
    struct frame frame;

    size_t size = lay_out(started, 0);
    started_body()->error = EAGAIN;
    accepted(size, 0, FRAME_FROM_TEMPLATE, &frame);
    refused("STARTED with an error and a pidfd", size, 1, FRAME_FROM_TEMPLATE);

    size = lay_out(call, 0);
    call_body()->payload_size = UINT64_C(1) << 40;
    call_body()->flags = PINFOLD_CALL_SPILLED;
    accepted(size, 1, FRAME_FROM_POOL, &frame);
    frame_release(&frame);
    refused("CALL without its spill", size, 0, FRAME_FROM_POOL);
    size = lay_out(call, 8);
    call_body()->flags = PINFOLD_CALL_SPILLED;
    refused("CALL with a spill and a tail", size, 1, FRAME_FROM_POOL);

    size = lay_out(result, 0);
    result_body()->payload_size = UINT64_C(1) << 40;
    result_body()->flags = PINFOLD_RESULT_SPILLED;
    accepted(size, 1, FRAME_FROM_WORKER, &frame);
    frame_release(&frame);
    refused("RESULT without its spill", size, 0, FRAME_FROM_WORKER);
    refused("RESULT with two spills", size, 2, FRAME_FROM_WORKER);
    size = lay_out(result, 8);
    result_body()->flags = PINFOLD_RESULT_SPILLED;
    refused("RESULT with a spill and a tail", size, 1, FRAME_FROM_WORKER);

    for (uint32_t tail = 0; tail <= 8; tail++) {
        size = lay_out(result, tail);
        result_body()->payload_size = UINT64_C(1) << 40;
        result_body()->flags = PINFOLD_RESULT_HELD;
        if (tail == sizeof(int32_t))
            accepted(size, 0, FRAME_FROM_WORKER, &frame);
        else
            refused("RESULT with a number that is none", size, 0, FRAME_FROM_WORKER);
        refused("RESULT with a number and a spill", size, 1, FRAME_FROM_WORKER);
        result_body()->flags = PINFOLD_RESULT_HELD | PINFOLD_RESULT_SPILLED;
        refused("RESULT that is held and sent", size, 0, FRAME_FROM_WORKER);
        refused("RESULT that is held and sent, with a spill", size, 1, FRAME_FROM_WORKER);
    }
}

static void test_a_payload_size_that_is_not_the_tails_is_refused(void **state)
{
    (void)state;
    static const uint64_t wrong[] = {0, 63, 65, UINT64_C(1) << 32 | 64, UINT64_MAX};
    for (size_t i = 0; i < COUNT_OF(wrong); i++) {
        size_t size = lay_out(&good[8], 64);
        call_body()->payload_size = wrong[i];
        refused("payload_size", size, 0, FRAME_FROM_POOL);
        size = lay_out(&good[9], 64);
        result_body()->payload_size = wrong[i];
        refused("payload_size", size, 0, FRAME_FROM_WORKER);
    }
}

static void test_a_result_status_that_means_nothing_is_refused(void **state)
{
    (void)state;
    struct frame frame;
    for (uint32_t status = 0; status < PINFOLD_STATUSES; status++) {
        size_t size = lay_out(&good[9], 64);
        result_body()->status = status;
        accepted(size, 0, FRAME_FROM_WORKER, &frame);
    }
    static const uint32_t wrong[] = {PINFOLD_STATUSES, 255, 256, UINT32_MAX};
    for (size_t i = 0; i < COUNT_OF(wrong); i++) {
        size_t size = lay_out(&good[9], 64);
        result_body()->status = wrong[i];
        refused("status", size, 0, FRAME_FROM_WORKER);
    }
}

static void test_only_a_call_that_ended_says_how(void **state)
{
    (void)state;
    struct frame frame;
    static const int32_t right[] = {0, 1, 255, -1, -64}, wrong[] = {256, -65, INT32_MIN, INT32_MAX};
    for (uint32_t status = 0; status < PINFOLD_STATUSES; status++) {
        for (size_t i = 0; i < COUNT_OF(right); i++) {
            size_t size = lay_out(&good[9], 64);
            result_body()->status = status;
            result_body()->ended = right[i];
            if (status == PINFOLD_STATUS_ENDED || right[i] == 0)
                accepted(size, 0, FRAME_FROM_WORKER, &frame);
            else
                refused("ended", size, 0, FRAME_FROM_WORKER);
        }
    }
    for (size_t i = 0; i < COUNT_OF(wrong); i++) {
        size_t size = lay_out(&good[9], 64);
        result_body()->status = PINFOLD_STATUS_ENDED;
        result_body()->ended = wrong[i];
        refused("ended", size, 0, FRAME_FROM_WORKER);
    }
}

static void test_an_empty_message_is_damaged_and_no_end_of_file(void **state)
{
    (void)state;
    struct frame frame;
    refused("empty", 0, 0, FRAME_FROM_WORKER);
    refused("empty, with a descriptor", 0, 1, FRAME_FROM_WORKER);
    accepted(lay_out(&good[10], 9), 0, FRAME_FROM_WORKER, &frame);
}

static void test_nothing_yet_and_nothing_ever_again_are_told_apart(void **state)
{
    (void)state;
    struct frame frame;
    assert_int_equal(frame_receive(ends[1], MSG_DONTWAIT, FRAME_FROM_WORKER, buffer, &frame), -EAGAIN);
    send_bytes(lay_out(&good[10], 9), 0);
    close_fd(&ends[0]);
    assert_int_equal(frame_receive(ends[1], MSG_DONTWAIT, FRAME_FROM_WORKER, buffer, &frame), 1);
    assert_int_equal(frame_receive(ends[1], MSG_DONTWAIT, FRAME_FROM_WORKER, buffer, &frame), 0);
    assert_int_equal(frame_receive(ends[1], MSG_DONTWAIT, FRAME_FROM_WORKER, buffer, &frame), 0);
}

static void test_what_a_peer_sent_is_read_although_it_left_something_unread(void **state)
{
    (void)state;
    struct frame frame;
    assert_int_equal(send(ends[1], "unread", 6, 0), 6);
    send_bytes(lay_out(&good[10], 9), 0);
    close_fd(&ends[0]); /* resets the connection, which the receiver learns before it gets the frame */
    assert_int_equal(frame_receive(ends[1], MSG_DONTWAIT, FRAME_FROM_WORKER, buffer, &frame), 1);
    assert_int_equal(frame_receive(ends[1], MSG_DONTWAIT, FRAME_FROM_WORKER, buffer, &frame), 0);
}

static void receive(int flags, int r, struct frame *frame)
{
    assert_int_equal(frame_receive(ends[1], MSG_DONTWAIT | flags, FRAME_FROM_WORKER, buffer, frame), r);
}

static void test_of_what_is_looked_at_first_only_good_frames_are_taken(void **state)
{
    (void)state;
    struct frame frame;
    for (int i = 0; i < 2; i++)
        send_bytes(lay_out(&good[10], 9), 0);
    for (int i = 0; i < 2; i++)
        receive(MSG_PEEK, 1, &frame);
    receive(MSG_PEEK, -EAGAIN, &frame);

    size_t size = lay_out(&good[9], 0);
    result_body()->payload_size = UINT64_C(1) << 40;
    result_body()->flags = PINFOLD_RESULT_SPILLED;
    send_bytes(size, 1);
    receive(MSG_PEEK, -EPROTO, &frame); /* good, except for its descriptor */
    assert_same_fds(fds_before);
    receive(0, 1, &frame);
    assert_int_equal(frame.n_fds, 1);
    frame_release(&frame);

    static const int surplus[] = {1, 4, 64};
    for (size_t i = 0; i < COUNT_OF(surplus); i++) {
        send_bytes(lay_out(&good[10], 9), surplus[i]);
        for (int k = 0; k < 3; k++) {
            receive(MSG_PEEK, -EPROTO, &frame);
            assert_same_fds(fds_before);
        }
        receive(0, -EPROTO, &frame);
    }
}

static void test_what_is_left_in_a_socket_is_told_from_its_end(void **state)
{
    (void)state;
    assert_false(frame_left(ends[1]));
    static const struct {
        size_t size;
        int n_fds;
    } left[] = {{0, 0}, {0, 1}, {1, 0}, {16, 64}};
    for (size_t i = 0; i <= COUNT_OF(left); i++) {
        close_fd(&ends[0]);
        close_fd(&ends[1]);
        assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
        if (i < COUNT_OF(left))
            send_bytes(left[i].size, left[i].n_fds);
        close_fd(&ends[0]);
        assert_int_equal(frame_left(ends[1]), i < COUNT_OF(left));
        assert_int_equal(frame_left(ends[1]), i < COUNT_OF(left));
    }
}

static void test_a_sent_frame_arrives_whole(void **state)
{
    (void)state;
    struct pinfold_frame_result body = {.payload_size = 11, .user_us = 1, .sys_us = 2, .peak_kb = 3};
    const struct iovec tail[] = {{"hello ", 6}, {"", 0}, {"world", 5}};
    assert_int_equal(frame_send(ends[0], PINFOLD_FRAME_RESULT, 7, &body, tail, 3, NULL, 0), 0);
    struct frame frame;
    assert_int_equal(frame_receive(ends[1], MSG_DONTWAIT, FRAME_FROM_WORKER, buffer, &frame), 1);
    assert_int_equal(frame.head.id, 7);
    assert_memory_equal(frame.body, &body, sizeof(body));
    assert_memory_equal(frame.tail, "hello world", 11);

    struct pinfold_frame_start start = {.worker_id = "0123456789ab"};
    assert_int_equal(frame_send(ends[0], PINFOLD_FRAME_START, 8, &start, NULL, 0, (const int[]){0, 1, 2}, 3), 0);
    assert_int_equal(frame_receive(ends[1], MSG_DONTWAIT, FRAME_FROM_POOL, buffer, &frame), 1);
    assert_int_equal(frame.n_fds, 3);
    frame_release(&frame);
}

static void test_a_frame_that_cannot_be_sent_says_why(void **state)
{
    (void)state;
    static char large[PINFOLD_FRAME_MAX];
    struct iovec tail = {large, PINFOLD_FRAME_MAX - 16};
    assert_int_equal(frame_send(ends[0], PINFOLD_FRAME_STACK, 1, NULL, &tail, 1, NULL, 0), 0);
    tail.iov_len++;
    assert_int_equal(frame_send(ends[0], PINFOLD_FRAME_STACK, 1, NULL, &tail, 1, NULL, 0), -EMSGSIZE);
    tail.iov_len = SIZE_MAX;
    assert_int_equal(frame_send(ends[0], PINFOLD_FRAME_STACK, 1, NULL, &tail, 1, NULL, 0), -EMSGSIZE);
    tail.iov_len = 1;
    assert_int_equal(frame_send(ends[0], PINFOLD_FRAME_KINDS, 1, NULL, &tail, 1, NULL, 0), -EINVAL);
    assert_int_equal(frame_send(ends[0], PINFOLD_FRAME_STACK, 1, NULL, &tail, 9, NULL, 0), -EINVAL);
    assert_int_equal(frame_send(ends[0], PINFOLD_FRAME_STACK, 1, NULL, NULL, 0, (const int[]){0, 0, 0, 0}, 4),
                     -EINVAL);
    assert_int_equal(frame_send(ends[0], PINFOLD_FRAME_STACK, 1, NULL, NULL, 0, (const int[]){-1}, 1), -EBADF);
    int r;
    do
        r = frame_send(ends[0], PINFOLD_FRAME_STACK, 1, NULL, &tail, 1, NULL, 0);
    while (r == 0);
    assert_int_equal(r, -EAGAIN);
    close_fd(&ends[1]);
    assert_int_equal(frame_send(ends[0], PINFOLD_FRAME_STACK, 1, NULL, &tail, 1, NULL, 0), -EPIPE);
}

/* Random damage to good frames, in memory that ends with the message: accepted frames keep the rules. */
static void test_random_bytes_are_refused_or_keep_every_rule(void **state)
{
    (void)state;
    uint64_t seed = 20261123;
    uint32_t taken = 0;
    for (int round = 0; round < 200000; round++) {
        const struct message *message = &good[random_below(&seed, COUNT_OF(good))];
        size_t size = lay_out(message, message->tail + random_below(&seed, 3) * 8);
        for (uint32_t k = random_below(&seed, 3); k > 0; k--)
            bytes[random_below(&seed, (uint32_t)size)] = (uint8_t)random_next(&seed);
        if (random_below(&seed, 4) == 0)
            size = random_below(&seed, (uint32_t)size + 1);
        uint8_t *copy = malloc(size ? size : 1);
        memcpy(copy, bytes, size);
        struct frame frame = {.n_fds = (int)random_below(&seed, 4), .fds = {-1, -1, -1}};
        enum frame_peer peer = (enum frame_peer)(1 << random_below(&seed, 4));
        int r = frame_parse(copy, size, peer, &frame);
        if (r == 0) {
            taken++;
            assert_in_range(frame.head.kind, 1, PINFOLD_FRAME_KINDS - 1);
            assert_int_equal(frame.head.size, size);
            assert_ptr_equal(frame.body, copy + 16);
            assert_ptr_equal(frame.tail, copy + 16 + frame_body_size(frame.head.kind));
            assert_int_equal(16 + frame_body_size(frame.head.kind) + frame.tail_size, size);
        } else {
            assert_int_equal(r, -EPROTO);
        }
        free(copy);
    }
    assert_true(taken > 1000); /* otherwise the rest of this test checked nothing */
}

int main(void)
{
#define FRAME_TEST(test) cmocka_unit_test_setup_teardown(test, open_ends, close_ends)
    const struct CMUnitTest tests[] = {
        FRAME_TEST(test_a_good_frame_of_every_kind_is_taken),
        FRAME_TEST(test_a_frame_is_taken_from_its_senders_only),
        FRAME_TEST(test_a_head_that_is_not_exact_is_refused),
        FRAME_TEST(test_an_unknown_kind_is_refused_from_everybody),
        FRAME_TEST(test_every_message_that_is_too_short_is_refused),
        FRAME_TEST(test_a_tail_where_none_belongs_or_too_long_is_refused),
        FRAME_TEST(test_a_message_larger_than_a_frame_is_refused),
        FRAME_TEST(test_a_wrong_number_of_descriptors_is_refused_and_all_are_closed),
        FRAME_TEST(test_descriptors_that_find_no_room_are_told_from_damage),
        FRAME_TEST(test_descriptors_come_exactly_when_the_body_says_so),
        FRAME_TEST(test_a_payload_size_that_is_not_the_tails_is_refused),
        FRAME_TEST(test_a_result_status_that_means_nothing_is_refused),
        FRAME_TEST(test_only_a_call_that_ended_says_how),
        FRAME_TEST(test_an_empty_message_is_damaged_and_no_end_of_file),
        FRAME_TEST(test_nothing_yet_and_nothing_ever_again_are_told_apart),
        FRAME_TEST(test_what_a_peer_sent_is_read_although_it_left_something_unread),
        FRAME_TEST(test_of_what_is_looked_at_first_only_good_frames_are_taken),
        FRAME_TEST(test_what_is_left_in_a_socket_is_told_from_its_end),
        FRAME_TEST(test_a_sent_frame_arrives_whole),
        FRAME_TEST(test_a_frame_that_cannot_be_sent_says_why),
        FRAME_TEST(test_random_bytes_are_refused_or_keep_every_rule),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

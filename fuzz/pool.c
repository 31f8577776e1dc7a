/* SPDX-License-Identifier: Apache-2.0 */
/* pool.c - the whole pool. The input determines what the guard, the template and the workers do (frames,
 * descriptors, output, hang-ups, deaths), and what callers do meanwhile.
 *
 * The pool is the real one, including its thread's loop; the kernel is simulated (kernel.h). The thread is a plain
 * call of its function, and each epoll_wait(2) of it takes the input's next steps. One input always gives the same
 * run.
 *
 * Input: four bytes of config, then steps: a byte and the step's own bytes. Bits 0 to 3 of the byte: which step;
 * 5: on a worker's slate instead, or with 4 in its printed buffer; 7: the next step comes before the pool looks.
 * Missing bytes are 0.
 */
#include "fuzz.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "base/util.h"
#include "kernel.h"
#include "pool/pool.h"
#include "wire/payload.h"
#include "wire/printed.h"
#include "wire/slate.h"

#define WORKERS 12
#define CALLS 16

struct far_worker {
    uint64_t number, call; /* call: the last one that it got */
    uint64_t calls[CALLS]; /* calls received, in order, from the first that it has not used */
    uint32_t n_calls;
    int channel, pipes[2];
    struct pinfold_slate *slate; /* NULL: none */
    struct pinfold_printed *printed;
};

static struct world {
    const uint8_t *at, *end;
    pinfold_pool *pool;
    pinfold_queue *queue;
    struct far_worker workers[WORKERS];
    uint32_t n_workers;
    bool deaf; /* the template reads nothing */
    struct {
        uint64_t id;
        bool queued, delivered;
    } calls[CALLS];
    uint32_t n_calls;
    int rounds; /* of the closing */
} world;

static const char *const command[] = {"/bin/true", NULL}; /* looked for, but never run */
static const char spill_dir[] = "/tmp";                   /* spills have no name there */
_Alignas(8) static uint8_t buffer[PINFOLD_FRAME_MAX];

static uint8_t byte(void)
{
    return world.at < world.end ? *world.at++ : 0;
}

static void bytes(void *to, size_t size)
{
    for (size_t i = 0; i < size; i++)
        ((uint8_t *)to)[i] = byte();
}

/* ---- the far ends ------------------------------------------------------------------------------------------- */

static void end_worker(struct far_worker *worker)
{
    close_fd(&worker->channel);
    close_fd(&worker->pipes[0]);
    close_fd(&worker->pipes[1]);
    slate_unmap(&worker->slate);
    if (worker->printed)
        munmap(TAKE_PTR(worker->printed), sizeof(*worker->printed));
}

static void hear_start(struct frame *frame)
{
    CHECK(frame->head.kind == PINFOLD_FRAME_SETUP || frame->head.kind == PINFOLD_FRAME_START);
    if (frame->head.kind == PINFOLD_FRAME_START && world.n_workers < WORKERS)
        world.workers[world.n_workers++] =
            (struct far_worker){.number = frame->head.id,
                                .channel = TAKE_FD(frame->fds[0]),
                                .pipes = {TAKE_FD(frame->fds[1]), TAKE_FD(frame->fds[2])}};
    frame_release(frame);
}

static void hear_call(struct far_worker *worker, struct frame *frame)
{
    if (frame->head.kind == PINFOLD_FRAME_SLATE) {
        CHECK(!worker->slate && worker->call == 0 && slate_map(frame->fds[0], &worker->slate) == 0);
    } else if (frame->head.kind == PINFOLD_FRAME_PRINTED) {
        CHECK(!worker->printed && worker->call == 0 && printed_map(frame->fds[0], &worker->printed) == 0);
    } else if (frame->head.kind != PINFOLD_FRAME_TAKEN) {
        CHECK(frame->head.kind == PINFOLD_FRAME_CALL);
        if (frame->n_fds == 0)
            check_payload(frame->tail, frame->tail_size);
        worker->call = frame->head.id;
        CHECK(worker->n_calls < CALLS);
        worker->calls[worker->n_calls++] = worker->call;
    }
    frame_release(frame);
}

/* Return the call that the worker's frame names: the last one, or the next in order. */
static uint64_t call_of(struct far_worker *worker, bool next)
{
    if (!next || worker->n_calls == 0)
        return worker->call;
    const uint64_t call = worker->calls[0];
    memmove(worker->calls, worker->calls + 1, --worker->n_calls * sizeof(call));
    return call;
}

/* Take what the pool has sent, all of which must be valid. */
static void hear(void)
{
    struct frame frame;
    for (uint32_t i = 0; i < kernel.n_templates && !world.deaf; i++) {
        int control = kernel.templates[i].control, r = 0;
        while (control >= 0 && (r = frame_receive(control, MSG_DONTWAIT, FRAME_FROM_POOL, buffer, &frame)) == 1)
            hear_start(&frame);
        CHECK(r == 0 || r == -EAGAIN);
    }
    for (uint32_t i = 0; i < world.n_workers; i++) {
        int channel = world.workers[i].channel, r = 0;
        while (channel >= 0 && (r = frame_receive(channel, MSG_DONTWAIT, FRAME_FROM_POOL, buffer, &frame)) == 1)
            hear_call(&world.workers[i], &frame);
        CHECK(r == 0 || r == -EAGAIN);
    }
}

/* Make a spill with one segment of `size` bytes from the input. */
static int make_spill(size_t size, uint64_t *ret_size)
{
    static uint8_t content[1 << 17];
    memset(content, byte(), size);
    const struct iovec segment = {content, size};
    int fd = -1;
    pinfold_error error;
    CHECK(spill_write(&world.pool->spills, &segment, 1, &fd, ret_size, &error) == 0);
    return fd;
}

static int make_memfd(unsigned seals)
{
    int fd = memfd_create("fuzz", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    CHECK(fd >= 0 && ftruncate(fd, byte() * 16) == 0);
    if (seals)
        CHECK(fcntl(fd, F_ADD_SEALS, seals) == 0);
    return fd;
}

/* Make a descriptor that a peer might pass; *ret_size: of the payload in it. */
static int make_fd(bool trusted, uint64_t *ret_size)
{
    switch (trusted ? 0 : byte() & 7) {
    default:
        return kernel_new_process();
    case 1:
        return make_spill(byte(), ret_size);
    case 2:
        return make_spill(60000 + 256 * (size_t)byte(), ret_size);
    case 3: { /* can still be written to */
        _cleanup_close_ int fd = make_spill(byte(), ret_size);
        char path[32];
        snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        return open(path, O_RDWR | O_CLOEXEC);
    }
    case 4:
        return make_memfd(0);
    case 5:
        return make_memfd(F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL);
    case 6:
        return open("/dev/null", O_RDWR | O_CLOEXEC);
    case 7:
        return open(spill_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    }
}

/* Send one message: head, body and tail from the input, or parts of them corrected, since no mutation would
 * find a handle of 61 bits. The guard is never hostile: its descriptors are as they should be. */
static void say(int socket, uint64_t id, bool trusted)
{
    enum { RAW = 1, OTHER_ID = 8, ZERO_BODY = 16, RIGHT_SIZE = 32, PAYLOAD = 64, LONG = 128 };
    static uint8_t message[PINFOLD_FRAME_MAX + 64];
    uint8_t how = byte();
    struct pinfold_frame_head *head = (struct pinfold_frame_head *)(void *)message;
    memset(message, 0, 256);
    if (how & RAW)
        bytes(head, sizeof(*head));
    else
        *head = (struct pinfold_frame_head){PINFOLD_FRAME_MAGIC, PINFOLD_FRAME_VERSION, byte(), 0,
                                            how & OTHER_ID ? byte() : id};
    uint8_t *body = message + sizeof(*head), *tail = body + frame_body_size(head->kind);
    if (!(how & ZERO_BODY))
        bytes(body, (size_t)(tail - body));

    struct frame frame = {.n_fds = 0, .fds = {-1, -1, -1}};
    uint64_t payload = 0;
    for (int n = how >> 1 & 3; n > 0; n--)
        if ((frame.fds[frame.n_fds] = make_fd(trusted, &payload)) >= 0)
            frame.n_fds++;

    size_t size = byte();
    if (how & LONG)
        size = size * 257;
    if (how & PAYLOAD) {
        uint8_t content[256];
        const struct iovec segment = {content, size < sizeof(content) ? size : sizeof(content)};
        bytes(content, segment.iov_len);
        CHECK(payload_size(&segment, 1, &payload) == 0);
        payload_copy(tail, &segment, 1);
        size = payload;
    } else {
        bytes(tail, size < 256 ? size : 256);
    }
    if (how & RIGHT_SIZE && head->kind == PINFOLD_FRAME_RESULT)
        memcpy(body, &payload, sizeof(payload));
    if (head->kind == PINFOLD_FRAME_STARTED &&
        !(how & RAW)) /* a process whose memory would not be read from /proc */
        memcpy(body, &(int32_t){NOBODY + (int)body[0]}, sizeof(int32_t));
    size += (size_t)(tail - message);
    if (!(how & RAW))
        head->size = (uint32_t)size;

    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int) * PINFOLD_FRAME_FDS_MAX)];
    } control = {.bytes = {0}};
    struct iovec part = {message, size};
    struct msghdr sent = {.msg_iov = &part, .msg_iovlen = 1};
    if (frame.n_fds > 0) {
        size_t length = sizeof(int) * (size_t)frame.n_fds;
        sent.msg_control = &control;
        sent.msg_controllen = CMSG_SPACE(length);
        control.align = (struct cmsghdr){CMSG_LEN(length), SOL_SOCKET, SCM_RIGHTS};
        memcpy(CMSG_DATA(&control.align), frame.fds, length);
    }
    if (socket >= 0)
        (void)!sendmsg(socket, &sent, MSG_DONTWAIT | MSG_NOSIGNAL); /* full, or the pool has hung up */
    frame_release(&frame);
}

static void print_to(int pipe)
{
    static const char text[4096] = "text";
    if (pipe >= 0 && poll(&(struct pollfd){pipe, POLLOUT, 0}, 1, 0) == 1)
        (void)!write(pipe, text, 16 * (size_t)byte());
}

/* Write the printed buffer as a worker would, or anything at all. */
static void write_printed(struct pinfold_printed *printed)
{
    uint32_t numbers[7];
    bytes(numbers, sizeof(numbers));
    if (!printed)
        return;
    for (int stream = 0; stream < PINFOLD_PRINTED_STREAMS; stream++) {
        printed->streams[stream].begin = numbers[stream] % (PINFOLD_PRINTED_BYTES + 2);
        printed->streams[stream].end = numbers[2 + stream];
        printed->streams[stream].writing = numbers[4 + stream];
    }
    printed->c_size = numbers[6];
    bytes(printed->bytes[PINFOLD_PRINTED_OUT], byte());
}

/* Write the slate as a worker would that begins its next call or closes it, or anything at all. */
static void write_slate(struct pinfold_slate *slate)
{
    uint64_t word;
    uint8_t how = byte();
    if (!slate)
        return;
    switch (how & 7) {
    case 0:
        slate_close(slate);
        break;
    case 1:
        bytes(&word, sizeof(word));
        atomic_store(&slate->word, word);
        break;
    case 2:
        bytes(&word, sizeof(word));
        atomic_store(&slate->begun[how >> 4 & (PINFOLD_SLATE_TURNS - 1)], (int64_t)word);
        break;
    case 3:
        atomic_store(&slate->reads, byte());
        break;
    default:
        slate_begin(slate, (uint32_t)atomic_load(&slate->word) & (UINT32_MAX >> 1));
        break;
    }
}

/* ---- the callers -------------------------------------------------------------------------------------------- */

static void submit(pinfold_queue *queue)
{
    static uint8_t content[1 << 17];
    static const int64_t deadlines[] = {NS_PER_MS, 50 * NS_PER_MS, NS_PER_S, PINFOLD_FOREVER};
    uint8_t what = byte(), size = byte(), output = what & 16 ? byte() : 0, result = what & 32 ? byte() : 0;
    const struct iovec segments[] = {{content, size}, {content, what & 4 ? 60000 + 256 * (size_t)byte() : 100}};
    pinfold_call call = {
        .size = sizeof(call),
        .segments = segments,
        .n_segments = 1 + (what >> 3 & 1),
        .deadline_ns = deadlines[what & 3],
        .queue = queue,
        .output_bytes = output,
        .result_bytes = 16 * (uint64_t)result,
        .memory_bytes = what & 64 ? 1 << 20 : 0,
        .cpu_ns = what & 64 ? NS_PER_S : 0,
        .processes = what & 64 ? 2 : 0,
        .file_bytes = what & 128 ? 1 : 0,
    };
    uint64_t id;
    pinfold_error error;
    if (world.n_calls == CALLS || pinfold_pool_submit(world.pool, &call, &id, &error) < 0)
        return;
    world.calls[world.n_calls].id = id;
    world.calls[world.n_calls++].queued = queue;
}

static void take(pinfold_result *result)
{
    uint32_t i = 0;
    while (i < world.n_calls && world.calls[i].id != result->call_id)
        i++;
    CHECK(i < world.n_calls && !world.calls[i].delivered);
    world.calls[i].delivered = true;
    CHECK(result->outcome < PINFOLD_OUTCOMES);
    CHECK(result->out[result->out_size] == '\0' && result->err[result->err_size] == '\0');
    look_at(result->reason, strlen(result->reason));
    look_at(result->stack, strlen(result->stack));
    look_at(result->note, result->note_size);
    look_at(result->out, result->out_size);
    look_at(result->err, result->err_size);
    for (uint32_t k = 0; k < result->n_segments; k++)
        look_at(result->segments[k].iov_base, result->segments[k].iov_len);
    pinfold_result_free(result);
}

static void take_all(void)
{
    pinfold_result *result;
    pinfold_event event;
    pinfold_stats stats = {.size = sizeof(stats)};
    while (pinfold_pool_next(world.pool, &result) == 0)
        take(result);
    while (pinfold_pool_next_event(world.pool, &event) == 0)
        look_at(&event, sizeof(event));
    CHECK(pinfold_pool_stats(world.pool, &stats) == 0 && stats.running <= world.pool->config.max_workers);
    pinfold_pool_wait_ready(world.pool, 0, NULL);
    pinfold_pool_renewal(world.pool, NULL);
}

/* Use the caller's queue, opened when a call first needs it. If it is closed, its calls end unseen. */
static void use_queue(void)
{
    pinfold_result *result;
    if (!world.queue)
        CHECK(pinfold_queue_open(world.pool, &world.queue) == 0);
    switch (byte() & 3) {
    case 0:
        while (pinfold_queue_next(world.queue, &result) == 0)
            take(result);
        break;
    case 1:
        pinfold_queue_close(world.queue);
        world.queue = NULL;
        break;
    default:
        submit(world.queue);
    }
}

static uint64_t some_call(void)
{
    uint8_t which = byte();
    return world.n_calls ? world.calls[which % world.n_calls].id : which;
}

/* ---- the steps ---------------------------------------------------------------------------------------------- */

static void step(uint8_t which)
{
    static const int64_t times[] = {NS_PER_MS,       5 * NS_PER_MS, 20 * NS_PER_MS, 45 * NS_PER_MS,
                                    100 * NS_PER_MS, NS_PER_S,      10 * NS_PER_S,  120 * NS_PER_S};
    /* The newest template, or with bit 6 the one before. */
    uint32_t newest = kernel.n_templates - 1;
    struct far_template *template = &kernel.templates[which & 0x40 && newest > 0 ? newest - 1 : newest];
    struct far_worker none = {.channel = -1, .pipes = {-1, -1}}, *worker = &none;
    pinfold_result *result;
    uint8_t i;
    if (which & 0x20) {
        i = byte();
        if (world.n_workers && which & 0x10)
            write_printed(world.workers[i % world.n_workers].printed);
        else if (world.n_workers)
            write_slate(world.workers[i % world.n_workers].slate);
        return;
    }
    switch (which & 15) {
    case 0:
        say(template->lifeline, 0, true);
        break;
    case 1:
        i = byte();
        say(template->control, world.n_workers ? world.workers[i % world.n_workers].number : 0, false);
        break;
    case 2:
        i = byte();
        if (world.n_workers)
            worker = &world.workers[i % world.n_workers];
        say(worker->channel, call_of(worker, i & 32), false);
        break;
    case 3:
        i = byte();
        if (world.n_workers)
            worker = &world.workers[i % world.n_workers];
        print_to(worker->pipes[i >> 7]);
        break;
    case 4:
        print_to(template->log);
        break;
    case 5:
        i = byte();
        if (world.n_workers)
            worker = &world.workers[i % world.n_workers];
        if (i & 16)
            end_worker(worker);
        close_fd(i & 128 ? &worker->pipes[i >> 6 & 1] : &worker->channel);
        break;
    case 6:
        i = byte();
        if (i & 4)
            kernel_end_template(template);
        close_fd((i & 3) == 0 ? &template->control : (i & 3) == 1 ? &template->lifeline : &template->log);
        break;
    case 7:
        kernel_end_process(byte());
        break;
    case 8:
        kernel.now += times[byte() & 7];
        break;
    case 9:
        submit(NULL);
        break;
    case 10:
        use_queue();
        break;
    case 11:
        pinfold_pool_cancel(world.pool, some_call());
        break;
    case 12:
        take_all();
        break;
    case 13:
        if (pinfold_pool_wait(world.pool, some_call(), 0, &result) == 0)
            take(result);
        break;
    case 14:
        world.deaf = !world.deaf;
        break;
    case 15:
        if (byte() & 1)
            pinfold_pool_renew(world.pool, command, NULL);
        else
            pinfold_pool_watch(world.pool);
        break;
    }
}

/* Do what pinfold_pool_shutdown does before it waits; then the processes end, as after SIGKILL. */
static void close_down(void)
{
    CHECK(world.rounds++ < 100); /* otherwise the pool never ends */
    if (!world.pool->closing) {
        if (world.queue)
            pinfold_queue_close(world.queue);
        world.queue = NULL;
        world.pool->closing = true;
        pool_ready(world.pool, true);
        return;
    }
    for (uint32_t i = 0; i < kernel.n_processes; i++)
        kernel_end_process(i);
    kernel.now += NS_PER_S;
}

int __real_epoll_wait(int epoll, struct epoll_event *events, int most, int timeout);
int __wrap_epoll_wait(int epoll, struct epoll_event *events, int most, int timeout);
int __wrap_epoll_wait(int epoll, struct epoll_event *events, int most, int timeout)
{
    (void)timeout;
    hear();
    uint8_t which;
    if (world.at == world.end)
        close_down();
    else
        do
            step(which = byte());
        while (which & 0x80 && world.at < world.end);
    int n = __real_epoll_wait(epoll, events, most - 1, 0);
    CHECK(n >= 0);
    if (kernel.now >= world.pool->armed)
        events[n++] = (struct epoll_event){EPOLLIN, {.u64 = 1 /* the timer: enum own_source of reactor.c */}};
    return n;
}

static int count_descriptors(void)
{
    DIR *directory = opendir("/proc/self/fd");
    CHECK(directory);
    int n = 0;
    while (readdir(directory))
        n++;
    closedir(directory);
    return n;
}

static void open_pool(void)
{
    uint8_t how[4];
    bytes(how, sizeof(how));
    pinfold_config config = {
        .size = sizeof(config),
        .argv = command,
        .guard = command[0],
        .spill_dir = spill_dir,
        .isolation = how[0] % 3,
        .max_workers = 1 + (how[1] & 7),
        .max_queue = how[1] >> 3 & 7,
        .max_calls_per_worker = how[1] >> 6,
        .idle_timeout_ns = how[0] & 4 ? NS_PER_S : PINFOLD_FOREVER,
        .open_timeout_ns = 10 * NS_PER_S,
        .output_bytes = how[2],
        .flags = (how[0] >> 4 & (PINFOLD_NO_PDEATHSIG | PINFOLD_EVENTS | PINFOLD_DISTRUST)) |
                 (how[3] & 1 ? PINFOLD_AHEAD : 0) | (how[3] & 64 ? PINFOLD_PRINTED : 0),
        .namespaces = how[0] & 8 ? CLONE_NEWPID : 0,
    };
    pinfold_error error;
    CHECK(pinfold_pool_open(&config, &world.pool, &error) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    signal(SIGPIPE, SIG_IGN); /* a worker prints to a closed pipe */
    int before = count_descriptors();
    kernel_begin();
    world = (struct world){.at = data, .end = data + size};
    open_pool();
    kernel.reactor(world.pool);
    take_all();
    for (uint32_t i = 0; i < world.n_calls; i++)
        CHECK(world.calls[i].delivered || world.calls[i].queued); /* those of a closed queue end unseen */
    pinfold_pool_close(world.pool);
    for (uint32_t i = 0; i < world.n_workers; i++)
        end_worker(&world.workers[i]);
    kernel_end();
    CHECK(count_descriptors() == before);
    return 0;
}

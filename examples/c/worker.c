/* SPDX-License-Identifier: Apache-2.0 */
/* worker.c - the process that runs calls. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "runtime.h"

const char *spill_directory;
volatile uint64_t running;
const char *volatile running_name;
static struct rusage before;
static struct pinfold_slate *slate; /* NULL: no call is handed ahead */
static uint32_t reads;
static int held = -1; /* a sealed spill, which the pool opens in this process */

uint64_t status_kb(const char *name)
{
    FILE *status = fopen("/proc/self/status", "re");
    char line[256];
    unsigned long long kb = 0;
    while (status && fgets(line, sizeof(line), status))
        if (strncmp(line, name, strlen(name)) == 0)
            kb = strtoull(line + strlen(name), NULL, 10);
    if (status)
        fclose(status);
    return kb;
}

static uint64_t spent_us(struct timeval now, struct timeval then)
{
    return (uint64_t)((now.tv_sec - then.tv_sec) * 1000000 + (now.tv_usec - then.tv_usec));
}

/* Begin to count for this call alone. The peak of resident memory can be reset (proc(5), clear_refs), rusage
 * cannot. */
static void begin_usage(void)
{
    int fd = open("/proc/self/clear_refs", O_WRONLY | O_CLOEXEC);
    if (fd >= 0) {
        if (write(fd, "5", 1) < 0)
            perror("/proc/self/clear_refs");
        close(fd);
    }
    getrusage(RUSAGE_SELF, &before);
}

/* Begin the call, or return 0 if it was handed ahead and the pool has recalled it. */
static int may_begin(const struct pinfold_frame_call *call)
{
    if (!(call->flags & PINFOLD_CALL_OFFERED)) {
        if (slate)
            atomic_fetch_add(&slate->taken, 1);
        return 1;
    }
    uint64_t word = slate ? atomic_load(&slate->word) : PINFOLD_SLATE_CLOSED;
    do
        if (word & PINFOLD_SLATE_CLOSED || (word & PINFOLD_SLATE_TURN_MASK) != call->slot ||
            (word >> PINFOLD_SLATE_TURN_BITS & PINFOLD_SLATE_TURN_MASK) == call->slot)
            return 0;
    while (!atomic_compare_exchange_weak(
        &slate->word, &word, (word & ~PINFOLD_SLATE_TURN_MASK) | ((call->slot + 1) & PINFOLD_SLATE_TURN_MASK)));
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    atomic_store(&slate->begun[call->slot % PINFOLD_SLATE_TURNS], now.tv_sec * INT64_C(1000000000) + now.tv_nsec);
    return 1;
}

/* Return PINFOLD_RESULT_QUIET if no output of this call waits in the pipes or was read from them. Else close the
 * slate, so that the next call does not begin before the pool has read it. */
static uint32_t quiet(void)
{
    int out = 1, err = 1;
    ioctl(STDOUT_FILENO, FIONREAD, &out);
    ioctl(STDERR_FILENO, FIONREAD, &err);
    if (out == 0 && err == 0 && reads % 2 == 0 && atomic_load(&slate->reads) == reads)
        return PINFOLD_RESULT_QUIET;
    atomic_fetch_or(&slate->word, PINFOLD_SLATE_CLOSED);
    return 0;
}

void answer(const struct request *request, enum pinfold_status status, const struct iovec *segments, uint32_t n)
{
    static uint8_t small[PINFOLD_PAYLOAD_INLINE_MAX];
    struct pinfold_frame_result result = {.payload_size = payload_size(segments, n), .status = status};
    if (request->result_max && result.payload_size > request->result_max && status == PINFOLD_STATUS_OK) {
        answer_error(request, PINFOLD_STATUS_TOO_LARGE, "the result is larger than allowed");
        return;
    }
    int spill = -1;
    if (result.payload_size <= PINFOLD_PAYLOAD_INLINE_MAX) {
        payload_copy(small, segments, n);
    } else {
        spill = payload_spill(spill_directory, segments, n);
        if (spill < 0) {
            answer_error(request, PINFOLD_STATUS_INTERNAL, strerror(errno));
            return;
        }
        result.flags |= *spill_directory ? PINFOLD_RESULT_SPILLED : PINFOLD_RESULT_HELD;
    }
    fflush(NULL);
    /* A subreaper without a child has no descendant at all. */
    siginfo_t ignored;
    if (waitid(P_ALL, 0, &ignored, WEXITED | WNOHANG | WNOWAIT) == 0)
        result.flags |= PINFOLD_RESULT_CHILDREN;
    struct rusage now;
    getrusage(RUSAGE_SELF, &now);
    result.user_us = spent_us(now.ru_utime, before.ru_utime);
    result.sys_us = spent_us(now.ru_stime, before.ru_stime);
    result.peak_kb = status_kb("VmHWM:");
    running = 0;
    if (slate && result.flags & (PINFOLD_RESULT_CHILDREN | PINFOLD_RESULT_HELD))
        atomic_fetch_or(&slate->word, PINFOLD_SLATE_CLOSED);
    else if (slate)
        result.flags |= quiet();
    if (result.flags & PINFOLD_RESULT_HELD) {
        held = spill;
        frame_send(CHANNEL, PINFOLD_FRAME_RESULT, request->id, &result, sizeof(result), &held, sizeof(held), NULL,
                   0);
        return;
    }
    frame_send(CHANNEL, PINFOLD_FRAME_RESULT, request->id, &result, sizeof(result), small,
               spill < 0 ? result.payload_size : 0, &spill, spill >= 0);
    if (spill >= 0)
        close(spill);
}

void answer_bytes(const struct request *request, const void *bytes, size_t size)
{
    struct iovec segment = {(void *)bytes, size};
    answer(request, PINFOLD_STATUS_OK, &segment, 1);
}

void answer_error(const struct request *request, enum pinfold_status status, const char *text)
{
    struct iovec segment = {(void *)text, strlen(text)};
    answer(request, status, &segment, 1);
}

long long argument(const struct request *request, uint32_t at)
{
    char text[32] = "";
    if (at < request->n && request->segments[at].iov_len < sizeof(text))
        memcpy(text, request->segments[at].iov_base, request->segments[at].iov_len);
    return strtoll(text, NULL, 10);
}

/* Send the name of the running function. An interpreter would send its stack. */
static void send_stack(int signal)
{
    int code = errno;
    const char *name = running_name;
    if (running)
        frame_send(CHANNEL, PINFOLD_FRAME_STACK, running, NULL, 0, name, strlen(name), NULL, 0);
    errno = code;
    if (signal != PINFOLD_ASK_SIGNAL)
        raise(signal); /* the default action now: SA_RESETHAND */
}

static void watch_signals(void)
{
    static char stack[64 * 1024]; /* a crash may be an overflow of the usual one */
    sigaltstack(&(stack_t){.ss_sp = stack, .ss_size = sizeof(stack)}, NULL);
    struct sigaction ask = {.sa_handler = send_stack, .sa_flags = SA_RESTART | SA_ONSTACK};
    sigaction(PINFOLD_ASK_SIGNAL, &ask, NULL);
    struct sigaction crash = {.sa_handler = send_stack, .sa_flags = (int)(SA_RESETHAND | SA_NODEFER | SA_ONSTACK)};
    const int crashes[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};
    for (size_t i = 0; i < sizeof(crashes) / sizeof(crashes[0]); i++)
        sigaction(crashes[i], &crash, NULL);
}

static void run(struct request *request, const struct function *const *tables)
{
    const struct iovec *name = &request->segments[0];
    for (; *tables; tables++) {
        for (const struct function *at = *tables; at->name; at++) {
            if (strlen(at->name) == name->iov_len && memcmp(at->name, name->iov_base, name->iov_len) == 0) {
                running_name = at->name;
                running = request->id;
                at->run(request);
                running = 0;
                return;
            }
        }
    }
    answer_error(request, PINFOLD_STATUS_EXCEPTION, "there is no such function");
}

_Noreturn void worker_serve(int isolation, const char *directory, const struct function *const *tables)
{
    static struct frame frame;
    spill_directory = directory;
    watch_signals();
    do {
        int spill;
        /* Wait in poll: recvmsg would take a message even while this process is being killed, and the pool would
         * not know that the call had not begun. */
        poll(&(struct pollfd){CHANNEL, POLLIN, 0}, 1, -1);
        if (frame_receive(CHANNEL, &frame, &spill, 1) == 0)
            break;
        if (frame.head.kind == PINFOLD_FRAME_SLATE) {
            void *page = mmap(NULL, sizeof(*slate), PROT_READ | PROT_WRITE, MAP_SHARED, spill, 0);
            slate = page == MAP_FAILED ? NULL : page;
            close(spill);
            continue;
        }
        if (frame.head.kind == PINFOLD_FRAME_TAKEN) {
            close(held);
            held = -1;
            continue;
        }
        struct pinfold_frame_call call = frame.body.call;
        if (!may_begin(&call))
            continue;
        if (slate)
            reads = atomic_load(&slate->reads);
        void *payload = frame.body.bytes + sizeof(call);
        if (call.flags & PINFOLD_CALL_SPILLED) {
            payload = mmap(NULL, call.payload_size, PROT_READ | PROT_WRITE, MAP_PRIVATE, spill, 0);
            close(spill);
        }
        begin_usage();
        struct request request = {.id = frame.head.id, .result_max = call.result_max, .cpu_slot = call.slot};
        if (payload == MAP_FAILED || !(request.n = payload_open(payload, &request.segments)))
            answer_error(&request, PINFOLD_STATUS_INTERNAL, strerror(errno));
        else
            run(&request, tables);
        free(request.segments);
        if (call.flags & PINFOLD_CALL_SPILLED && payload != MAP_FAILED)
            munmap(payload, call.payload_size);
    } while (isolation != PINFOLD_FRESH);
    if (held >= 0) /* wait until the pool has it, and kills this process or hangs up */
        poll(&(struct pollfd){CHANNEL, POLLRDHUP, 0}, 1, -1);
    _exit(0);
}

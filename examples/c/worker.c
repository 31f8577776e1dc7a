/* worker.c - the process that runs calls. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "runtime.h"

const char *spill_directory;
volatile uint64_t running;
const char *volatile running_name;
static struct rusage before;

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

/* Of the call alone: rusage has no way to begin anew, the peak of resident memory has (proc(5), clear_refs). */
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

void answer(const struct request *request, enum status status, const struct iovec *segments, uint32_t n)
{
    static uint8_t small[INLINE_MAX];
    struct result result = {.payload_size = payload_size(segments, n), .status = status};
    if (request->result_max && result.payload_size > request->result_max && status == STATUS_OK) {
        answer_error(request, STATUS_TOO_LARGE, "the result is larger than allowed");
        return;
    }
    int spill = -1;
    if (result.payload_size <= INLINE_MAX) {
        payload_copy(small, segments, n);
    } else {
        spill = payload_spill(spill_directory, segments, n);
        if (spill < 0) {
            answer_error(request, STATUS_INTERNAL, strerror(errno));
            return;
        }
        result.flags |= RESULT_SPILLED;
    }
    fflush(NULL);
    /* A subreaper without a child has no descendant at all. */
    siginfo_t ignored;
    if (waitid(P_ALL, 0, &ignored, WEXITED | WNOHANG | WNOWAIT) == 0)
        result.flags |= RESULT_CHILDREN;
    struct rusage now;
    getrusage(RUSAGE_SELF, &now);
    result.user_us = spent_us(now.ru_utime, before.ru_utime);
    result.sys_us = spent_us(now.ru_stime, before.ru_stime);
    result.peak_kb = status_kb("VmHWM:");
    running = 0;
    frame_send(CHANNEL, RESULT, request->id, &result, sizeof(result), small, spill < 0 ? result.payload_size : 0,
               &spill, spill >= 0);
    if (spill >= 0)
        close(spill);
}

void answer_bytes(const struct request *request, const void *bytes, size_t size)
{
    struct iovec segment = {(void *)bytes, size};
    answer(request, STATUS_OK, &segment, 1);
}

void answer_error(const struct request *request, enum status status, const char *text)
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

/* Tells where the program stands. An interpreter would print its stack. */
static void tell_stack(int signal)
{
    int code = errno;
    const char *name = running_name;
    if (running)
        frame_send(CHANNEL, STACK, running, NULL, 0, name, strlen(name), NULL, 0);
    errno = code;
    if (signal != SIGRTMAX - 3)
        raise(signal); /* by default now: SA_RESETHAND */
}

static void watch_signals(void)
{
    static char stack[64 * 1024]; /* its own: a crash may be the end of the usual one */
    sigaltstack(&(stack_t){.ss_sp = stack, .ss_size = sizeof(stack)}, NULL);
    struct sigaction ask = {.sa_handler = tell_stack, .sa_flags = SA_RESTART | SA_ONSTACK};
    sigaction(SIGRTMAX - 3, &ask, NULL);
    struct sigaction crash = {.sa_handler = tell_stack, .sa_flags = (int)(SA_RESETHAND | SA_NODEFER | SA_ONSTACK)};
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
    answer_error(request, STATUS_EXCEPTION, "there is no such function");
}

_Noreturn void worker_serve(int isolation, const char *directory, const struct function *const *tables)
{
    static struct frame frame;
    spill_directory = directory;
    watch_signals();
    do {
        int spill;
        if (frame_receive(CHANNEL, &frame, &spill, 1) == 0)
            break;
        struct call call = frame.body.call;
        void *payload = frame.body.bytes + sizeof(call);
        if (call.flags & CALL_SPILLED) {
            payload = mmap(NULL, call.payload_size, PROT_READ | PROT_WRITE, MAP_PRIVATE, spill, 0);
            close(spill);
        }
        begin_usage();
        struct request request = {.id = frame.head.id, .result_max = call.result_max, .place = call.place};
        if (payload == MAP_FAILED || !(request.n = payload_open(payload, &request.segments)))
            answer_error(&request, STATUS_INTERNAL, strerror(errno));
        else
            run(&request, tables);
        free(request.segments);
        if (call.flags & CALL_SPILLED && payload != MAP_FAILED)
            munmap(payload, call.payload_size);
    } while (isolation != ISOLATION_FRESH);
    _exit(0);
}

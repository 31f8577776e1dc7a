/* SPDX-License-Identifier: Apache-2.0 */
/* hostile.c - a runtime whose functions and templates break the protocol or misbehave in other ways. It is the
 * example's runtime with more functions. `hostile MODE` is a template that does not serve. */
#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "functions.h"

static _Noreturn void wait_to_be_killed(void)
{
    for (;;)
        pause();
}

/* ---- functions that help a test ----------------------------------------------------------------------------- */

static void echo(const struct request *request)
{
    if (request->n > 1)
        answer(request, PINFOLD_STATUS_OK, request->segments + 1, request->n - 1);
    else
        answer_bytes(request, "", 0);
}

static void report_pid(const struct request *request)
{
    char text[16];
    answer_bytes(request, text, (size_t)snprintf(text, sizeof(text), "%d", getpid()));
}

static void count(const struct request *request)
{
    static int calls;
    char text[16];
    answer_bytes(request, text, (size_t)snprintf(text, sizeof(text), "%d", ++calls));
}

/* Return whether its next call waits in its channel already. */
static void report_next(const struct request *request)
{
    char byte;
    answer_bytes(request, recv(CHANNEL, &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0 ? "1" : "0", 1);
}

static const char *text_of(const struct request *request, uint32_t at)
{
    static char text[4096];
    size_t size =
        at < request->n && request->segments[at].iov_len < sizeof(text) ? request->segments[at].iov_len : 0;
    if (size)
        memcpy(text, request->segments[at].iov_base, size);
    text[size] = '\0';
    return text;
}

/* Wait until the test opens the named pipe for writing. */
static void gate(const struct request *request)
{
    int fd;
    do
        fd = open(text_of(request, 1), O_RDONLY | O_CLOEXEC);
    while (fd < 0 && errno == EINTR);
    close(fd);
    answer_bytes(request, "through", 7);
}

static void report_cpu_slot(const struct request *request)
{
    char text[16];
    answer_bytes(request, text, (size_t)snprintf(text, sizeof(text), "%u", request->cpu_slot));
}

/* As gate, and return the CPU slot. */
static void gate_cpu_slot(const struct request *request)
{
    int fd;
    do
        fd = open(text_of(request, 1), O_RDONLY | O_CLOEXEC);
    while (fd < 0 && errno == EINTR);
    close(fd);
    report_cpu_slot(request);
}

/* Return the numbers of the open descriptors of a worker, or the variables of its environment. */
static void report_descriptors(const struct request *request)
{
    char text[256];
    size_t size = 0;
    for (int fd = 0; fd < 256 && size < sizeof(text) - 8; fd++)
        if (fcntl(fd, F_GETFD) >= 0)
            size += (size_t)snprintf(text + size, sizeof(text) - size, "%d ", fd);
    answer_bytes(request, text, size);
}

extern char **environ;

static void report_environment(const struct request *request)
{
    char text[4096];
    size_t size = 0;
    for (char **at = environ; *at && size + strlen(*at) + 2 < sizeof(text); at++)
        size += (size_t)snprintf(text + size, sizeof(text) - size, "%s\n", *at);
    answer_bytes(request, text, size);
}

/* Use 50 ms of processor time and argument MiB of memory. */
static void work(const struct request *request)
{
    size_t size = (size_t)argument(request, 1) << 20;
    volatile uint8_t *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (size_t i = 0; memory != MAP_FAILED && i < size; i += 4096)
        memory[i] = 1;
    for (clock_t begin = clock(); clock() - begin < CLOCKS_PER_SEC / 20;)
        ;
    munmap((void *)memory, size);
    answer_bytes(request, "", 0);
}

/* ---- processes ---------------------------------------------------------------------------------------------- */

static void stop_itself(const struct request *request)
{
    (void)request;
    raise(SIGSTOP);
    wait_to_be_killed();
}

/* Make a chain of so many processes, each the child of the one before. */
static void chain(const struct request *request)
{
    for (long long i = argument(request, 1); i > 0 && fork() == 0; i--)
        ;
    wait_to_be_killed();
}

static void block_signals(const struct request *request)
{
    (void)request;
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
    wait_to_be_killed();
}

static void execute(const struct request *request)
{
    (void)request;
    execl("/proc/self/exe", "hostile", "exits", NULL);
}

/* Kill the template, and wait. */
static void kill_template(const struct request *request)
{
    (void)request;
    kill(getppid(), SIGKILL);
    wait_to_be_killed();
}

static const struct request *asked;

static void answer_now(int signal)
{
    (void)signal;
    answer_bytes(asked, "too late", 8);
}

/* Send the value only after the deadline. */
static void answer_when_asked(const struct request *request)
{
    asked = request;
    sigaction(PINFOLD_ASK_SIGNAL, &(struct sigaction){.sa_handler = answer_now}, NULL);
    wait_to_be_killed();
}

static void answer_and_stay(const struct request *request)
{
    answer_bytes(request, "done", 4);
    wait_to_be_killed();
}

/* Leave a daemon behind, print its pid on stdout, and end in the way that the argument says. */
static void leave_and(const struct request *request)
{
    int ends[2];
    pid_t pid;
    if (pipe(ends) == 0 && fork() == 0) {
        setsid();
        if (fork() == 0) {
            dprintf(1, "%d\n", getpid());
            close(ends[1]);
            close(CHANNEL);
            wait_to_be_killed();
        }
        _exit(0);
    }
    close(ends[1]);
    while (read(ends[0], &pid, sizeof(pid)) > 0) /* until both have closed it */
        ;
    const char *how = text_of(request, 1);
    if (strcmp(how, "exit") == 0)
        _exit(7);
    if (strcmp(how, "crash") == 0)
        raise(SIGSEGV);
    if (strcmp(how, "spin") == 0)
        wait_to_be_killed();
    answer_bytes(request, "left", 4);
}

/* Leave a daemon behind, write its pid to the named pipe, and run for ever. */
static void leave_and_report(const struct request *request)
{
    const char *path = text_of(request, 1);
    if (fork() == 0) {
        setsid();
        if (fork() == 0) {
            close(CHANNEL);
            dprintf(open(path, O_WRONLY | O_CLOEXEC), "%d\n", getpid());
            wait_to_be_killed();
        }
        _exit(0);
    }
    wait_to_be_killed();
}

/* Leave a process behind that prints without end. */
static void leave_printer(const struct request *request)
{
    if (fork() == 0) {
        close(CHANNEL);
        for (;;)
            if (write(1, "again and again\n", 16) < 0)
                wait_to_be_killed();
    }
    answer_bytes(request, "left", 4);
}

static void say(const struct request *request)
{
    printf("%s", text_of(request, 1));
    answer_bytes(request, "printed", 7);
}

static void print_and_crash(const struct request *request)
{
    (void)request;
    printf("last words");
    fprintf(stderr, "last complaint");
    fflush(NULL);
    raise(SIGSEGV);
}

/* ---- frames ------------------------------------------------------------------------------------------------- */

/* A valid payload of one segment, "value". */
static uint8_t payload[128];

static size_t make_payload(void)
{
    const struct iovec segment = {"value", 5};
    payload_copy(payload, &segment, 1);
    return payload_size(&segment, 1);
}

static void send_result(uint64_t id, uint32_t status, uint32_t flags, uint64_t size, const void *tail,
                        size_t tail_size, const int *fds, int n_fds)
{
    struct pinfold_frame_result result = {.payload_size = size, .status = status, .flags = flags};
    frame_send(CHANNEL, PINFOLD_FRAME_RESULT, id, &result, sizeof(result), tail, tail_size, fds, n_fds);
}

static void send_value(const struct request *request, uint32_t status)
{
    size_t size = make_payload();
    send_result(request->id, status, 0, size, payload, size, NULL, 0);
}

/* Answer that the call's process ended so: an exit status, or minus a signal. */
static void ended(const struct request *request)
{
    size_t size = make_payload();
    struct pinfold_frame_result result = {
        .payload_size = size, .status = PINFOLD_STATUS_ENDED, .ended = (int32_t)argument(request, 1)};
    frame_send(CHANNEL, PINFOLD_FRAME_RESULT, request->id, &result, sizeof(result), payload, size, NULL, 0);
    wait_to_be_killed();
}

/* Answer with another status, and an end that only ENDED has. */
static void status_and_end(const struct request *request)
{
    size_t size = make_payload();
    struct pinfold_frame_result result = {
        .payload_size = size, .status = (uint32_t)argument(request, 1), .ended = 1};
    frame_send(CHANNEL, PINFOLD_FRAME_RESULT, request->id, &result, sizeof(result), payload, size, NULL, 0);
    wait_to_be_killed();
}

/* Run until STOP comes, and answer that with the files: the segment "value". The argument says what else to do:
 * "deaf": ignore STOP; "crash": die of it; "early": answer without being asked. */
static void collect(const struct request *request)
{
    const char *how = text_of(request, 1);
    struct pinfold_frame_head head = {0};
    if (strcmp(how, "early") != 0)
        while (recv(CHANNEL, &head, sizeof(head), 0) < 0 && errno == EINTR)
            ;
    if (strcmp(how, "deaf") == 0)
        wait_to_be_killed();
    if (strcmp(how, "crash") == 0)
        raise(SIGSEGV);
    const int asked_to_stop = head.kind == PINFOLD_FRAME_STOP && head.id == request->id;
    send_value(request, asked_to_stop ? PINFOLD_STATUS_ENDED : PINFOLD_STATUS_OK);
    wait_to_be_killed();
}

/* Answer with a failure whose account has so many bytes. */
static void fail_at_length(const struct request *request)
{
    struct iovec segment = {NULL, (size_t)argument(request, 1)};
    segment.iov_base = calloc(1, segment.iov_len);
    if (segment.iov_base)
        answer(request, PINFOLD_STATUS_EXCEPTION, &segment, 1);
    wait_to_be_killed();
}

/* Exit with status 0 while words wait in the printed buffer, and others in the pipe. */
static void exit_with_words(const struct request *request)
{
    (void)request;
    dprintf(1, "written");
    _exit(0);
}

static void print_forever(const struct request *request)
{
    (void)request;
    const int stream = (int)argument(request, 1);
    for (;;)
        if (write(stream, "again and again\n", 16) < 0)
            wait_to_be_killed();
}

static void wrong_id(const struct request *request)
{
    size_t size = make_payload();
    send_result(request->id + 1, 0, 0, size, payload, size, NULL, 0);
    wait_to_be_killed();
}

/* Wait until the test opens the named pipe for writing; close it when both results are sent. */
static void two_results(const struct request *request)
{
    int fd = open(text_of(request, 1), O_RDONLY | O_CLOEXEC);
    send_value(request, PINFOLD_STATUS_OK);
    send_value(request, PINFOLD_STATUS_EXCEPTION);
    close(fd);
    wait_to_be_killed();
}

/* Wait between the two results. */
static void late_result(const struct request *request)
{
    send_value(request, PINFOLD_STATUS_OK);
    close(open(text_of(request, 1), O_RDONLY | O_CLOEXEC));
    send_value(request, PINFOLD_STATUS_EXCEPTION);
    wait_to_be_killed();
}

/* Send a good result, and garbage behind it. */
static void result_and_garbage(const struct request *request)
{
    int fd = open(text_of(request, 1), O_RDONLY | O_CLOEXEC);
    send_value(request, PINFOLD_STATUS_OK);
    send(CHANNEL, "garbage", 7, MSG_NOSIGNAL);
    close(fd);
    wait_to_be_killed();
}

/* Send as many frames as the pool reads at a time, the last of them a result of a call that left processes
 * behind; then a second result. Close the named pipe when all are sent. */
static void result_and_more(const struct request *request)
{
    int fd = open(text_of(request, 1), O_RDONLY | O_CLOEXEC);
    size_t size = make_payload();
    for (int i = 0; i < 35; i++)
        frame_send(CHANNEL, PINFOLD_FRAME_NOTE, request->id, NULL, 0, "x", 1, NULL, 0);
    send_result(request->id, 0, PINFOLD_RESULT_CHILDREN, size, payload, size, NULL, 0);
    send_value(request, PINFOLD_STATUS_EXCEPTION);
    close(fd);
    wait_to_be_killed();
}

static void garbage(const struct request *request)
{
    (void)request;
    send(CHANNEL, "garbage", 7, MSG_NOSIGNAL);
    wait_to_be_killed();
}

static void empty_message(const struct request *request)
{
    (void)request;
    send(CHANNEL, "", 0, MSG_NOSIGNAL);
    wait_to_be_killed();
}

static void too_large(const struct request *request)
{
    static uint8_t bytes[PINFOLD_FRAME_MAX + 1];
    struct pinfold_frame_head head = {PINFOLD_FRAME_MAGIC, PINFOLD_FRAME_VERSION, PINFOLD_FRAME_STACK,
                                      PINFOLD_FRAME_MAX, request->id};
    memcpy(bytes, &head, sizeof(head));
    send(CHANNEL, bytes, sizeof(bytes), MSG_NOSIGNAL);
    wait_to_be_killed();
}

static void wrong_kind(const struct request *request)
{
    struct pinfold_frame_exited exited = {.status = 0};
    frame_send(CHANNEL, PINFOLD_FRAME_EXITED, request->id, &exited, sizeof(exited), NULL, 0, NULL, 0);
    wait_to_be_killed();
}

static void wrong_status(const struct request *request)
{
    size_t size = make_payload();
    send_result(request->id, 99, 0, size, payload, size, NULL, 0);
    wait_to_be_killed();
}

static void wrong_size(const struct request *request)
{
    size_t size = make_payload();
    send_result(request->id, 0, 0, size + 1, payload, size, NULL, 0);
    wait_to_be_killed();
}

static void damaged_table(const struct request *request)
{
    size_t size = make_payload();
    memset(payload + 8, 0xFF, 8);
    send_result(request->id, 0, 0, size, payload, size, NULL, 0);
    wait_to_be_killed();
}

/* Send a spilled result with these descriptors. */
static void send_fds(const struct request *request, uint64_t size, const int *fds, int n_fds)
{
    send_result(request->id, 0, PINFOLD_RESULT_SPILLED, size, NULL, 0, fds, n_fds);
}

static void send_fd(const struct request *request, uint64_t size, int fd)
{
    send_fds(request, size, &fd, 1);
    wait_to_be_killed();
}

/* Claim to hold the spill. */
static void hold(const struct request *request, uint64_t size, int32_t number)
{
    send_result(request->id, 0, PINFOLD_RESULT_HELD, size, &number, sizeof(number), NULL, 0);
    wait_to_be_killed();
}

/* Give the spill to the pool in the way that the pool would look at: it takes no descriptors from a box. */
static void give(const struct request *request, uint64_t size, int fd)
{
    if (*spill_directory)
        send_fd(request, size, fd);
    else
        hold(request, size, fd);
}

static void no_spill(const struct request *request)
{
    send_fds(request, make_payload(), NULL, 0);
    wait_to_be_killed();
}

static void three_spills(const struct request *request)
{
    send_fds(request, make_payload(), (const int[]){0, 1, 2}, 3);
    wait_to_be_killed();
}

/* Return a file in the spill directory, open for writing, with a valid payload. */
static int open_writer(void)
{
    size_t size = make_payload();
    int fd = open(*spill_directory ? spill_directory : "/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    return pwrite(fd, payload, size, 0) == (ssize_t)size ? fd : -1;
}

static int open_reader(int fd)
{
    char path[32];
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    return open(path, O_RDONLY | O_CLOEXEC);
}

static void writer_open(const struct request *request)
{
    give(request, make_payload(), open_reader(open_writer()));
}

static void writer_sent(const struct request *request)
{
    int fd = open_writer();
    send_fds(request, make_payload(), &fd, 1);
    close(fd);
    wait_to_be_killed();
}

static void writer_mapped(const struct request *request)
{
    int fd = open_writer(), reader = open_reader(fd);
    if (mmap(NULL, 64, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED)
        _exit(1);
    close(fd);
    give(request, make_payload(), reader);
}

static void spill_short(const struct request *request)
{
    int fd = open_writer(), reader = open_reader(fd);
    close(fd);
    give(request, make_payload() + 4096, reader);
}

static void spill_long(const struct request *request)
{
    int fd = open_writer(), reader = open_reader(fd);
    close(fd);
    give(request, make_payload() - 1, reader);
}

static void spill_huge(const struct request *request)
{
    int fd = open_writer(), reader = open_reader(fd);
    close(fd);
    give(request, UINT64_MAX, reader);
}

static void spill_damaged(const struct request *request)
{
    int fd = open_writer(), reader = open_reader(fd);
    if (pwrite(fd, "\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF", 8, 8) != 8)
        _exit(1);
    close(fd);
    give(request, make_payload(), reader);
}

static void spill_unsealed(const struct request *request)
{
    size_t size = make_payload();
    int fd = memfd_create("hostile", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (write(fd, payload, size) != (ssize_t)size)
        _exit(1);
    give(request, size, fd);
}

static int open_sealed(int seals)
{
    size_t size = make_payload();
    int fd = memfd_create("hostile", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    return write(fd, payload, size) == (ssize_t)size && fcntl(fd, F_ADD_SEALS, seals) == 0 ? fd : -1;
}

static void spill_sealed(const struct request *request) /* allowed, but not in a box */
{
    send_fd(request, make_payload(), open_sealed(PINFOLD_SPILL_SEALS));
}

static void spill_writable(const struct request *request)
{
    give(request, make_payload(), open_sealed(F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL));
}

static void spill_shrinkable(const struct request *request)
{
    give(request, make_payload(), open_sealed(F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL));
}

static void spill_sealed_short(const struct request *request)
{
    give(request, make_payload() + 4096, open_sealed(PINFOLD_SPILL_SEALS));
}

static void spill_sealed_path(const struct request *request) /* cannot be mapped */
{
    char path[32];
    snprintf(path, sizeof(path), "/proc/self/fd/%d", open_sealed(PINFOLD_SPILL_SEALS));
    send_fd(request, make_payload(), open(path, O_PATH | O_CLOEXEC));
}

/* Send a file under a lease, for which an open(2) would wait. */
static void spill_leased(const struct request *request)
{
    int fd = open_writer(), reader = open_reader(fd);
    close(fd);
    signal(SIGIO, SIG_IGN);
    if (fcntl(reader, F_SETLEASE, F_WRLCK) < 0)
        _exit(1);
    give(request, make_payload(), reader);
}

/* Send the head of a valid payload, followed by a hole: a page never written is allocated when it is read, if
 * possible. */
static void spill_with_a_hole(const struct request *request)
{
    size_t size = make_payload();
    int fd = memfd_create("hostile", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (pwrite(fd, payload, size, 0) != (ssize_t)size || ftruncate(fd, 1 << 20) < 0 ||
        fcntl(fd, F_ADD_SEALS, PINFOLD_SPILL_SEALS) < 0)
        _exit(1);
    give(request, 1 << 20, fd);
}

/* Send a hole in huge pages, of which the machine may have none to allocate. */
static void spill_of_huge_pages(const struct request *request)
{
    int fd = memfd_create("hostile", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_HUGETLB);
    if (fd < 0 || ftruncate(fd, 2 << 20) < 0 || fcntl(fd, F_ADD_SEALS, PINFOLD_SPILL_SEALS) < 0)
        spill_with_a_hole(request);
    else
        give(request, 2 << 20, fd);
}

static void spill_pipe(const struct request *request)
{
    int ends[2];
    if (pipe(ends) < 0)
        _exit(1);
    give(request, make_payload(), ends[0]);
}

static void spill_directory_itself(const struct request *request)
{
    give(request, make_payload(), open("/tmp", O_RDONLY | O_DIRECTORY));
}

static void spill_elsewhere(const struct request *request)
{
    give(request, make_payload(), open("/proc/self/status", O_RDONLY));
}

static void spill_device(const struct request *request)
{
    give(request, make_payload(), open("/dev/zero", O_RDWR));
}

static void spill_socket(const struct request *request)
{
    give(request, make_payload(), CHANNEL);
}

static void held_sealed(const struct request *request) /* allowed */
{
    hold(request, make_payload(), open_sealed(PINFOLD_SPILL_SEALS));
}

static void held_unsealed(const struct request *request)
{
    hold(request, make_payload(), open_sealed(F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL));
}

static void held_short(const struct request *request)
{
    hold(request, make_payload() + 4096, open_sealed(PINFOLD_SPILL_SEALS));
}

static void held_nothing(const struct request *request)
{
    hold(request, make_payload(), 100000);
}

static void held_below(const struct request *request)
{
    hold(request, make_payload(), -1);
}

static void held_file(const struct request *request)
{
    hold(request, make_payload(), open_reader(open_writer()));
}

static void held_pipe(const struct request *request)
{
    int ends[2];
    hold(request, make_payload(), pipe(ends) == 0 ? ends[0] : -1);
}

static void held_terminal(const struct request *request)
{
    hold(request, make_payload(), open("/dev/ptmx", O_RDWR | O_NOCTTY));
}

static void held_channel(const struct request *request)
{
    hold(request, make_payload(), CHANNEL);
}

static void held_path(const struct request *request)
{
    hold(request, make_payload(), open(text_of(request, 1), O_RDONLY | O_CLOEXEC));
}

static void held_and_sent(const struct request *request)
{
    int fd = open_sealed(PINFOLD_SPILL_SEALS);
    send_result(request->id, 0, PINFOLD_RESULT_HELD, make_payload(), &fd, sizeof(fd), &fd, 1);
    wait_to_be_killed();
}

/* ---- descriptors that the pool has to close: of a named pipe, so that a test sees when
 * --------------------------- */

static int open_pipe(const struct request *request)
{
    return open(text_of(request, 1), O_WRONLY | O_CLOEXEC);
}

static void drop_refused(const struct request *request)
{
    send_fd(request, make_payload(), open_pipe(request));
}

static void drop_surplus(const struct request *request)
{
    enum { SURPLUS = 64 };
    union {
        struct cmsghdr head;
        char bytes[CMSG_SPACE(SURPLUS * sizeof(int))];
    } control = {.head = {CMSG_LEN(SURPLUS * sizeof(int)), SOL_SOCKET, SCM_RIGHTS}};
    struct iovec part = {"garbage", 7};
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
    for (size_t i = 0; i < SURPLUS; i++) {
        int fd = i < 8 ? 0 : open_pipe(request);
        memcpy(CMSG_DATA(&control.head) + i * sizeof(fd), &fd, sizeof(fd));
    }
    sendmsg(CHANNEL, &message, MSG_NOSIGNAL);
    wait_to_be_killed();
}

static void drop_with_words(const struct request *request)
{
    int fd = open_pipe(request);
    frame_send(CHANNEL, PINFOLD_FRAME_STACK, request->id, NULL, 0, "x", 1, &fd, 1);
    wait_to_be_killed();
}

/* Wait until the test opens the other named pipe for writing; close it when all is sent. */
static int open_gate(const struct request *request)
{
    char path[4096];
    snprintf(path, sizeof(path), "%s.gate", text_of(request, 1));
    return open(path, O_RDONLY | O_CLOEXEC);
}

static void drop_behind_garbage(const struct request *request)
{
    int fd = open_pipe(request), gate = open_gate(request);
    send(CHANNEL, "garbage", 7, MSG_NOSIGNAL);
    frame_send(CHANNEL, PINFOLD_FRAME_STACK, request->id, NULL, 0, "x", 1, &fd, 1);
    close(gate);
    wait_to_be_killed();
}

/* An empty message whose sender is gone reads like end-of-file. */
static void drop_behind_nothing(const struct request *request)
{
    int fd = open_pipe(request);
    open_gate(request);
    for (int i = 0; i < 100; i++)
        send(CHANNEL, "", 0, MSG_NOSIGNAL);
    frame_send(CHANNEL, PINFOLD_FRAME_STACK, request->id, NULL, 0, "x", 1, &fd, 1);
    close(CHANNEL);
    _exit(0);
}

static void drop_behind_result(const struct request *request)
{
    int fd = open_pipe(request);
    send_value(request, PINFOLD_STATUS_OK);
    open_gate(request);
    send_fd(request, make_payload(), fd);
}

static void stack_flood(const struct request *request)
{
    static char text[60000];
    memset(text, 's', sizeof(text));
    for (long long i = argument(request, 1); i != 0; i--)
        frame_send(CHANNEL, PINFOLD_FRAME_STACK, request->id, NULL, 0, text, sizeof(text), NULL, 0);
    answer_bytes(request, "after the flood", 15);
}

/* Send as many small frames as argument 1 says, faster than they are read. */
static void word_flood(const struct request *request)
{
    for (long long i = argument(request, 1); i > 0; i--)
        frame_send(CHANNEL, PINFOLD_FRAME_STACK, request->id, NULL, 0, "word", 4, NULL, 0);
    answer_bytes(request, "after the words", 15);
}

static void fd_flood(const struct request *request)
{
    int fds[3] = {0, 0, 0};
    for (int i = 0; i < 100; i++)
        frame_send(CHANNEL, PINFOLD_FRAME_STACK, request->id, NULL, 0, "x", 1, fds, 3);
    wait_to_be_killed();
}

/* Of several notes the last one counts. Notes of another call, or after the result, do not. */
static void note(const struct request *request)
{
    const char *text = text_of(request, 1);
    frame_send(CHANNEL, PINFOLD_FRAME_NOTE, request->id + 1, NULL, 0, "another's", 9, NULL, 0);
    frame_send(CHANNEL, PINFOLD_FRAME_NOTE, request->id, NULL, 0, text, strlen(text), NULL, 0);
    frame_send(CHANNEL, PINFOLD_FRAME_NOTE, request->id, NULL, 0, "second", 6, NULL, 0);
    answer_bytes(request, "noted", 5);
    frame_send(CHANNEL, PINFOLD_FRAME_NOTE, request->id, NULL, 0, "too late", 8, NULL, 0);
}

static void note_too_long(const struct request *request)
{
    static char text[PINFOLD_NOTE_MAX + 1];
    frame_send(CHANNEL, PINFOLD_FRAME_NOTE, request->id, NULL, 0, text, sizeof(text), NULL, 0);
    wait_to_be_killed();
}

/* Send frames that a worker may send, but not at that time: they have no effect. */
static void out_of_turn(const struct request *request)
{
    frame_send(CHANNEL, PINFOLD_FRAME_READY, 0, NULL, 0, NULL, 0, NULL, 0);
    frame_send(CHANNEL, PINFOLD_FRAME_FAILED, 0, NULL, 0, "not at all", 10, NULL, 0);
    frame_send(CHANNEL, PINFOLD_FRAME_STACK, request->id + 1, NULL, 0, "another's", 9, NULL, 0);
    frame_send(CHANNEL, PINFOLD_FRAME_STACK, 0, NULL, 0, "nobody's", 8, NULL, 0);
    answer_bytes(request, "in turn", 7);
}

/* Die slowly of SIGABRT: there are 6 GiB of page tables to free, all of the same 64 MiB. */
static void die_slowly(const struct request *request)
{
    (void)request;
    const size_t size = 64 << 20;
    int fd = memfd_create("shared", MFD_CLOEXEC);
    for (int i = 0; ftruncate(fd, (off_t)size) == 0 && i < 96; i++)
        mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, 0);
    signal(SIGABRT, SIG_DFL);
    close(CHANNEL);
    raise(SIGABRT);
}

/* Report that it cannot start, and exit. */
static void decline(const struct request *request)
{
    (void)request;
    frame_send(CHANNEL, PINFOLD_FRAME_FAILED, 0, NULL, 0, "no memory", 9, NULL, 0);
    _exit(1);
}

/* If its next call waits in its channel: send results for both, without having begun that one, and close the
 * channel. */
static void lie(const struct request *request)
{
    static _Alignas(8) char next[65536];
    if (recv(CHANNEL, next, sizeof(next), MSG_PEEK | MSG_DONTWAIT) < (ssize_t)sizeof(struct pinfold_frame_head)) {
        answer_bytes(request, "0", 1);
        return;
    }
    size_t size = make_payload();
    send_result(request->id, PINFOLD_STATUS_OK, PINFOLD_RESULT_QUIET, size, payload, size, NULL, 0);
    nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL); /* let the pool promote the next call */
    send_result(((const struct pinfold_frame_head *)next)->id, PINFOLD_STATUS_OK, PINFOLD_RESULT_QUIET, size,
                payload, size, NULL, 0);
    close(CHANNEL);
    wait_to_be_killed();
}

static const struct function hostile[] = {
    {"echo", echo},
    {"pid", report_pid},
    {"count", count},
    {"gate", gate},
    {"cpu_slot", report_cpu_slot},
    {"gate_cpu_slot", gate_cpu_slot},
    {"descriptors", report_descriptors},
    {"environment", report_environment},
    {"work", work},
    {"stop", stop_itself},
    {"chain", chain},
    {"block", block_signals},
    {"exec", execute},
    {"kill_template", kill_template},
    {"answer_when_asked", answer_when_asked},
    {"answer_and_stay", answer_and_stay},
    {"leave_and", leave_and},
    {"leave_and_report", leave_and_report},
    {"report_next", report_next},
    {"say", say},
    {"ended", ended},
    {"status_and_end", status_and_end},
    {"collect", collect},
    {"fail_at_length", fail_at_length},
    {"exit_with_words", exit_with_words},
    {"print_forever", print_forever},
    {"leave_printer", leave_printer},
    {"print_and_crash", print_and_crash},
    {"wrong_id", wrong_id},
    {"two_results", two_results},
    {"late_result", late_result},
    {"result_and_garbage", result_and_garbage},
    {"garbage", garbage},
    {"empty_message", empty_message},
    {"too_large", too_large},
    {"wrong_kind", wrong_kind},
    {"wrong_status", wrong_status},
    {"wrong_size", wrong_size},
    {"damaged_table", damaged_table},
    {"no_spill", no_spill},
    {"three_spills", three_spills},
    {"writer_open", writer_open},
    {"writer_sent", writer_sent},
    {"writer_mapped", writer_mapped},
    {"spill_short", spill_short},
    {"spill_long", spill_long},
    {"spill_huge", spill_huge},
    {"spill_damaged", spill_damaged},
    {"spill_unsealed", spill_unsealed},
    {"spill_sealed", spill_sealed},
    {"spill_writable", spill_writable},
    {"spill_shrinkable", spill_shrinkable},
    {"spill_sealed_short", spill_sealed_short},
    {"spill_sealed_path", spill_sealed_path},
    {"spill_leased", spill_leased},
    {"result_and_more", result_and_more},
    {"spill_with_a_hole", spill_with_a_hole},
    {"spill_of_huge_pages", spill_of_huge_pages},
    {"spill_pipe", spill_pipe},
    {"spill_directory", spill_directory_itself},
    {"spill_elsewhere", spill_elsewhere},
    {"spill_device", spill_device},
    {"spill_socket", spill_socket},
    {"held_sealed", held_sealed},
    {"held_unsealed", held_unsealed},
    {"held_short", held_short},
    {"held_nothing", held_nothing},
    {"held_below", held_below},
    {"held_file", held_file},
    {"held_pipe", held_pipe},
    {"held_terminal", held_terminal},
    {"held_channel", held_channel},
    {"held_path", held_path},
    {"held_and_sent", held_and_sent},
    {"drop_refused", drop_refused},
    {"drop_surplus", drop_surplus},
    {"drop_with_words", drop_with_words},
    {"drop_behind_garbage", drop_behind_garbage},
    {"drop_behind_nothing", drop_behind_nothing},
    {"drop_behind_result", drop_behind_result},
    {"stack_flood", stack_flood},
    {"word_flood", word_flood},
    {"fd_flood", fd_flood},
    {"note", note},
    {"note_too_long", note_too_long},
    {"out_of_turn", out_of_turn},
    {"decline", decline},
    {"die_slowly", die_slowly},
    {"lie", lie},
    {NULL, NULL},
};

/* ---- templates that do not serve
 * -------------------------------------------------------------------------------- */

static int fail_to_start(int log_lines)
{
    static const char text[] = "no module of that name";
    while (--log_lines > 0)
        fprintf(stderr, "a line of its log\n");
    fprintf(stderr, "the last line of its log\n");
    frame_send(PINFOLD_CONTROL_FD, PINFOLD_FRAME_FAILED, 0, NULL, 0, text, sizeof(text) - 1, NULL, 0);
    return 1;
}

/* Become ready, then answer each START in the way that `mode` says. */
static int disappoint(const char *mode)
{
    static struct frame frame;
    int fds[3];
    frame_receive(PINFOLD_CONTROL_FD, &frame, NULL, 0);
    frame_send(PINFOLD_CONTROL_FD, PINFOLD_FRAME_READY, 0, NULL, 0, NULL, 0, NULL, 0);
    while (frame_receive(PINFOLD_CONTROL_FD, &frame, fds, 3) > 0) {
        for (int i = 0; i < 3; i++)
            close(fds[i]);
        struct pinfold_frame_started started = {.error = EAGAIN};
        if (strcmp(mode, "refuses") == 0)
            frame_send(PINFOLD_CONTROL_FD, PINFOLD_FRAME_STARTED, frame.head.id, &started, sizeof(started), NULL,
                       0, NULL, 0);
        else if (strcmp(mode, "damages") == 0)
            send(PINFOLD_CONTROL_FD, "garbage", 7, MSG_NOSIGNAL);
        else if (strcmp(mode, "dies") == 0)
            return 3;
        else if (strcmp(mode, "ignores") != 0)
            return 2;
    }
    return 0;
}

/* Return a pidfd of a dead process. */
static int open_dead(void)
{
    pid_t pid = fork();
    if (pid == 0)
        _exit(0);
    int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    waitpid(pid, NULL, 0);
    return pidfd;
}

/* Return the pid of a process with 64 MiB of its own. */
static pid_t make_large(void)
{
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        mmap(NULL, 64 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
        wait_to_be_killed();
    }
    return pid;
}

/* Send READY, and wait until it is received. */
static void be_ready(int socket)
{
    frame_send(socket, PINFOLD_FRAME_READY, 0, NULL, 0, NULL, 0, NULL, 0);
    for (int unread = 1; ioctl(socket, SIOCOUTQ, &unread) == 0 && unread > 0;)
        sched_yield();
}

/* Serve, and report workers in an odd way:
 * "declines": they report that they cannot start, which is seen before the template has reported them;
 * "declines next": those after the first do;
 * "ready first": they are ready, which is seen before that;
 * "stillborn": they end at once;
 * "another's pid": they are dead and have a large process's pid, as if it had been reused;
 * "without guard": not odd, but works in namespaces, too, from where the guard cannot be seen. */
static int serve_oddly(const char *mode)
{
    static struct frame frame;
    static char directory[4096];
    int fds[3];
    size_t size = frame_receive(PINFOLD_CONTROL_FD, &frame, NULL, 0);
    size_t path_at = sizeof(struct pinfold_frame_head) + sizeof(struct pinfold_frame_setup);
    const int isolation = (int)frame.body.setup.isolation;
    memcpy(directory, (const char *)&frame + path_at, size - path_at);
    frame_send(PINFOLD_CONTROL_FD, PINFOLD_FRAME_READY, 0, NULL, 0, NULL, 0, NULL, 0);
    for (int n = 0; frame_receive(PINFOLD_CONTROL_FD, &frame, fds, 3) > 0; n++) {
        const int declines = strcmp(mode, "declines") == 0 || (strcmp(mode, "declines next") == 0 && n > 0);
        const int stillborn = strcmp(mode, "stillborn") == 0;
        struct pinfold_frame_started started = {.pid = fork()};
        if (started.pid == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            dup2(fds[0], CHANNEL);
            syscall(SYS_close_range, CHANNEL + 1, ~0U, 0);
            if (declines)
                decline(NULL);
            if (stillborn)
                _exit(3);
            if (isolation == PINFOLD_SPAWN && strcmp(mode, "ready first") != 0)
                be_ready(CHANNEL);
            worker_serve(isolation, directory, (const struct function *const[]){functions, hostile, NULL});
        }
        int pidfd = (int)syscall(SYS_pidfd_open, started.pid, 0);
        struct pinfold_frame_exited exited = {0};
        if (declines) {
            poll(&(struct pollfd){fds[0], POLLRDHUP, 0}, 1, -1);
        } else if (strcmp(mode, "ready first") == 0) {
            be_ready(fds[0]);
        } else if (strcmp(mode, "another's pid") == 0) {
            close(pidfd);
            pidfd = open_dead();
            started.pid = make_large();
        }
        for (int i = 0; i < 3; i++)
            close(fds[i]);
        frame_send(PINFOLD_CONTROL_FD, PINFOLD_FRAME_STARTED, frame.head.id, &started, sizeof(started), NULL, 0,
                   &pidfd, pidfd >= 0);
        if ((declines || stillborn) && waitpid(started.pid, &exited.status, 0) > 0)
            frame_send(PINFOLD_CONTROL_FD, PINFOLD_FRAME_EXITED, frame.head.id, &exited, sizeof(exited), NULL, 0,
                       NULL, 0);
        close(pidfd);
    }
    return 0;
}

int main(int argc, char **argv)
{
    const char *mode = argc > 1 ? argv[1] : "";
    if (strcmp(mode, "fails") == 0)
        return fail_to_start(1);
    if (strcmp(mode, "chatters") == 0)
        return fail_to_start(3000);
    if (strcmp(mode, "exits") == 0) {
        fprintf(stderr, "cannot go on\n");
        return 3;
    }
    if (strcmp(mode, "hangs") == 0)
        wait_to_be_killed();
    static const char *const odd[] = {"declines",  "declines next", "ready first",
                                      "stillborn", "another's pid", "without guard"};
    for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++)
        if (strcmp(mode, odd[i]) == 0)
            return serve_oddly(mode);
    if (*mode == '/') { /* serve after a test has opened this named pipe for writing */
        int fd = open(mode, O_RDONLY | O_CLOEXEC);
        argv[1] = NULL;
        close(fd);
    } else if (*mode && strcmp(mode, "worker") != 0 && strcmp(mode, "next") != 0) {
        return disappoint(mode);
    }
    return template_serve(argv, (const struct function *const[]){functions, hostile, NULL});
}

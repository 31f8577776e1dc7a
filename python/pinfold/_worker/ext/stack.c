/* SPDX-License-Identifier: Apache-2.0 */
/* stack.c - sends a worker's stack to the pool. The interpreter's faulthandler prints it, from a signal handler
 * and without the GIL, to RESERVED_STACK. The handlers of this file wrap faulthandler's:
 *
 *     SIGSEGV ..   on_crash -> faulthandler: prints, restores the handler beneath, raises again -> on_second:
 *                  sends the printed stack -> the default: death by that signal
 *     the request  on_ask -> faulthandler: prints -> on_ask: sends, and ends the process
 *
 * Where a worker runs its call in a child (collector.c), it passes the request on to that.
 *
 * The pool kills a worker whose stack it requests. on_ask does that at once, since waiting for the pool would take
 * another turn on a busy processor.
 *
 * Everything here is async-signal-safe. The file is made for the first stack, because most calls need none.
 */
#include "runtime.h"

#include <errno.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <unistd.h>

#include "wire/frame.h"

/* Signal handlers take no argument for state, so it is global. */
static _Atomic uint64_t call_now;
static _Atomic pid_t worker_pid;
static atomic_flag reporting = ATOMIC_FLAG_INIT;
static _Atomic pid_t pass_on_to;
static atomic_bool passed_on;
static struct sigaction beneath_ask, beneath_crash[NSIG];

static const int crashes[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};
#define N_CRASHES (sizeof(crashes) / sizeof(crashes[0]))

void stack_of_call(uint64_t call)
{
    atomic_store(&call_now, call);
}

void stack_of_worker(void)
{
    atomic_store(&worker_pid, getpid());
    atomic_store(&pass_on_to, 0);
}

bool stack_pass_on(pid_t process)
{
    atomic_store(&pass_on_to, process);
    return atomic_exchange(&passed_on, false);
}

/* Return whether this process may report. The program's own forks inherit the handlers, but must not. */
static bool may_report(void)
{
    return atomic_load(&call_now) != 0 && atomic_load(&worker_pid) == getpid();
}

static void open_stack_file(void)
{
    int fd = memfd_create("pinfold-stack", MFD_CLOEXEC);
    if (fd >= 0)
        reserved_put(RESERVED_STACK, fd);
}

static void send_file(void)
{
    static char text[60000];
    ssize_t size = pread(reserved_fd(RESERVED_STACK), text, sizeof(text), 0);
    if (size <= 0)
        return;
    struct iovec tail = {text, (size_t)size};
    frame_send(reserved_fd(RESERVED_CHANNEL), PINFOLD_FRAME_STACK, atomic_load(&call_now), NULL, &tail, 1, NULL,
               0);
}

static void on_ask(int number)
{
    int saved = errno;
    const pid_t other = may_report() ? atomic_load(&pass_on_to) : 0;
    if (other) {
        atomic_store(&passed_on, true);
        kill(other, number);
    } else if (may_report() && beneath_ask.sa_handler && !atomic_flag_test_and_set(&reporting)) {
        open_stack_file();
        beneath_ask.sa_handler(number);
        printed_keep_c();
        send_file();
        kill(getpid(), SIGKILL);
    }
    errno = saved;
}

static void on_crash(int number)
{
    if (may_report()) {
        while (atomic_flag_test_and_set(&reporting)) /* another thread crashed first, and ends this process */
            pause();
        open_stack_file();
    }
    beneath_crash[number].sa_handler(number);
}

static void on_second(int number)
{
    signal(number, SIG_DFL);
    if (may_report()) {
        send_file();
        printed_keep_c();
    }
    raise(number);
}

static int handle(int number, void (*handler)(int), int flags, struct sigaction *beneath)
{
    struct sigaction action = {.sa_handler = handler, .sa_flags = flags | SA_ONSTACK};
    sigemptyset(&action.sa_mask);
    return sigaction(number, &action, beneath) < 0 ? -errno : 0;
}

int stack_arm_beneath(void)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < N_CRASHES; i++)
        r = handle(crashes[i], on_second, SA_NODEFER, NULL);
    return r;
}

int stack_arm_above(void)
{
    int r = handle(PINFOLD_ASK_SIGNAL, on_ask, SA_RESTART, &beneath_ask);
    for (size_t i = 0; r == 0 && i < N_CRASHES; i++)
        r = handle(crashes[i], on_crash, SA_NODEFER, &beneath_crash[crashes[i]]);
    return r;
}

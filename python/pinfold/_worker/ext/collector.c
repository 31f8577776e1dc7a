/* SPDX-License-Identifier: Apache-2.0 */
/* collector.c - runs a call in a child of the worker, and outlives it. The worker is then the *collector*: it is no
 * part of the call, so it can bring the call's files back however that ends.
 *
 *     worker ---- collector_fork() ----> waits in collector_wait() ----> nothing of the call is left
 *                        |                 ^ STOP from the pool: kills the child
 *                        '-> child: runs the call, and ends in its own way
 *
 * The child reports stacks, and keeps its unflushed output in the printed buffer, as a worker does. */
#include "runtime.h"

#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/util.h"
#include "process/sweep.h"
#include "wire/frame.h"

#define SWEEP_NS (1000 * INT64_C(1000000)) /* at most, for what the call left; the pool sweeps the rest */
#define LOOK_NS (50 * 1000000L)            /* another thread of the worker may have taken the SIGCHLD */

static uint64_t peak_kb;

uint64_t collector_take_peak_kb(void)
{
    const uint64_t taken = peak_kb;
    peak_kb = 0;
    return taken;
}

PyObject *collector_fork(PyObject *module, PyObject *unused)
{
    (void)module, (void)unused;
    printed_flush(false);
    const pid_t worker = getpid();
    const pid_t pid = child_fork();
    if (pid < 0)
        return raise_errno(pid, "cannot fork the process of a call");
    if (pid == 0) {
        /* Best effort: a box may refuse it, and the sweep finds the child in any case. */
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != worker)
            _exit(0);
        setsid();
        PyOS_AfterFork_Child();
        printed_share_again();
        stack_of_worker();
    }
    return PyLong_FromLong(pid);
}

/* Return whether the pool asks for the end of the call. Without a pool there is nothing left to do. */
static bool is_stopped(void)
{
    struct pinfold_frame_head head = {0};
    const ssize_t got = RETRY_EINTR(recv(reserved_fd(RESERVED_CHANNEL), &head, sizeof(head), MSG_DONTWAIT));
    if (got == 0 || (got < 0 && errno != EWOULDBLOCK))
        _exit(0);
    return got == (ssize_t)sizeof(head) && head.kind == PINFOLD_FRAME_STOP;
}

static void on_child(int number)
{
    (void)number;
}

/* Wait for the child, and return its status as waitpid(2) gives it. *ret_stopped: the pool asked for its end. */
static int wait_for_child(pid_t child, const sigset_t *open, bool *ret_stopped)
{
    struct pollfd pool = {reserved_fd(RESERVED_CHANNEL), POLLIN, 0};
    const struct timespec look = {.tv_nsec = LOOK_NS};
    struct rusage usage;
    int status;
    while (wait4(child, &status, WNOHANG, &usage) == 0) {
        if (ppoll(&pool, 1, &look, open) > 0 && is_stopped()) {
            *ret_stopped = true;
            kill(child, SIGKILL);
        }
    }
    peak_kb = (uint64_t)usage.ru_maxrss;
    return status;
}

PyObject *collector_wait(PyObject *module, PyObject *arguments)
{
    (void)module;
    int child, keeps;
    if (!PyArg_ParseTuple(arguments, "ip", &child, &keeps))
        return NULL;
    const struct sigaction noticed = {.sa_handler = on_child};
    struct sigaction before;
    sigset_t death, mask;
    sigemptyset(&death);
    sigaddset(&death, SIGCHLD);
    bool stopped = false;
    int status;
    Py_BEGIN_ALLOW_THREADS
    pthread_sigmask(SIG_BLOCK, &death, &mask); /* but in ppoll, so that none is missed */
    sigaction(SIGCHLD, &noticed, &before);
    sigset_t open = mask;
    sigdelset(&open, SIGCHLD);
    stack_pass_on(child);
    status = wait_for_child(child, &open, &stopped);
    stopped |= stack_pass_on(0);
    sweep_spare_trackers(stopped ? 0 : SWEEP_TRACKER_NS);
    (void)sweep_all(SWEEP_NS);
    sigaction(SIGCHLD, &before, NULL);
    pthread_sigmask(SIG_SETMASK, &mask, NULL);
    Py_END_ALLOW_THREADS
    printed_end(stopped ? PRINTED_LEAVE : keeps ? PRINTED_WRITE : PRINTED_DROP);
    return Py_BuildValue("(iO)", WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status),
                         stopped ? Py_True : Py_False);
}

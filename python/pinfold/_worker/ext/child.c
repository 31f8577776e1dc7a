/* SPDX-License-Identifier: Apache-2.0 */
/* child.c - turns a process that was just forked into a worker. */
#include "runtime.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/util.h"
#include "process/sweep.h"
#include "wire/frame.h"

enum { CHANNEL, OUT, ERR };

/* Report to the pool, which waits for this worker, why it cannot start; then exit. */
static _Noreturn void give_up(int channel, const char *what, const char *which, int code)
{
    char text[4608];
    int size = snprintf(text, sizeof(text), "%s %.4096s: %s", what, which, strerror(code));
    struct iovec tail = {text, (size_t)size};
    frame_send(channel, PINFOLD_FRAME_FAILED, 0, NULL, &tail, 1, NULL, 0);
    _exit(127);
}

/* The order matters. First comes PDEATHSIG, so that no later failure can leave an orphan; then what lets the
 * sweep find descendants; then the descriptors. The template's are closed before any code of the program's
 * own (a preload's at-fork hook, say) can run and reach them. */
void child_become_worker(const struct child *child)
{
    if (child->template) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != child->template)
            _exit(0);
    }
    setsid();
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    sweep_tag(child->tag);
    reserved_close(RESERVED_CONTROL, RESERVED_OOM);
    if (dup2(child->fds[OUT], STDOUT_FILENO) < 0 || dup2(child->fds[ERR], STDERR_FILENO) < 0 ||
        reserved_copy(RESERVED_CHANNEL, child->fds[CHANNEL]) < 0)
        give_up(child->fds[CHANNEL], "cannot take the descriptors of", "a worker", errno);
    for (size_t i = 0; i < COUNT_OF(child->fds); i++)
        close(child->fds[i]);
}

void child_exec(const struct child *child, char *const *command)
{
    /* exec would keep ignored what Python ignores. It resets signals that have a handler. */
    signal(SIGPIPE, SIG_DFL);
    signal(SIGXFSZ, SIG_DFL);
    sigprocmask(SIG_SETMASK, &child->mask, NULL);
    int channel = reserved_fd(RESERVED_CHANNEL);
    if (dup2(channel, 3) == 3) {
        /* All other descriptors are close-on-exec, those of this extension and those that a library opened. */
        execv(command[0], command);
    }
    give_up(channel, "cannot execute", command[0], errno);
}

pid_t child_fork(void)
{
    PyOS_BeforeFork();
    pid_t pid = fork();
    int code = errno;
    if (pid != 0)
        PyOS_AfterFork_Parent();
    return pid < 0 ? -code : pid;
}

int child_fork_once(void)
{
    pid_t pid = child_fork();
    if (pid == 0)
        _exit(0);
    if (pid < 0)
        return pid;
    int status;
    if (RETRY_EINTR(waitpid(pid, &status, 0)) < 0)
        return -errno;
    return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -ECHILD;
}

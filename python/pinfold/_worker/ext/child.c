#include "runtime.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/util.h"
#include "process/sweep.h"
#include "wire/frame.h"

enum { CHANNEL, OUT, ERR };

/* Whoever waits for this worker is told why there is none. */
static _Noreturn void give_up(int channel, const char *what, const char *which, int code)
{
    char text[4608];
    int size = snprintf(text, sizeof(text), "%s %.4096s: %s", what, which, strerror(code));
    struct iovec tail = {text, (size_t)size};
    frame_send(channel, PINFOLD_FRAME_FAILED, 0, NULL, &tail, 1, NULL, 0);
    _exit(127);
}

/* The order: first what makes this process mortal, so that no failure further on can leave a stray; then what
 * makes its descendants findable; then the descriptors, the template's closed before anything of the program's
 * own (an at-fork hook of a preload, say) can run and reach them. */
void child_settle(const struct child *child)
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
    /* What Python ignores, exec would keep ignored; what has a handler, exec resets by itself. */
    signal(SIGPIPE, SIG_DFL);
    signal(SIGXFSZ, SIG_DFL);
    sigprocmask(SIG_SETMASK, &child->mask, NULL);
    int channel = reserved_fd(RESERVED_CHANNEL);
    if (dup2(channel, 3) == 3) {
        /* All others are close-on-exec: those of this file's doing, and those that a library opened. */
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

int child_rehearse(void)
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

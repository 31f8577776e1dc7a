/* SPDX-License-Identifier: Apache-2.0 */
/* template.c - the process that forks workers, reaps them, reports how they ended and kills what they left. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "runtime.h"

struct worker {
    struct worker *next;
    uint64_t number;
    pid_t pid;
};

struct template
{
    char **argv;
    const struct function *const *tables;
    struct worker *workers, *left; /* living workers; dead ones whose orphans are not swept yet */
    struct pinfold_frame_setup setup;
    char directory[4096];
};

static struct worker **find(struct template *template, pid_t pid)
{
    struct worker **at = &template->workers;
    while (*at && (*at)->pid != pid)
        at = &(*at)->next;
    return at;
}

/* Kill the children that are not workers. A worker is a subreaper, so when it dies, this process inherits what it
 * started. Return how many there are, zombies included. */
static int kill_orphans(struct template *template)
{
    FILE *list = fopen("/proc/thread-self/children", "re");
    int pid, n = 0;
    while (list && fscanf(list, "%d", &pid) == 1) {
        if (!*find(template, pid)) {
            kill(pid, SIGKILL);
            n++;
        }
    }
    if (list)
        fclose(list);
    return n;
}

static uint64_t microseconds(struct timeval time)
{
    return (uint64_t)time.tv_sec * 1000000 + (uint64_t)time.tv_usec;
}

static void reap(struct template *template)
{
    int status;
    struct rusage usage;
    pid_t pid;
    while ((pid = wait4(-1, &status, WNOHANG, &usage)) > 0) {
        struct worker **at = find(template, pid), *worker = *at;
        if (!worker)
            continue;
        *at = worker->next;
        struct pinfold_frame_exited exited = {
            .status = status,
            .user_us = microseconds(usage.ru_utime),
            .sys_us = microseconds(usage.ru_stime),
            .peak_kb = (uint64_t)usage.ru_maxrss,
        };
        if (kill_orphans(template) > 0) {
            exited.flags = PINFOLD_EXITED_ORPHANS;
            worker->next = template->left;
            template->left = worker;
        }
        frame_send(PINFOLD_CONTROL_FD, PINFOLD_FRAME_EXITED, worker->number, &exited, sizeof(exited), NULL, 0,
                   NULL, 0);
        if (worker != template->left)
            free(worker);
    }
    /* This process inherits the children of an orphan when that dies, so it looks until none is left. It does not
     * know the worker that an orphan belonged to: one that is slow to die delays the SWEPT of other workers. */
    if (template->left && kill_orphans(template) == 0) {
        for (struct worker *next; template->left; template->left = next) {
            next = template->left->next;
            frame_send(PINFOLD_CONTROL_FD, PINFOLD_FRAME_SWEPT, template->left->number, NULL, 0, NULL, 0, NULL, 0);
            free(template->left);
        }
    }
}

static _Noreturn void become_worker(struct template *template, const int *fds, pid_t parent)
{
    setsid();
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    if (template->setup.flags & PINFOLD_SETUP_PDEATHSIG) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
            _exit(0);
    }
    dup2(fds[1], 1);
    dup2(fds[2], 2);
    dup2(fds[0], CHANNEL);
    syscall(SYS_close_range, CHANNEL + 1, ~0U, 0);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    if (template->setup.isolation != PINFOLD_SPAWN)
        worker_serve((int)template->setup.isolation, template->directory, template->tables);

    char *const argv[] = {template->argv[0], "worker", template->directory, NULL};
    execv("/proc/self/exe", argv);
    const char *text = strerror(errno);
    frame_send(CHANNEL, PINFOLD_FRAME_FAILED, 0, NULL, 0, text, strlen(text), NULL, 0);
    _exit(1);
}

static void start(struct template *template, uint64_t number, int *fds)
{
    struct pinfold_frame_started started = {
        .inherited_kb = template->setup.isolation == PINFOLD_SPAWN ? 0 : status_kb("RssAnon:")};
    struct worker *worker = malloc(sizeof(*worker));
    pid_t self = getpid(), pid = worker ? fork() : -1;
    if (pid == 0)
        become_worker(template, fds, self);
    int pidfd = pid > 0 ? (int)syscall(SYS_pidfd_open, pid, 0) : -1;
    if (pid > 0 && pidfd >= 0) {
        *worker = (struct worker){template->workers, number, pid};
        template->workers = worker;
        started.pid = pid;
    } else {
        started.error = errno;
        if (pid > 0) /* reap() sees it as an orphan */
            kill(pid, SIGKILL);
        free(worker);
    }
    frame_send(PINFOLD_CONTROL_FD, PINFOLD_FRAME_STARTED, number, &started, sizeof(started), NULL, 0, &pidfd,
               pidfd >= 0);
    if (pidfd >= 0)
        close(pidfd);
}

/* Kill all descendants and exit, because the pool or the guard is gone. By _exit: a function that exit() runs may
 * stop this process to look at it (LeakSanitizer), and hang if the SIGCONT of the guard's death comes in between.
 */
static _Noreturn void end(struct template *template)
{
    template->workers = NULL;
    do
        kill_orphans(template);
    while (waitpid(-1, NULL, 0) > 0 || errno == EINTR);
    _exit(0);
}

int template_serve(char **argv, const struct function *const *tables)
{
    static struct template template; /* static, because it is large */
    static struct frame frame;
    template.argv = argv;
    template.tables = tables;
    if (argv[1] && strcmp(argv[1], "worker") == 0) {
        frame_send(CHANNEL, PINFOLD_FRAME_READY, 0, NULL, 0, NULL, 0, NULL, 0);
        worker_serve(PINFOLD_SPAWN, argv[2], tables);
    }

    sigset_t child_died;
    sigemptyset(&child_died);
    sigaddset(&child_died, SIGCHLD);
    sigprocmask(SIG_BLOCK, &child_died, NULL);
    int died = signalfd(-1, &child_died, SFD_CLOEXEC);
    int guard = (int)syscall(SYS_pidfd_open, getppid(), 0);
    prctl(PR_SET_CHILD_SUBREAPER, 1);

    size_t size = frame_receive(PINFOLD_CONTROL_FD, &frame, NULL, 0);
    size_t path_at = sizeof(struct pinfold_frame_head) + sizeof(struct pinfold_frame_setup);
    if (size <= path_at || frame.head.kind != PINFOLD_FRAME_SETUP || died < 0 || guard < 0)
        return 1;
    template.setup = frame.body.setup;
    if (!(template.setup.flags & PINFOLD_SETUP_SEALED)) /* else "": spills are memfds */
        memcpy(template.directory, (const char *)&frame + path_at, size - path_at);
    /* The guard armed this. From here on the loop sees its death, and sweeps before it ends. */
    prctl(PR_SET_PDEATHSIG, SIGCONT);
    frame_send(PINFOLD_CONTROL_FD, PINFOLD_FRAME_READY, 0, NULL, 0, NULL, 0, NULL, 0);

    struct pollfd watched[] = {{PINFOLD_CONTROL_FD, POLLIN, 0}, {died, POLLIN, 0}, {guard, POLLIN, 0}};
    while (!watched[2].revents) {
        if (poll(watched, 3, -1) < 0)
            continue;
        if (watched[1].revents) {
            struct signalfd_siginfo ignored;
            if (read(died, &ignored, sizeof(ignored)) > 0)
                reap(&template);
        }
        if (watched[0].revents) {
            int fds[3];
            if (frame_receive(PINFOLD_CONTROL_FD, &frame, fds, 3) == 0)
                break;
            if (frame.head.kind == PINFOLD_FRAME_START)
                start(&template, frame.head.id, fds);
            for (int i = 0; i < 3; i++)
                if (fds[i] >= 0)
                    close(fds[i]);
        }
    }
    end(&template);
}

/* The template's loop: it makes workers, reaps them, and sweeps what they leave behind. One thread, which sleeps
 * in poll(2) and nowhere else.
 *
 * A worker is a subreaper while it lives, so a child of the template that is no worker can only be what a dead
 * worker left: an orphan. It is killed with all that is below it. Whose it was, its tag tells (sweep.h): so what one
 * call left, however long it takes to die, holds up the report of no other.
 */
#include "_runtime.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "_berth.h"
#include "_pids.h"
#include "frame.h"
#include "scratch.h"
#include "sweep.h"
#include "util.h"

#define OOM_FIRST "1000" /* proc(5), oom_score_adj: workers go before all others */
#define LOOK_AGAIN_MS 5  /* while there are orphans; their deaths wake the loop as well */
#define LOOK_NS 2000000  /* one look goes on for so long, at most, while there are new orphans */
#define PAUSE_NS 50000   /* and until it has found no new one so many times, with so much time in between */
#define QUIET_LOOKS 3
#define LOOK_MAX 256     /* orphans that are looked below in one look */
#define REAP_MAX 1024    /* dead ones reaped before those that live are looked at again */
#define QUIET_MS 5       /* with nothing to do, after which the next step is taken */
#define COLD_MOST 8      /* workers made before a step is taken all the same */
#define TRASH_BUDGET 128 /* entries removed before anything else has its turn */
#define COMMAND_EXTRA 2  /* what is put behind the command of a spawned worker */

/* A frame that waits until the control socket has room. */
struct outgoing {
    enum frame_kind kind;
    uint64_t id;
    int fd; /* owned; -1: none */
    union {
        struct frame_started started;
        struct frame_exited exited;
    } body;
};

/* A worker whose exit is, or was, reported. */
struct owed {
    uint64_t number;
    bool left; /* orphans of it, at the last look */
};

struct server {
    struct pids workers;
    struct outgoing *queue;
    size_t first, used, capacity; /* of the queue */
    int n_orphans;                /* at the last look */
    pid_t newest;                 /* of them */
    bool growing;                 /* there were more and more of them */
    bool no_list;                 /* the kernel does not list our children: they are looked for */
    bool unread;                  /* there may be more dead ones than were reaped */
    bool trash;                   /* remains of scratch directories wait to be removed */
    struct owed *owed;            /* to these workers a FRAME_SWEPT, when none of its orphans is left */
    size_t n_owed, owed_capacity;
    uint64_t inherited_kb;
    bool namespaced;      /* the guard is outside of our namespace, and its death is our own */
    char oom[8];          /* our own oom_score_adj; "": it cannot be set */
    char *const *command; /* of a spawned worker; NULL: workers are forked */
    PyObject *step;       /* what makes later workers faster, a part at a time; NULL: all is done */
    int n_cold;           /* workers made since the last step */
    struct child child;   /* the next one */
    char worker_id[sizeof(struct frame_start) + 1];
    _Alignas(8) uint8_t buffer[FRAME_MAX];
};

/* What a fork of this process shares with it and counts as its own (proc(5), /proc/[pid]/statm). */
static uint64_t anonymous_kb(void)
{
    _cleanup_close_ int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    char text[128];
    ssize_t size = fd < 0 ? 0 : read(fd, text, sizeof(text) - 1);
    unsigned long long resident = 0, shared = 0;
    text[size > 0 ? size : 0] = '\0';
    if (sscanf(text, "%*u %llu %llu", &resident, &shared) != 2 || shared > resident)
        return 0;
    return (resident - shared) * (uint64_t)sysconf(_SC_PAGESIZE) / 1024;
}

/* Room for `more` frames; whoever calls this before it changes anything cannot lose one. */
static int queue_reserve(struct server *server, size_t more)
{
    if (server->first > 0 && server->first == server->used)
        server->first = server->used = 0;
    if (server->used + more <= server->capacity)
        return 0;
    size_t capacity = 2 * (server->used + more);
    struct outgoing *queue = reallocarray(server->queue, capacity, sizeof(*queue));
    if (!queue)
        return -ENOMEM;
    server->queue = queue;
    server->capacity = capacity;
    return 0;
}

/* The same for one that is owed a frame. */
static int owed_reserve(struct server *server, size_t n)
{
    if (n <= server->owed_capacity)
        return 0;
    struct owed *owed = reallocarray(server->owed, 2 * n, sizeof(*owed));
    if (!owed)
        return -ENOMEM;
    server->owed = owed;
    server->owed_capacity = 2 * n;
    return 0;
}

static struct outgoing *queue_push(struct server *server, enum frame_kind kind, uint64_t id)
{
    struct outgoing *frame = &server->queue[server->used++];
    *frame = (struct outgoing){.kind = kind, .id = id, .fd = -1};
    return frame;
}

static bool queue_waits(const struct server *server)
{
    return server->first < server->used;
}

/* 0, also when some have to wait; any other error means that the pool is gone. */
static int queue_flush(struct server *server)
{
    for (; queue_waits(server); server->first++) {
        struct outgoing *frame = &server->queue[server->first];
        int r = frame_send(seat_fd(SEAT_CONTROL), frame->kind, frame->id, &frame->body, NULL, 0, &frame->fd,
                           frame->fd >= 0);
        if (frame_may_yet_go(r)) {
            if (r != -EAGAIN) /* there may be room in the socket, for which the loop would not wait */
                poll(NULL, 0, 1);
            return 0;
        }
        if (r < 0)
            return r;
        cleanup_close(&frame->fd);
    }
    return 0;
}

static void oom_write(const char *value)
{
    if (*value && pwrite(seat_fd(SEAT_OOM), value, strlen(value), 0) < 0)
        return; /* nothing is lost but a hint to the kernel */
}

/* Forks; 0 in a worker that has settled, a negative errno if it cannot. */
static pid_t make_worker(struct server *server, char *const *command)
{
    bool forked = !command;
    oom_write(*server->oom ? OOM_FIRST : "");
    pid_t pid = forked ? child_fork() : fork();
    if (pid < 0 && !forked)
        pid = -errno;
    if (pid == 0) {
        child_settle(&server->child);
        if (!forked)
            child_exec(&server->child, command);
        PyOS_AfterFork_Child();
        sigprocmask(SIG_SETMASK, &server->child.mask, NULL);
        return 0;
    }
    oom_write(server->oom);
    return pid;
}

static void started(struct server *server, uint64_t number, pid_t pid)
{
    struct outgoing *frame = queue_push(server, FRAME_STARTED, number);
    if (pid > 0) {
        /* Our own child, not reaped: its pid is still its own. */
        frame->fd = (int)syscall(SYS_pidfd_open, pid, 0);
        if (frame->fd < 0) {
            frame->body.started.error = errno;
            kill(pid, SIGKILL); /* not a worker, and so reaped without a report */
            return;
        }
        pids_add(&server->workers, pid, number);
        server->n_cold++;
        frame->body.started.pid = pid;
        frame->body.started.inherited_kb = server->inherited_kb;
        return;
    }
    frame->body.started.error = -pid;
}

/* 1 in the new worker. */
static int start(struct server *server, struct frame *frame)
{
    const struct frame_start *body = frame->body;
    uint64_t number = frame->head.id;
    memcpy(server->worker_id, body->worker_id, sizeof(body->worker_id));
    memcpy(server->child.fds, frame->fds, sizeof(server->child.fds));
    server->child.tag = number;

    char text[24];
    char *command[COMMAND_MAX + COMMAND_EXTRA + 1] = {NULL};
    if (server->command) {
        size_t n = 0;
        for (; server->command[n]; n++)
            command[n] = server->command[n];
        snprintf(text, sizeof(text), "%llu", (unsigned long long)number);
        command[n++] = text;
        command[n] = server->worker_id;
    }
    /* One frame for the start, one for the end, and one for the sweep, of every worker there is. */
    int r = pids_reserve(&server->workers);
    if (r == 0)
        r = queue_reserve(server, 3 * ((size_t)server->workers.used + server->n_owed + 1));
    if (r == 0)
        r = owed_reserve(server, server->workers.used + server->n_owed + 1);
    berth_take();
    pid_t pid = r < 0 ? r : make_worker(server, server->command ? command : NULL);
    if (pid == 0)
        return 1;
    berth_given(pid);
    started(server, number, pid);
    frame_release(frame);
    return 0;
}

struct look {
    struct server *server;
    int n_orphans;
    int n_new;
    pid_t last_group;
    pid_t newest; /* orphan: the kernel lists children in the order in which they came */
    bool past;    /* the one that was the newest before, on the way through the list */
    int64_t until;
};

static void each_child(const struct server *server, sweep_visit *visit, struct look *look)
{
    if (server->no_list || sweep_read(seat_fd(SEAT_CHILDREN), visit, look) < 0)
        sweep_children(visit, look);
}

static void kill_new(pid_t pid, void *data)
{
    struct look *look = data;
    if (pids_has(&look->server->workers, pid))
        return;
    if (look->past) {
        if (!sweep_spares(pid))
            kill(pid, SIGKILL);
        look->n_new++;
    }
    look->past = look->past || pid == look->server->newest;
    look->newest = pid;
}

/* Kills the orphans that came since the last time; how many. */
static int kill_once(struct server *server)
{
    struct look look = {.server = server, .past = server->newest == 0};
    each_child(server, kill_new, &look);
    if (!look.past && look.newest) { /* the newest of then was reaped */
        look.past = true;
        each_child(server, kill_new, &look);
    }
    server->newest = look.newest;
    return look.n_new;
}

/* Kills all orphans that there are, and those that they fork meanwhile, until no new ones come. A process that forks
 * and ends at once gets away from a look that takes longer than that; from this one, which takes less, it does not. It
 * comes before all else, for with each moment more of them are dead and in the way. */
static void kill_orphans(struct server *server)
{
    const int64_t until = now_ns() + LOOK_NS;
    const struct timespec pause = {.tv_nsec = PAUSE_NS};
    server->growing = false;
    if (server->no_list)
        return;
    for (int quiet = 0; now_ns() < until; quiet++) {
        if (kill_once(server) > 0) {
            server->growing = true;
            quiet = 0;
        } else if (!server->growing || quiet == QUIET_LOOKS) {
            break;
        } else { /* one that is forked, and whose parent is dying, is nobody's orphan yet */
            nanosleep(&pause, NULL);
        }
    }
}

/* Notes whose it is: the worker's by whose number it is tagged, or, if it has no tag, anybody's. */
static void note_owner(const struct look *look, pid_t pid)
{
    const struct server *server = look->server;
    uint64_t tag = server->n_owed > 0 ? sweep_tag_of(pid) : 0;
    for (size_t i = 0; i < server->n_owed; i++)
        server->owed[i].left = server->owed[i].left || !tag || server->owed[i].number == tag;
}

static void look_at(pid_t pid, void *data)
{
    struct look *look = data;
    if (pids_has(&look->server->workers, pid))
        return;
    note_owner(look, pid);
    if (look->n_orphans++ < LOOK_MAX && now_ns() < look->until)
        sweep_kill_tree(pid, &look->last_group);
}

static void look(struct server *server)
{
    struct look look = {.server = server, .until = now_ns() + LOOK_NS};
    for (size_t i = 0; i < server->n_owed; i++)
        server->owed[i].left = false;
    each_child(server, look_at, &look);
    server->n_orphans = look.n_orphans;
}

/* Those that are owed a frame and have no orphans any more get it. The first `told` of them were told of their orphans. */
static void settle_owed(struct server *server, size_t told)
{
    size_t kept = 0;
    for (size_t i = 0; i < server->n_owed; i++) {
        struct owed owed = server->owed[i];
        if (owed.left || (i < told && queue_reserve(server, 1) < 0))
            server->owed[kept++] = owed;
        else if (i < told)
            queue_push(server, FRAME_SWEPT, owed.number);
    }
    server->n_owed = kept;
}

/* While a worker is a zombie nobody else has its pid, which is the name of its directory. */
static void drop_scratch(struct server *server, pid_t pid)
{
    char name[16];
    snprintf(name, sizeof(name), "%d", pid);
    server->trash = scratch_drop(seat_fd(SEAT_SCRATCH), name, seat_fd(SEAT_TRASH)) || server->trash;
}

static int64_t microseconds(struct timeval time)
{
    return (int64_t)time.tv_sec * 1000000 + time.tv_usec;
}

static void reap(struct server *server)
{
    struct signalfd_siginfo news[8];
    ssize_t got = read(seat_fd(SEAT_SIGNALS), news, sizeof(news));
    (void)got; /* they tell that something died, and may have been merged: which, wait4(2) knows */

    if (server->n_orphans == 0)
        sweep_begin();
    kill_orphans(server);
    size_t reports = server->used;
    const size_t told = server->n_owed;
    server->unread = true;
    for (int n = 0; n < REAP_MAX; n++) {
        siginfo_t dead = {.si_pid = 0};
        if (waitid(P_ALL, 0, &dead, WEXITED | WNOHANG | WNOWAIT | __WALL) < 0 || dead.si_pid == 0) {
            server->unread = false;
            break;
        }
        /* While it is a zombie, its pid is that of its group, too, and nobody else's. */
        if (sweep_may_kill_groups())
            kill(-dead.si_pid, SIGKILL);
        if (pids_has(&server->workers, dead.si_pid) && !berth_left(dead.si_pid) && runtime_has_scratch)
            drop_scratch(server, dead.si_pid);
        int status;
        struct rusage usage;
        uint64_t number;
        if (wait4(dead.si_pid, &status, __WALL, &usage) != dead.si_pid)
            continue;
        if (!pids_take(&server->workers, dead.si_pid, &number))
            continue;
        struct frame_exited *body = &queue_push(server, FRAME_EXITED, number)->body.exited;
        body->status = status;
        body->user_us = (uint64_t)microseconds(usage.ru_utime);
        body->sys_us = (uint64_t)microseconds(usage.ru_stime);
        body->peak_kb = (uint64_t)usage.ru_maxrss;
        server->owed[server->n_owed++] = (struct owed){number, false};
    }
    if (server->used == reports && server->n_orphans == 0)
        return;
    look(server);
    server->trash = berth_settle(server->n_orphans == 0) || server->trash;
    for (size_t i = told; i < server->n_owed; i++, reports++)
        if (server->owed[i].left)
            server->queue[reports].body.exited.flags |= EXITED_ORPHANS;
    settle_owed(server, told);
}

static void kill_worker(pid_t pid, void *data)
{
    (void)data;
    if (!sweep_spares(pid))
        kill(pid, SIGKILL);
}

/* The pool or the guard is gone: nothing may be left when the template is. */
static void end(void)
{
    sweep_children(kill_worker, NULL);
    sweep_all(SWEEP_FOREVER);
    runtime_remove_base();
    _exit(0);
}

/* A step that fails is told in the log, and is the last: calls do without. */
static void take_step(struct server *server)
{
    PyObject *more = PyObject_CallNoArgs(server->step);
    if (!more)
        PyErr_WriteUnraisable(server->step);
    if (more != Py_True)
        server->step = NULL;
    Py_XDECREF(more);
    server->n_cold = 0;
    server->inherited_kb = anonymous_kb();
}

/* Somebody has removed it, a cleaner of /tmp say. */
static bool base_is_gone(void)
{
    struct stat status;
    return fstat(seat_fd(SEAT_BASE), &status) == 0 && status.st_nlink == 0;
}

/* Returns in a new worker only. */
static void serve(struct server *server)
{
    for (;;) {
        if (queue_flush(server) < 0)
            end();
        bool full = queue_waits(server);
        struct pollfd watched[] = {
            {seat_fd(SEAT_CONTROL), full ? POLLOUT : POLLIN, 0},
            {seat_fd(SEAT_SIGNALS), POLLIN, 0},
            {server->namespaced ? -1 : seat_fd(SEAT_GUARD), POLLIN, 0},
        };
        int wait_ms = server->unread || server->trash || server->growing ? 0
                      : server->n_orphans > 0                            ? LOOK_AGAIN_MS
                                                                         : -1;
        int n = poll(watched, COUNT_OF(watched), wait_ms < 0 && server->step ? QUIET_MS : wait_ms);
        if (n < 0)
            continue;
        if (watched[2].revents)
            end();
        if (watched[1].revents || wait_ms >= 0)
            reap(server);
        if (server->step && (n == 0 || server->n_cold >= COLD_MOST))
            take_step(server);
        if (server->trash) /* a little at a time: forks come first */
            server->trash = scratch_clear(seat_fd(SEAT_TRASH), TRASH_BUDGET) == 1;
        if (!watched[0].revents || full)
            continue;
        struct frame frame;
        int r = frame_receive(seat_fd(SEAT_CONTROL), MSG_DONTWAIT, FRAME_FROM_POOL, server->buffer, &frame);
        if (r == -EAGAIN)
            continue;
        if (r <= 0 || frame.head.kind != FRAME_START)
            end();
        (void)runtime_restore_spills();
        if (runtime_needs_base && base_is_gone()) {
            fputs("somebody has removed the directory of the boxes\n", stderr);
            end(); /* the next template makes its own */
        }
        if (start(server, &frame))
            return;
    }
}

/* What a preload may have closed would else be given to the next descriptor that arrives. */
static void fill_standard_fds(void)
{
    int fd;
    do
        fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    while (fd >= 0 && fd <= STDERR_FILENO);
    cleanup_close(&fd);
}

static int prepare(struct server *server)
{
    sigset_t death;
    sigemptyset(&death);
    sigaddset(&death, SIGCHLD);
    if (sigprocmask(SIG_BLOCK, &death, &server->child.mask) < 0)
        return -errno;
    int fd = signalfd(-1, &death, SFD_NONBLOCK | SFD_CLOEXEC);
    if (fd < 0)
        return -errno;
    int r = seat_put(SEAT_SIGNALS, fd);
    if (r < 0)
        return r;
    fd = sweep_open();
    server->no_list = fd < 0 || seat_put(SEAT_CHILDREN, fd) < 0;
    fd = open("/proc/self/oom_score_adj", O_RDWR | O_CLOEXEC);
    if (fd >= 0)
        seat_put(SEAT_OOM, fd);
    ssize_t size = pread(seat_fd(SEAT_OOM), server->oom, sizeof(server->oom) - 1, 0);
    server->oom[size > 0 ? size : 0] = '\0';
    server->inherited_kb = server->command ? 0 : anonymous_kb();
    return queue_reserve(server, 8);
}

PyObject *serve_run(uint32_t flags, char *const *command, PyObject *step)
{
    struct server *server = calloc(1, sizeof(*server));
    if (!server)
        return PyErr_NoMemory();
    server->command = command;
    server->step = step;
    server->child.template = flags & SETUP_PDEATHSIG ? getpid() : 0;
    fill_standard_fds();
    if (!runtime_needs_base) /* in a box there is no /dev/shm for anything to be left in */
        sweep_spare_trackers(SWEEP_TRACKER_NS);
    int r = prepare(server);
    if (r < 0) {
        free(server);
        return raise_errno(r, "cannot serve");
    }
    pid_t guard = getppid();
    server->namespaced = guard == 0;
    runtime_outlive_guard();
    if (getppid() != guard)
        end();
    queue_push(server, FRAME_READY, 0);
    serve(server);
    /* In a worker the server's memory stays as it is: giving it back would write to pages that it shares. */
    return PyUnicode_FromString(server->worker_id);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* serve.c - the template's loop: makes workers, reaps them, and sweeps their orphans. It has one thread, which
 * sleeps in poll(2) and nowhere else.
 *
 * A living worker is a subreaper. So any child of the template that is not a worker is a dead worker's orphan, and
 * is killed with all its descendants. Its tag identifies the worker (sweep.h), so an orphan that takes long to die
 * delays the report of its own call only.
 */
#include "runtime.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/util.h"
#include "box_slot.h"
#include "pids.h"
#include "process/scratch.h"
#include "process/sweep.h"
#include "wire/frame.h"

#define OOM_FIRST "1000" /* proc(5), oom_score_adj: workers go before all others */
#define LOOK_AGAIN_MS 5  /* while there are orphans; their deaths wake the loop, too */
#define LOOK_NS 2000000  /* longest time of one look while new orphans appear */
#define PAUSE_NS 50000   /* between looks; QUIET_LOOKS of them without a new orphan end the search */
#define QUIET_LOOKS 3
#define LOOK_MAX 256     /* orphans per look whose descendants are looked at */
#define LATE_MAX 512     /* orphans that are caught before all others */
#define REAP_MAX 1024    /* zombies reaped before the next look at living orphans */
#define QUIET_MS 5       /* idle time before the next step */
#define COLD_MOST 8      /* workers made after which a step is due without idle time */
#define TRASH_BUDGET 128 /* entries removed per turn of the loop */
#define COMMAND_EXTRA 2  /* words appended to the command of a spawned worker */

/* A frame that waits until the control socket has room. */
struct outgoing {
    enum pinfold_frame_kind kind;
    uint64_t id;
    int fd; /* owned; -1: none */
    union {
        struct pinfold_frame_started started;
        struct pinfold_frame_exited exited;
    } body;
};

/* A worker whose exit is being, or was, reported. */
struct owed {
    uint64_t number;
    bool left; /* it had orphans at the last look */
};

struct server {
    struct pids workers;
    struct outgoing *queue;
    size_t first, used, capacity; /* indices and size of `queue` */
    int n_orphans;                /* at the last look */
    pid_t newest;                 /* the newest orphan */
    bool growing;                 /* the last look still found new orphans */
    bool spares;                  /* some orphans are given time to end */
    bool no_list;                 /* the kernel does not list children: find them in another way */
    bool unread;                  /* more zombies may wait to be reaped */
    bool trash;                   /* remains of scratch directories wait for removal */
    struct owed *owed;            /* workers to report with PINFOLD_FRAME_SWEPT once their orphans are gone */
    size_t n_owed, owed_capacity;
    uint64_t inherited_kb;
    bool namespaced;      /* the guard is outside of our pid namespace, and its death ends us */
    char oom[8];          /* our own oom_score_adj; "": it cannot be set */
    char *const *command; /* a spawned worker's; NULL: workers are forked */
    PyObject *step;       /* makes later workers faster, one part at a time; NULL: nothing is left to do */
    int n_cold;           /* workers made since the last step */
    struct child child;   /* describes the next worker */
    char worker_id[sizeof(struct pinfold_frame_start) + 1];
    _Alignas(8) uint8_t buffer[PINFOLD_FRAME_MAX];
};

/* Return the memory that a fork shares with this process yet counts as its own (proc(5), /proc/[pid]/statm). */
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

/* Make room for `more` frames. A caller that does so before it changes anything cannot lose a frame. */
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

/* Make room for n entries in `owed`. */
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

static struct outgoing *queue_push(struct server *server, enum pinfold_frame_kind kind, uint64_t id)
{
    struct outgoing *frame = &server->queue[server->used++];
    *frame = (struct outgoing){.kind = kind, .id = id, .fd = -1};
    return frame;
}

static bool queue_waits(const struct server *server)
{
    return server->first < server->used;
}

/* Send queued frames. 0, even if some have to wait; any other error means that the pool is gone. */
static int queue_flush(struct server *server)
{
    for (; queue_waits(server); server->first++) {
        struct outgoing *frame = &server->queue[server->first];
        int r = frame_send(reserved_fd(RESERVED_CONTROL), frame->kind, frame->id, &frame->body, NULL, 0,
                           &frame->fd, frame->fd >= 0);
        if (frame_may_yet_go(r)) {
            if (r != -EAGAIN) /* the socket may have room, and the loop would not wait */
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
    if (*value && pwrite(reserved_fd(RESERVED_OOM), value, strlen(value), 0) < 0)
        return; /* a lost hint to the kernel does no harm */
}

/* Fork a worker. Returns 0 in the set-up worker, or a negative errno. */
static pid_t make_worker(struct server *server, char *const *command)
{
    bool forked = !command;
    oom_write(*server->oom ? OOM_FIRST : "");
    pid_t pid = forked ? child_fork() : fork();
    if (pid < 0 && !forked)
        pid = -errno;
    if (pid == 0) {
        child_become_worker(&server->child);
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
    struct outgoing *frame = queue_push(server, PINFOLD_FRAME_STARTED, number);
    if (pid > 0) {
        /* An unreaped child of ours: its pid is not reused. */
        frame->fd = (int)syscall(SYS_pidfd_open, pid, 0);
        if (frame->fd < 0) {
            frame->body.started.error = errno;
            kill(pid, SIGKILL); /* unknown as a worker, it is reaped without a report */
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

/* Start the worker that the frame asks for. Returns 1 in the new worker. */
static int start(struct server *server, struct frame *frame)
{
    const struct pinfold_frame_start *body = frame->body;
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
    /* Every worker may need three frames: for its start, its end and its sweep. */
    int r = pids_reserve(&server->workers);
    if (r == 0)
        r = queue_reserve(server, 3 * ((size_t)server->workers.used + server->n_owed + 1));
    if (r == 0)
        r = owed_reserve(server, server->workers.used + server->n_owed + 1);
    box_slot_take();
    pid_t pid = r < 0 ? r : make_worker(server, server->command ? command : NULL);
    if (pid == 0)
        return 1;
    box_slot_given(pid);
    started(server, number, pid);
    frame_release(frame);
    return 0;
}

struct look {
    struct server *server;
    int n_orphans;
    int n_new;
    pid_t last_group;
    pid_t newest;         /* the newest orphan, because the kernel lists children oldest first */
    pid_t late[LATE_MAX]; /* the new orphans that came last */
    bool past;            /* whether this pass through the list is past the previous newest orphan */
    int64_t until;
};

static void each_child(const struct server *server, sweep_visit *visit, struct look *look)
{
    if (server->no_list || sweep_read(reserved_fd(RESERVED_CHILDREN), visit, look) < 0)
        sweep_children(visit, look);
}

/* Kill the orphan, or stop it if it may have to be spared. The look that decides takes time, in which others
 * escape. */
static void catch_one(const struct server *server, pid_t pid)
{
    kill(pid, server->spares ? SIGSTOP : SIGKILL);
}

static void find_new(pid_t pid, void *data)
{
    struct look *look = data;
    if (pids_has(&look->server->workers, pid))
        return;
    if (look->past)
        look->late[look->n_new++ % LATE_MAX] = pid;
    look->past = look->past || pid == look->server->newest;
    look->newest = pid;
}

static void catch_any(pid_t pid, void *data)
{
    const struct look *look = data;
    if (!pids_has(&look->server->workers, pid))
        catch_one(look->server, pid);
}

/* Catch the orphans that are new since the last time, the youngest first: of thousands, only they are alive.
 * Returns their number. */
static int catch_once(struct server *server)
{
    struct look look = {.server = server, .past = server->newest == 0};
    each_child(server, find_new, &look);
    if (!look.past && look.newest) { /* the previous newest was reaped */
        look.past = true;
        each_child(server, find_new, &look);
    }
    server->newest = look.newest;
    for (int i = 0; i < look.n_new && i < LATE_MAX; i++)
        catch_one(server, look.late[i]);
    if (look.n_new > LATE_MAX)
        each_child(server, catch_any, &look);
    return look.n_new;
}

static void kill_stopped(pid_t pid, void *data)
{
    struct look *look = data;
    if (!pids_has(&look->server->workers, pid))
        kill(pid, sweep_spares(pid) ? SIGCONT : SIGKILL);
}

/* Catch all orphans, and the processes that they fork meanwhile, until no new ones come. A process that forks
 * and exits at once escapes a look that takes longer than that, but not this short one. It comes before all
 * else, because zombies accumulate and slow each look. It does not sleep: among hundreds of runnable processes,
 * this one's next turn comes when there are thousands more. */
static void kill_orphans(struct server *server)
{
    const int64_t until = now_ns() + LOOK_NS;
    server->growing = false;
    if (server->no_list)
        return;
    bool caught = false;
    for (int quiet = 0; now_ns() < until; quiet++) {
        server->growing = catch_once(server) > 0;
        caught = caught || server->growing;
        if (server->growing)
            quiet = 0;
        else if (!caught || quiet == QUIET_LOOKS)
            break;
        /* A process whose parent is still dying is no orphan yet. */
        for (const int64_t next = now_ns() + PAUSE_NS; !server->growing && now_ns() < next;)
            ;
    }
    if (caught && server->spares) {
        struct look look = {.server = server};
        each_child(server, kill_stopped, &look);
    }
}

/* Mark the orphan's worker, the one numbered like its tag. An orphan without a tag may be any worker's. */
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

static void server_look(struct server *server)
{
    struct look look = {.server = server, .until = now_ns() + LOOK_NS};
    for (size_t i = 0; i < server->n_owed; i++)
        server->owed[i].left = false;
    each_child(server, look_at, &look);
    server->n_orphans = look.n_orphans;
}

/* Send PINFOLD_FRAME_SWEPT for workers without orphans left. The first n_before were reported as having orphans;
 * the others are dropped from the list. */
static void report_swept(struct server *server, size_t n_before)
{
    size_t kept = 0;
    for (size_t i = 0; i < server->n_owed; i++) {
        struct owed owed = server->owed[i];
        if (owed.left || (i < n_before && queue_reserve(server, 1) < 0))
            server->owed[kept++] = owed;
        else if (i < n_before)
            queue_push(server, PINFOLD_FRAME_SWEPT, owed.number);
    }
    server->n_owed = kept;
}

/* Drop a dead worker's scratch directory, named by its pid, which is not reused while the worker is a zombie. */
static void drop_scratch(struct server *server, pid_t pid)
{
    char name[16];
    snprintf(name, sizeof(name), "%d", pid);
    server->trash =
        scratch_drop(reserved_fd(RESERVED_SCRATCH), name, reserved_fd(RESERVED_TRASH)) || server->trash;
}

static int64_t microseconds(struct timeval time)
{
    return (int64_t)time.tv_sec * 1000000 + time.tv_usec;
}

static void server_reap(struct server *server)
{
    struct signalfd_siginfo news[8];
    ssize_t got = read(reserved_fd(RESERVED_SIGNALS), news, sizeof(news));
    (void)got; /* signals may have been merged; wait4(2) knows which children died */

    if (server->n_orphans == 0)
        sweep_begin();
    kill_orphans(server);
    size_t reports = server->used;
    const size_t n_before = server->n_owed;
    server->unread = true;
    for (int n = 0; n < REAP_MAX; n++) {
        siginfo_t dead = {.si_pid = 0};
        if (waitid(P_ALL, 0, &dead, WEXITED | WNOHANG | WNOWAIT | __WALL) < 0 || dead.si_pid == 0) {
            server->unread = false;
            break;
        }
        /* While it is a zombie, its pid, which may also be its group's id, is not reused. */
        if (sweep_may_kill_groups())
            kill(-dead.si_pid, SIGKILL);
        if (pids_has(&server->workers, dead.si_pid) && !box_slot_left(dead.si_pid) && runtime_has_scratch)
            drop_scratch(server, dead.si_pid);
        int status;
        struct rusage usage;
        uint64_t number;
        if (wait4(dead.si_pid, &status, __WALL, &usage) != dead.si_pid)
            continue;
        if (!pids_take(&server->workers, dead.si_pid, &number))
            continue;
        struct pinfold_frame_exited *body = &queue_push(server, PINFOLD_FRAME_EXITED, number)->body.exited;
        body->status = status;
        body->user_us = (uint64_t)microseconds(usage.ru_utime);
        body->sys_us = (uint64_t)microseconds(usage.ru_stime);
        body->peak_kb = (uint64_t)usage.ru_maxrss;
        server->owed[server->n_owed++] = (struct owed){number, false};
    }
    if (server->used == reports && server->n_orphans == 0)
        return;
    server_look(server);
    server->trash = box_slots_recycle(server->n_orphans == 0) || server->trash;
    for (size_t i = n_before; i < server->n_owed; i++, reports++)
        if (server->owed[i].left)
            server->queue[reports].body.exited.flags |= PINFOLD_EXITED_ORPHANS;
    report_swept(server, n_before);
}

static void kill_worker(pid_t pid, void *data)
{
    (void)data;
    if (!sweep_spares(pid))
        kill(pid, SIGKILL);
}

/* End the template: the pool or the guard is gone. Nothing may outlive it. */
static void end_template(void)
{
    sweep_children(kill_worker, NULL);
    sweep_all(SWEEP_FOREVER);
    runtime_remove_base();
    _exit(0);
}

/* Take the next step. One that fails is reported in the log and is the last, since calls can do without. */
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

/* Return whether somebody, such as a cleaner of /tmp, has removed the base directory. */
static bool base_is_gone(void)
{
    struct stat status;
    return fstat(reserved_fd(RESERVED_BASE), &status) == 0 && status.st_nlink == 0;
}

/* Run the loop. Returns in a new worker only. */
static void server_loop(struct server *server)
{
    for (;;) {
        if (queue_flush(server) < 0)
            end_template();
        bool full = queue_waits(server);
        struct pollfd watched[] = {
            {reserved_fd(RESERVED_CONTROL), full ? POLLOUT : POLLIN, 0},
            {reserved_fd(RESERVED_SIGNALS), POLLIN, 0},
            {server->namespaced ? -1 : reserved_fd(RESERVED_GUARD), POLLIN, 0},
        };
        int wait_ms = server->unread || server->trash || server->growing ? 0
                      : server->n_orphans > 0                            ? LOOK_AGAIN_MS
                                                                         : -1;
        int n = poll(watched, COUNT_OF(watched), wait_ms < 0 && server->step ? QUIET_MS : wait_ms);
        if (n < 0)
            continue;
        if (watched[2].revents)
            end_template();
        if (watched[1].revents || wait_ms >= 0)
            server_reap(server);
        if (server->step && (n == 0 || server->n_cold >= COLD_MOST))
            take_step(server);
        if (server->trash) /* a few entries at a time: forks come first */
            server->trash = scratch_clear(reserved_fd(RESERVED_TRASH), TRASH_BUDGET) == 1;
        if (!watched[0].revents || full)
            continue;
        struct frame frame;
        int r =
            frame_receive(reserved_fd(RESERVED_CONTROL), MSG_DONTWAIT, FRAME_FROM_POOL, server->buffer, &frame);
        if (r == -EAGAIN)
            continue;
        if (r <= 0 || frame.head.kind != PINFOLD_FRAME_START)
            end_template();
        (void)runtime_restore_spills();
        if (runtime_needs_base && base_is_gone()) {
            fputs("somebody has removed the directory of the boxes\n", stderr);
            end_template(); /* the next template makes its own directory */
        }
        if (start(server, &frame))
            return;
    }
}

/* Open 0 to 2 where a preload closed them. Otherwise the next received descriptor would get such a number. */
static void fill_standard_fds(void)
{
    int fd;
    do
        fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    while (fd >= 0 && fd <= STDERR_FILENO);
    cleanup_close(&fd);
}

static int server_prepare(struct server *server)
{
    sigset_t death;
    sigemptyset(&death);
    sigaddset(&death, SIGCHLD);
    if (sigprocmask(SIG_BLOCK, &death, &server->child.mask) < 0)
        return -errno;
    int fd = signalfd(-1, &death, SFD_NONBLOCK | SFD_CLOEXEC);
    if (fd < 0)
        return -errno;
    int r = reserved_put(RESERVED_SIGNALS, fd);
    if (r < 0)
        return r;
    fd = sweep_open();
    server->no_list = fd < 0 || reserved_put(RESERVED_CHILDREN, fd) < 0;
    fd = open("/proc/self/oom_score_adj", O_RDWR | O_CLOEXEC);
    if (fd >= 0)
        reserved_put(RESERVED_OOM, fd);
    ssize_t size = pread(reserved_fd(RESERVED_OOM), server->oom, sizeof(server->oom) - 1, 0);
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
    server->child.template = flags & PINFOLD_SETUP_PDEATHSIG ? getpid() : 0;
    fill_standard_fds();
    server->spares = !runtime_needs_base; /* a box has no /dev/shm in which anything could be left */
    if (server->spares)
        sweep_spare_trackers(SWEEP_TRACKER_NS);
    int r = server_prepare(server);
    if (r < 0) {
        free(server);
        return raise_errno(r, "cannot serve");
    }
    /* From here on poll() reports the guard's death. */
    pid_t guard = getppid();
    server->namespaced = guard == 0;
    runtime_outlive_guard();
    if (getppid() != guard)
        end_template();
    queue_push(server, PINFOLD_FRAME_READY, 0);
    server_loop(server);
    /* A worker does not free the server's memory, because that would write to shared pages. */
    return PyUnicode_FromString(server->worker_id);
}

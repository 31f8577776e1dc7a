/* SPDX-License-Identifier: Apache-2.0 */
/* template.c - starts, serves and ends a template and its guard (template.h). */
#include "pool/template.h"

#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/error.h"
#include "base/util.h"
#include "pool/pool.h"
#include "process/sweep.h"

/* The descriptors of a template that the reactor watches. OTHER: the log pipe or a pidfd, of which all are
 * examined. */
enum source { SOURCE_CONTROL, SOURCE_LIFELINE, SOURCE_OTHER };

#define LOG_LEAST 1024u /* bytes of the log that a failure's text always has room for */

/* The guard's descriptors; it closes all others. 0 is /dev/null, 1 and 2 are the log. */
enum { GUARD_LIFELINE = 3, GUARD_CONTROL = 4, GUARD_FIRST_FREE = 10 };

/* Move a descriptor away from the low numbers that posix_spawn fills, whatever the caller has open. */
static int lift(int *fd)
{
    int lifted = fcntl(*fd, F_DUPFD_CLOEXEC, GUARD_FIRST_FREE);
    if (lifted < 0)
        return -errno;
    close(*fd);
    *fd = lifted;
    return 0;
}

static int spawn_guard(const struct config *config, char **command, uint64_t mark, int lifeline, int control,
                       int log, pid_t *ret_pid)
{
    size_t n = 0;
    while (command[n])
        n++;
    char caller[48];
    snprintf(caller, sizeof(caller), "%d:%" PRIx64 ":%x", getpid(), mark, config->namespaces);
    _cleanup_free_ char **argv = calloc(n + 4, sizeof(char *));
    if (!argv)
        return -ENOMEM;
    argv[0] = config->guard;
    argv[1] = caller;
    argv[2] = config->spill_dir;
    memcpy(argv + 3, command, n * sizeof(char *));

    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    int r = posix_spawn_file_actions_init(&actions);
    if (r)
        return -r;
    r = posix_spawnattr_init(&attributes);
    if (r) {
        posix_spawn_file_actions_destroy(&actions);
        return -r;
    }
    /* The guard must not inherit the caller's signal state. */
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &all);
    r = posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    if (!r)
        r = posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    if (!r)
        r = posix_spawn_file_actions_adddup2(&actions, log, 1);
    if (!r)
        r = posix_spawn_file_actions_adddup2(&actions, log, 2);
    if (!r)
        r = posix_spawn_file_actions_adddup2(&actions, lifeline, GUARD_LIFELINE);
    if (!r)
        r = posix_spawn_file_actions_adddup2(&actions, control, GUARD_CONTROL);
    if (!r)
        r = posix_spawn(ret_pid, config->guard, &actions, &attributes, argv, config->envp);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    return -r;
}

static int send_setup(const struct pinfold_pool *pool, int control)
{
    struct pinfold_frame_setup setup = {
        .isolation = pool->config.isolation,
        .flags = (pool->config.flags & PINFOLD_NO_PDEATHSIG ? 0 : PINFOLD_SETUP_PDEATHSIG) |
                 (pool_wants_seals(pool) ? PINFOLD_SETUP_SEALED : 0),
    };
    struct iovec path = {pool->config.spill_dir, strlen(pool->config.spill_dir)};
    return frame_send(control, PINFOLD_FRAME_SETUP, 0, &setup, &path, 1, NULL, 0);
}

/* Make the sockets and the pipe, start the guard on their far ends, and keep the near ones. */
static int launch(struct pinfold_pool *pool, struct template *template, char **argv, pinfold_error *error)
{
    if (spill_dir_is_gone(&pool->spills)) /* the template opens it by name, and reports if that fails */
        (void)spill_dir_restore(&pool->spills, pool->config.spill_dir);
    _cleanup_close_ int lifeline = -1, control = -1, log = -1;
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
        return error_errno(error, -errno, "cannot make the guard's socket");
    template->lifeline = ends[0];
    lifeline = ends[1];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
        return error_errno(error, -errno, "cannot make the template's socket");
    template->control = ends[0];
    control = ends[1];
    if (pipe2(ends, O_CLOEXEC) < 0)
        return error_errno(error, -errno, "cannot make the template's log pipe");
    template->log_pipe = ends[0];
    log = ends[1];
    fcntl(template->log_pipe, F_SETFL, O_NONBLOCK);

    int r = lift(&lifeline);
    if (r == 0)
        r = lift(&control);
    if (r == 0)
        r = lift(&log);
    if (r == 0)
        r = send_setup(pool, template->control);
    if (r < 0)
        return error_errno(error, r, "cannot prepare the start of the template");
    template->mark = sweep_new_mark();
    r = spawn_guard(&pool->config, argv, template->mark, lifeline, control, log, &template->guard);
    if (r < 0)
        return error_errno(error, r, "cannot start the guard %s", pool->config.guard);
    template->guard_pidfd = (int)syscall(SYS_pidfd_open, template->guard, 0);
    if (template->guard_pidfd < 0) { /* closing the lifeline ends it */
        r = -errno;
        close_fd(&template->lifeline);
        RETRY_EINTR(waitpid(template->guard, NULL, 0));
        return error_errno(error, r, "cannot hold the guard by a pidfd");
    }
    return 0;
}

static int template_watch_fd(struct pinfold_pool *pool, const struct template *template, int fd,
                             enum source source)
{
    return reactor_watch(pool, fd, EPOLLIN, &pool->templates, source, template->number);
}

static int template_watch(struct pinfold_pool *pool, struct template *template)
{
    int r = template_watch_fd(pool, template, template->lifeline, SOURCE_LIFELINE);
    if (r == 0)
        r = template_watch_fd(pool, template, template->control, SOURCE_CONTROL);
    if (r == 0)
        r = template_watch_fd(pool, template, template->log_pipe, SOURCE_OTHER);
    if (r == 0)
        r = template_watch_fd(pool, template, template->guard_pidfd, SOURCE_OTHER);
    return r;
}

static void free_template(struct pinfold_pool *pool, struct template *template)
{
    reactor_drop(pool, &template->timer);
    reactor_close(pool, &template->lifeline);
    reactor_close(pool, &template->control);
    reactor_close(pool, &template->log_pipe);
    reactor_close(pool, &template->guard_pidfd);
    reactor_close(pool, &template->pidfd);
    output_reset(&template->log, 1);
    handle_drop(&pool->templates, template->number);
    free(template);
}

static void timer_passed(void *pool, struct deadline *timer)
{
    template_due(pool, CONTAINER_OF(timer, struct template, timer));
}

int template_open(struct pinfold_pool *pool, char **argv, struct template **slot, pinfold_error *error)
{
    struct template *template = calloc(1, sizeof(*template));
    if (!template)
        return error_errno(error, -ENOMEM, "cannot hold a template");
    TAILQ_INIT(&template->workers);
    TAILQ_INIT(&template->sweeping);
    template->lifeline = template->control = template->log_pipe = template->guard_pidfd = template->pidfd = -1;
    template->state = TEMPLATE_OPENING;
    template->opened = now_ns();
    template->timer.passed = timer_passed;
    output_reset(&template->log, TEMPLATE_LOG_BYTES);

    int r = deadline_reserve(&pool->deadlines, 2 * pool->calls.n + pool->workers.n + pool->templates.n + 2);
    if (r == 0)
        r = handle_new(&pool->templates, template, &template->number);
    r = r < 0 ? error_errno(error, r, "cannot hold a template") : launch(pool, template, argv, error);
    if (r < 0) {
        free_template(pool, template);
        return r;
    }
    TAILQ_INSERT_TAIL(&pool->template_list, template, link);
    *slot = template;
    pool->templates_started++;
    if (pool->serving == template) {
        pool->failure.code = 0;
        pool_ready(pool, false);
    }
    r = template_watch(pool, template);
    if (r < 0) {
        template_end(pool, template, "cannot watch the template", strlen("cannot watch the template"));
        return error_errno(error, r, "cannot watch the template");
    }
    reactor_set(pool, &template->timer, time_add(now_ns(), pool->config.open_timeout_ns));
    return 0;
}

/* Compose the failure's sentence from the template's text and its log. */
static void note_failure(struct pinfold_pool *pool, struct template *template, const char *text, size_t size,
                         pinfold_error *failure)
{
    template_drain(pool, template);
    size_t log_size = 0;
    bool truncated;
    _cleanup_free_ char *log = output_take(&template->log, &log_size, &truncated);
    if (!log)
        log_size = 0;
    /* The failure's text is cut at its front if it is too long: the log must not displace the reason. */
    const size_t room = sizeof(failure->text) - 32;
    const size_t most = size + LOG_LEAST < room ? room - size : LOG_LEAST,
                 kept = log_size < most ? log_size : most;
    _cleanup_free_ char *all = NULL;
    int n = asprintf(&all, "%.*s%s%.*s", (int)size, text, kept ? "\nIt printed:\n" : "", (int)kept,
                     log ? log + (log_size - kept) : "");
    if (n < 0)
        all = NULL, error_text(failure, -EIO, text, size);
    else
        error_text(failure, -EIO, all, (size_t)n);
}

void template_end(struct pinfold_pool *pool, struct template *template, const char *text, size_t size)
{
    if (template->state == TEMPLATE_ENDING)
        return;
    const bool opening = template->state == TEMPLATE_OPENING, serving = pool->serving == template;
    template->state = TEMPLATE_ENDING;
    /* Do this first: `text` may lie in the buffer that frames are received into. */
    if (text && serving)
        note_failure(pool, template, text, size, &pool->failure);
    if (serving)
        pool->serving = NULL;
    if (pool->renewal.template == template) {
        pinfold_error failure = {0};
        if (text)
            note_failure(pool, template, text, size, &failure);
        renewal_drop(pool, &failure);
    }

    struct worker *worker;
    while ((worker = TAILQ_FIRST(&template->workers)))
        worker_lost(pool, worker);
    struct call *call;
    while ((call = TAILQ_FIRST(&template->sweeping)))
        call_step(pool, call, CALL_EXITED);

    /* End-of-file on the lifeline: the guard kills the template and sweeps, then ends itself. */
    reactor_hang_up(pool, &template->control);
    reactor_hang_up(pool, &template->lifeline);
    reactor_set(pool, &template->timer, now_ns() + TEMPLATE_STUCK_NS);
    if (!serving)
        return;
    pool_ready(pool, text || pool->closing);
    if (text) {
        while (pool->n_waiting > 0)
            pool_refuse_one(pool, "the pool could not start: %s", pool->failure.text);
    } else if (!opening && !pool->closing) {
        pool->replace = true;
        clock_closed(pool);
    }
}

void template_retire(struct pinfold_pool *pool, struct template *template)
{
    template->state = TEMPLATE_RETIRING;
    struct worker *worker;
    TAILQ_FOREACH (worker, &template->workers, link) {
        ahead_recall(pool, worker);
        if (worker->state == WORKER_STARTING || worker->state == WORKER_IDLE)
            worker_retire(pool, worker, "recycled: the next template serves");
    }
}

void template_end_retired(struct pinfold_pool *pool)
{
    struct template *template;
    TAILQ_FOREACH (template, &pool->template_list, link)
        if (template->state == TEMPLATE_RETIRING && TAILQ_EMPTY(&template->workers) &&
            TAILQ_EMPTY(&template->sweeping))
            template_end(pool, template, NULL, 0);
}

static void take_started(struct pinfold_pool *pool, struct frame *frame)
{
    struct worker *worker = handle_get(&pool->workers, frame->head.id);
    if (worker)
        worker_started(pool, worker, frame);
}

static void take_exited(struct pinfold_pool *pool, const struct frame *frame)
{
    struct worker *worker = handle_get(&pool->workers, frame->head.id);
    /* Copy it: the worker's last frames are about to be received into the same buffer. */
    struct pinfold_frame_exited report = *(const struct pinfold_frame_exited *)frame->body;
    if (worker)
        worker_exited(pool, worker, &report);
}

static void take_swept(struct pinfold_pool *pool, struct template *template, uint64_t worker)
{
    struct call *call;
    TAILQ_FOREACH (call, &template->sweeping, swept)
        if (call->sweep_of == worker) {
            call_step(pool, call, CALL_EXITED); /* removes it from `sweeping` */
            return;
        }
}

/* READY and the template's pid come through two sockets in any order: wait for both. */
static void template_serve(struct pinfold_pool *pool, struct template *template)
{
    if (template->state != TEMPLATE_OPENING || !template->ready || !template->pid)
        return;
    template->state = TEMPLATE_SERVING;
    pool->template_start_ns = now_ns() - template->opened;
    reactor_drop(pool, &template->timer);
    if (pool->renewal.template == template)
        renewal_take_over(pool);
    if (pool->config.isolation != PINFOLD_SPAWN)
        clock_opened(pool, template);
    pool_ready(pool, true);
}

static void take_template(struct pinfold_pool *pool, struct template *template, struct frame *frame)
{
    if (template->pid || template->pidfd >= 0)
        return;
    template->pid = ((const struct pinfold_frame_template *)frame->body)->pid;
    template->pidfd = TAKE_FD(frame->fds[0]);
    if (template_watch_fd(pool, template, template->pidfd, SOURCE_OTHER) < 0)
        close_fd(&template->pidfd); /* its socket's end-of-file reports the same a little later */
    template_serve(pool, template);
}

void template_lost(struct pinfold_pool *pool, struct template *template)
{
    const char *text = NULL;
    if (template->state == TEMPLATE_OPENING)
        text = "the template ended before it was ready";
    else if (template->state == TEMPLATE_SERVING && !pool->closing && ++pool->barren >= TEMPLATES_BARREN)
        text = "one template after another ended, or hung, before it made a worker";
    template_end(pool, template, text, text ? strlen(text) : 0);
}

void template_rest(struct pinfold_pool *pool, struct template *template)
{
    template->rests = true;
    reactor_set(pool, &template->timer, now_ns() + TEMPLATE_REST_NS);
}

/* Take the next frame. Returns as frame_receive. */
static int take_frame(struct pinfold_pool *pool, struct template *template, int socket)
{
    enum frame_peer peer = socket == template->lifeline ? FRAME_FROM_GUARD : FRAME_FROM_TEMPLATE;
    struct frame frame;
    int r = frame_receive(socket, MSG_DONTWAIT, peer, pool->buffer, &frame);
    if (r <= 0 && r != -EMFILE) /* a frame is still useful without its pidfd */
        return r;
    switch (frame.head.kind) {
    case PINFOLD_FRAME_TEMPLATE:
        take_template(pool, template, &frame);
        break;
    case PINFOLD_FRAME_READY:
        template->ready = true;
        template_serve(pool, template);
        break;
    case PINFOLD_FRAME_FAILED:
        template_end(pool, template, (const char *)frame.tail, frame.tail_size);
        break;
    case PINFOLD_FRAME_STARTED:
        take_started(pool, &frame);
        break;
    case PINFOLD_FRAME_EXITED:
        take_exited(pool, &frame);
        break;
    case PINFOLD_FRAME_SWEPT:
        take_swept(pool, template, frame.head.id);
        break;
    default:
        break;
    }
    frame_release(&frame);
    return 1;
}

/* The guard or the template is dead. What they sent before counts: how workers died, or why the template could
 * not start. */
static void take_last_words(struct pinfold_pool *pool, struct template *template)
{
    const int sockets[] = {template->control, template->lifeline};
    for (size_t i = 0; i < COUNT_OF(sockets); i++)
        while (sockets[i] >= 0 && template->state != TEMPLATE_ENDING &&
               take_frame(pool, template, sockets[i]) == 1)
            ;
    template_lost(pool, template);
}

void template_receive(struct pinfold_pool *pool, struct template *template, int socket)
{
    for (int i = 0; i < 64 && template->state != TEMPLATE_ENDING; i++) {
        int r = take_frame(pool, template, socket);
        if (r == -EAGAIN)
            return;
        if (r == 0 && socket == template->control && template->state == TEMPLATE_OPENING) {
            /* The template may never have been executed: the guard will report that. */
            reactor_close(pool, &template->control);
            return;
        }
        if (r <= 0)
            take_last_words(pool, template);
    }
}

void template_close(const struct template *template, int *fd)
{
    if (*fd >= 0 && template->lifeline >= 0) /* if the send fails, the last close happens here */
        (void)frame_send(template->lifeline, PINFOLD_FRAME_DROP, 0, NULL, NULL, 0, fd, 1);
    close_fd(fd);
}

void template_drain(struct pinfold_pool *pool, struct template *template)
{
    if (template->log_pipe < 0)
        return;
    int r = output_read(&template->log, template->log_pipe, 1 << 18);
    if (r <= 0 && r != -EAGAIN)
        reactor_close(pool, &template->log_pipe);
}

void template_due(struct pinfold_pool *pool, struct template *template)
{
    if (template->state == TEMPLATE_OPENING) {
        char text[80];
        int n = snprintf(text, sizeof(text), "the template was not ready within %.3g s",
                         (double)pool->config.open_timeout_ns / 1e9);
        template_end(pool, template, text, (size_t)n);
        return;
    }
    if (template->state != TEMPLATE_ENDING) {
        template->rests = false;
        return;
    }
    /* They did not end at the end-of-file: kill them. */
    if (template->pidfd >= 0)
        (void)syscall(SYS_pidfd_send_signal, template->pidfd, SIGKILL, NULL, 0);
    if (template->guard_pidfd >= 0)
        (void)syscall(SYS_pidfd_send_signal, template->guard_pidfd, SIGKILL, NULL, 0);
    reactor_set(pool, &template->timer, now_ns() + TEMPLATE_STUCK_NS);
    template_look(pool, template);
}

/* Return whether it exited by itself. ECHILD: not our child, or the caller's own waitpid(-1) was faster. */
static bool reap_pidfd(int pidfd)
{
    siginfo_t end = {.si_code = 0};
    return waitid(P_PIDFD, (id_t)pidfd, &end, WEXITED | WNOHANG) == 0 && end.si_code == CLD_EXITED;
}

/* Return whether nothing is left below a guard and a template that have both ended. If the guard was killed,
 * the template may not have swept either, and only this process knows the mark. If this process is a subreaper
 * or init, it inherits the orphans. */
static bool all_swept(struct pinfold_pool *pool, struct template *template)
{
    if (template->swept || !template->mark)
        return true;
    const int left = sweep_marked(template->mark);
    if (left == 0 || left == -EACCES || left == -EPERM || left == -ENOENT) /* in a box /proc cannot be read */
        return true;
    const int64_t now = now_ns();
    if (!template->look_until)
        template->look_until = now + TEMPLATE_STUCK_NS;
    if (now > template->look_until) /* what survives SIGKILL that long cannot be ended */
        return true;
    reactor_set(pool, &template->timer, now + TEMPLATE_LOOK_NS);
    return false;
}

void template_look(struct pinfold_pool *pool, struct template *template)
{
    template_drain(pool, template);
    if (template->guard_pidfd >= 0 && pidfd_ended(template->guard_pidfd)) {
        template->swept = reap_pidfd(template->guard_pidfd);
        reactor_close(pool, &template->guard_pidfd);
        take_last_words(pool, template);
    }
    if (template->pidfd >= 0 && pidfd_ended(template->pidfd)) {
        reactor_close(pool, &template->pidfd);
        take_last_words(pool, template);
    }
    if (template->guard_pidfd < 0 && template->pidfd < 0 && all_swept(pool, template)) {
        TAILQ_REMOVE(&pool->template_list, template, link);
        free_template(pool, template);
    }
}

void template_ready(void *context, void *object, unsigned source)
{
    struct pinfold_pool *pool = context;
    struct template *template = object;
    if (source == SOURCE_OTHER)
        template_look(pool, template);
    else
        template_receive(pool, template, source == SOURCE_CONTROL ? template->control : template->lifeline);
}

void template_close_copies(struct pinfold_pool *pool)
{
    uint32_t at = 0;
    for (struct worker *worker; (worker = handle_each(&pool->workers, &at));) {
        close_fd(&worker->peer), close_fd(&worker->pidfd), close_fd(&worker->printed);
        for (int stream = 0; stream < WORKER_STREAMS; stream++)
            close_fd(&worker->pipes[stream]);
    }
    at = 0;
    for (struct template *template; (template = handle_each(&pool->templates, &at));) {
        int *const own[] = {&template->lifeline, &template->control, &template->log_pipe, &template->guard_pidfd,
                            &template->pidfd};
        for (size_t i = 0; i < COUNT_OF(own); i++)
            close_fd(own[i]);
    }
}

void template_abandon_all(struct pinfold_pool *pool)
{
    uint32_t at = 0;
    for (struct worker *worker; (worker = handle_each(&pool->workers, &at));) {
        if (worker->call)
            worker->call->worker = NULL;
        worker_forget(pool, worker);
    }
    at = 0;
    for (struct template *template; (template = handle_each(&pool->templates, &at));)
        free_template(pool, template);
}

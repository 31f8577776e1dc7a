/* SPDX-License-Identifier: Apache-2.0 */
/* worker.c - the table of a worker's life, its frames and its end (worker.h). */
#include "pool/worker.h"

#include <assert.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/sockios.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/error.h"
#include "base/util.h"
#include "pool/pool.h"
#include "process/usage.h"
#include "wire/printed.h"

/* The descriptors of a worker that the reactor watches. Results must wake one thread only, and once.
 * Level-triggered, an event just given to the leader would wake the reactor, too (epoll(7)). */
enum source { SOURCE_PEER, SOURCE_OUT, SOURCE_ERR };
#define PEER_EVENTS ((uint32_t)EPOLLIN | (uint32_t)EPOLLET)

#define CREDIT_US 10000 /* one clock tick, by which processor time may be counted */

#define STAYS(state)                                                                                              \
    {                                                                                                             \
        state, 0                                                                                                  \
    }

/* An event that cannot occur in a state leaves it as it is. */
const struct worker_step worker_life[WORKER_STATES][WORKER_EVENTS] =
    {
        [WORKER_STARTING] =
            {
                [WORKER_FORKED] = {WORKER_IDLE, WORKER_OFFER},
                [WORKER_SPAWNED] = STAYS(WORKER_STARTING),
                [WORKER_READY] = {WORKER_IDLE, WORKER_OFFER},
                [WORKER_HAND] = STAYS(WORKER_STARTING),
                [WORKER_RETURN] = STAYS(WORKER_STARTING),
                [WORKER_RETIRE] = {WORKER_ENDING, WORKER_KILL | WORKER_HANGUP},
                [WORKER_EXITED] = {WORKER_GONE, WORKER_FORGET},
                [WORKER_LOST] = {WORKER_GONE, WORKER_KILL | WORKER_FORGET},
            },
        [WORKER_IDLE] =
            {
                [WORKER_FORKED] = STAYS(WORKER_IDLE),
                [WORKER_SPAWNED] = STAYS(WORKER_IDLE),
                [WORKER_READY] = STAYS(WORKER_IDLE),
                [WORKER_HAND] = {WORKER_BUSY, WORKER_TAKE},
                [WORKER_RETURN] = STAYS(WORKER_IDLE),
                [WORKER_RETIRE] = {WORKER_ENDING, WORKER_TAKE | WORKER_KILL},
                [WORKER_EXITED] = {WORKER_GONE, WORKER_TAKE | WORKER_FORGET},
                [WORKER_LOST] = {WORKER_GONE, WORKER_TAKE | WORKER_KILL | WORKER_FORGET},
            },
        [WORKER_BUSY] =
            {
                [WORKER_FORKED] = STAYS(WORKER_BUSY),
                [WORKER_SPAWNED] = STAYS(WORKER_BUSY),
                [WORKER_READY] = STAYS(WORKER_BUSY),
                [WORKER_HAND] = STAYS(WORKER_BUSY),
                [WORKER_RETURN] = {WORKER_IDLE, WORKER_OFFER},
                [WORKER_RETIRE] = {WORKER_ENDING, WORKER_KILL},
                [WORKER_EXITED] = {WORKER_GONE, WORKER_FORGET},
                [WORKER_LOST] = {WORKER_GONE, WORKER_KILL | WORKER_FORGET},
            },
        [WORKER_ENDING] =
            {
                [WORKER_FORKED] = {WORKER_ENDING, WORKER_KILL},
                [WORKER_SPAWNED] = {WORKER_ENDING, WORKER_KILL},
                [WORKER_READY] = STAYS(WORKER_ENDING),
                [WORKER_HAND] = STAYS(WORKER_ENDING),
                [WORKER_RETURN] = STAYS(WORKER_ENDING),
                [WORKER_RETIRE] = STAYS(WORKER_ENDING),
                [WORKER_EXITED] = {WORKER_GONE, WORKER_FORGET},
                [WORKER_LOST] = {WORKER_GONE, WORKER_KILL | WORKER_FORGET},
            },
        /* Unreachable; the row makes the table complete. */
        [WORKER_GONE] =
            {
                [WORKER_FORKED] = STAYS(WORKER_GONE),
                [WORKER_SPAWNED] = STAYS(WORKER_GONE),
                [WORKER_READY] = STAYS(WORKER_GONE),
                [WORKER_HAND] = STAYS(WORKER_GONE),
                [WORKER_RETURN] = STAYS(WORKER_GONE),
                [WORKER_RETIRE] = STAYS(WORKER_GONE),
                [WORKER_EXITED] = STAYS(WORKER_GONE),
                [WORKER_LOST] = STAYS(WORKER_GONE),
            },
};
static_assert(WORKER_STATES == 5 && WORKER_EVENTS == 8, "a new state or event wants its cells in the table");

static uint32_t *state_count(struct pinfold_pool *pool, uint8_t state)
{
    switch (state) {
    case WORKER_STARTING:
        return &pool->n_starting;
    case WORKER_IDLE:
        return &pool->n_idle;
    case WORKER_BUSY:
        return &pool->n_running;
    case WORKER_ENDING:
        return &pool->n_ending;
    default:
        return NULL;
    }
}

static void set_state(struct pinfold_pool *pool, struct worker *worker, uint8_t state)
{
    if (worker->state == state)
        return;
    uint32_t *count = state_count(pool, worker->state);
    --*count;
    if (worker->state == WORKER_STARTING && --worker->template->starting == 0)
        clock_opened(pool, worker->template);
    worker->state = state;
    if ((count = state_count(pool, state)))
        ++*count;
}

static void send_signal(const struct worker *worker, int signal)
{
    /* ESRCH, the only failure left, means that the worker is dead. */
    if (worker->pidfd >= 0)
        (void)syscall(SYS_pidfd_send_signal, worker->pidfd, signal, NULL, 0);
}

void worker_ask(const struct worker *worker)
{
    send_signal(worker, PINFOLD_ASK_SIGNAL);
}

int worker_stop(const struct worker *worker)
{
    return frame_send(worker->peer, PINFOLD_FRAME_STOP, worker->call->id, NULL, NULL, 0, NULL, 0);
}

bool worker_usage(const struct worker *worker, bool tree, struct usage *ret_usage)
{
    if (usage_read(worker->pid, ret_usage) < 0 || ret_usage->peak_kb == 0)
        return false;
    if (tree)
        limit_add_below(worker->pid, ret_usage);
    return !pidfd_ended(worker->pidfd);
}

/* Close the peer. Closing it also closes descriptors in unread messages. */
static void close_peer(struct pinfold_pool *pool, struct worker *worker)
{
    if (worker->peer < 0)
        return;
    reactor_forget(pool, worker->peer);
    (void)shutdown(worker->peer, SHUT_RDWR); /* ENOTCONN: the worker's end is closed */
    if (frame_left(worker->peer))
        template_close(worker->template, &worker->peer);
    else
        close_fd(&worker->peer);
}

void worker_forget(struct pinfold_pool *pool, struct worker *worker)
{
    reactor_drop(pool, &worker->timer);
    close_peer(pool, worker);
    for (int stream = 0; stream < WORKER_STREAMS; stream++) {
        reactor_close(pool, &worker->pipes[stream]);
        output_reset(&worker->output[stream], 0);
    }
    close_fd(&worker->pidfd);
    close_fd(&worker->printed);
    ahead_close(worker);
    cpu_slot_release(pool->cpu_slots, &worker->cpu_slot);
    cgroup_remove(&pool->cgroup, worker->id);
    TAILQ_REMOVE(&worker->template->workers, worker, link);
    handle_drop(&pool->workers, worker->number);
    free(worker);
}

void worker_step(struct pinfold_pool *pool, struct worker *worker, enum worker_event event)
{
    const struct worker_step *step = &worker_life[worker->state][event];
    set_state(pool, worker, step->next);
    if (step->next != WORKER_BUSY)
        ahead_idle(pool, worker);
    if (step->actions & WORKER_TAKE) {
        TAILQ_REMOVE(&pool->idle, worker, idle);
        reactor_drop(pool, &worker->timer);
    }
    if (step->actions & WORKER_OFFER) {
        /* The worker used last is warmest, and the others can reach their idle timeout. */
        TAILQ_INSERT_HEAD(&pool->idle, worker, idle);
        reactor_drop(pool, &worker->timer);
        if (pool->config.idle_timeout_ns != PINFOLD_FOREVER)
            reactor_set(pool, &worker->timer, time_add(now_ns(), pool->config.idle_timeout_ns));
    }
    if (step->actions & WORKER_KILL) {
        send_signal(worker, SIGKILL);
        cgroup_kill(&pool->cgroup, worker->id);
        reactor_set(pool, &worker->timer, now_ns() + WORKER_STUCK_NS);
    }
    if (step->actions & WORKER_HANGUP)
        close_peer(pool, worker);
    if (step->actions & WORKER_FORGET) {
        if (worker->pid)
            pool_event(pool, PINFOLD_EVENT_WORKER_EXIT, worker, NULL, worker->exit_reason);
        if (worker->call)
            call_detach(pool, worker->call);
        worker_forget(pool, worker);
    }
}

void worker_retire(struct pinfold_pool *pool, struct worker *worker, const char *format, ...)
{
    if (worker->state == WORKER_ENDING)
        return;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(worker->exit_reason, sizeof(worker->exit_reason), format, arguments);
    va_end(arguments);
    ahead_recall(pool, worker);
    worker_step(pool, worker, WORKER_RETIRE);
}

static int make_id(char *id)
{
    uint8_t bytes[PINFOLD_WORKER_ID_LENGTH / 2];
    if (getrandom(bytes, sizeof(bytes), GRND_NONBLOCK) != sizeof(bytes))
        return -EAGAIN;
    for (size_t i = 0; i < sizeof(bytes); i++)
        snprintf(id + 2 * i, 3, "%02x", bytes[i]);
    return 0;
}

static int open_pipe(int *ret_read, int *ret_write)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0)
        return -errno;
    fcntl(ends[0], F_SETFL, O_NONBLOCK); /* of our end only: programs expect a blocking pipe */
    *ret_read = ends[0];
    *ret_write = ends[1];
    return 0;
}

static int open_printed(struct worker *worker)
{
    int r = printed_make(&worker->printed);
    return r < 0 ? r : frame_send(worker->peer, PINFOLD_FRAME_PRINTED, 0, NULL, NULL, 0, &worker->printed, 1);
}

/* Make the worker's descriptors, watch ours and send the others to the template. */
static int connect_worker(struct pinfold_pool *pool, struct worker *worker)
{
    _cleanup_close_ int channel = -1, out = -1, err = -1;
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return -errno;
    worker->peer = pair[0];
    channel = pair[1];
    int r = open_pipe(&worker->pipes[WORKER_OUT], &out);
    if (r == 0)
        r = open_pipe(&worker->pipes[WORKER_ERR], &err);
    if (r == 0)
        r = ahead_open(pool, worker);
    if (r == 0 && pool->config.flags & PINFOLD_PRINTED)
        r = open_printed(worker);
    if (r == 0)
        r = reactor_watch(pool, worker->peer, PEER_EVENTS, &pool->workers, SOURCE_PEER, worker->number);
    if (r == 0)
        r = reactor_watch(pool, worker->pipes[WORKER_OUT], EPOLLIN, &pool->workers, SOURCE_OUT, worker->number);
    if (r == 0)
        r = reactor_watch(pool, worker->pipes[WORKER_ERR], EPOLLIN, &pool->workers, SOURCE_ERR, worker->number);
    if (r < 0)
        return r;
    struct pinfold_frame_start start = {0};
    memcpy(start.worker_id, worker->id, sizeof(start.worker_id));
    const int fds[] = {channel, out, err};
    return frame_send(worker->template->control, PINFOLD_FRAME_START, worker->number, &start, NULL, 0, fds, 3);
}

static void timer_passed(void *pool, struct deadline *timer)
{
    worker_due(pool, CONTAINER_OF(timer, struct worker, timer));
}

int worker_start(struct pinfold_pool *pool, struct template *template)
{
    _cleanup_free_ struct worker *worker = calloc(1, sizeof(*worker));
    if (!worker)
        return -ENOMEM;
    worker->template = template;
    worker->peer = worker->pidfd = worker->pipes[WORKER_OUT] = worker->pipes[WORKER_ERR] = -1;
    worker->printed = -1;
    worker->timer.passed = timer_passed;
    output_reset(&worker->output[WORKER_ERR], LOADING_ERR_BYTES);
    int r = make_id(worker->id);
    if (r == 0)
        r = deadline_reserve(&pool->deadlines, 2 * pool->calls.n + pool->workers.n + pool->templates.n + 1);
    if (r == 0)
        r = handle_new(&pool->workers, worker, &worker->number);
    if (r < 0)
        return r;
    r = cgroup_make(&pool->cgroup, worker->id);
    if (r == 0)
        r = connect_worker(pool, worker);
    if (r < 0) {
        cgroup_remove(&pool->cgroup, worker->id);
        ahead_close(worker);
        close_fd(&worker->printed);
        reactor_close(pool, &worker->peer);
        reactor_close(pool, &worker->pipes[WORKER_OUT]);
        reactor_close(pool, &worker->pipes[WORKER_ERR]);
        handle_drop(&pool->workers, worker->number);
        return r;
    }
    worker->state = WORKER_STARTING;
    pool->n_starting++;
    template->starting++;
    pool->workers_started++;
    TAILQ_INSERT_TAIL(&template->workers, worker, link);
    reactor_set(pool, &worker->timer, now_ns() + WORKER_STUCK_NS);
    TAKE_PTR(worker);
    return 0;
}

int worker_send(struct worker *worker, const struct call *call, uint32_t flags)
{
    const int n_fds = call->spill >= 0 ? 1 : 0;
    struct pinfold_frame_call body = {
        .payload_size = call->payload_size,
        .result_max = call->result_bytes,
        .flags = flags | (n_fds ? PINFOLD_CALL_SPILLED : 0),
        .slot = flags & PINFOLD_CALL_OFFERED ? call->turn : worker->cpu_slot,
    };
    struct iovec tail = {call->payload, call->payload ? call->payload_size : 0};
    return frame_send(worker->peer, PINFOLD_FRAME_CALL, call->id, &body, &tail, call->payload ? 1 : 0,
                      &call->spill, n_fds);
}

int worker_hand(struct pinfold_pool *pool, struct worker *worker, struct call *call)
{
    /* Its calls' usage is counted from here on. It has no children yet, or only its set-up's. */
    struct usage usage;
    if (pool_distrusts(pool)) {
        worker->user_us = usage_own_time_us(worker->pid);
    } else if (pool_reuses(pool) && (worker->calls == 0 || limit_any(&call->limits)) &&
               usage_read_now(worker->pid, false, &usage) == 0) {
        worker->user_us = usage.user_us;
        worker->sys_us = usage.sys_us;
    }
    if (pool->cpu_slots && usage_read_waits(worker->pid, &worker->waits) < 0)
        worker->waits.wait_ns = UINT64_MAX; /* unknown */
    cgroup_limit(&pool->cgroup, worker->id, call->limits.memory_bytes, call->limits.processes);
    ahead_handed(worker);
    int r = worker_send(worker, call, 0);
    if (r < 0)
        return r;
    worker->handed_last = true;
    worker_step(pool, worker, WORKER_HAND);
    worker_begin(pool, worker, call);
    return 0;
}

bool worker_has_taken(const struct worker *worker)
{
    int unread;
    if (worker->unread)
        return false;
    if (!worker->handed_last)
        return ahead_has_taken(worker);
    return worker->peer < 0 || ioctl(worker->peer, SIOCOUTQ, &unread) < 0 || unread == 0;
}

void worker_begin(struct pinfold_pool *pool, struct worker *worker, struct call *call)
{
    call->worker = worker;
    worker->call = call;
    worker->quiet = false;
    call->started = now_ns();
    pinfold_metrics *metrics = &call->result->public.metrics;
    memcpy(metrics->worker_id, worker->id, sizeof(metrics->worker_id));
    metrics->worker_pid = worker->pid;
    metrics->calls_before = worker->calls;
    for (int stream = 0; stream < WORKER_STREAMS; stream++)
        output_reset(&worker->output[stream], call->output_bytes);
    if (limit_any(&call->limits))
        reactor_set(pool, &call->sample, call->started + LIMIT_SAMPLE_NS);
    call_step(pool, call, CALL_HANDED);
    clock_handed(pool, call);
    ahead_begun(pool, worker);
    if (!call->start_reported)
        pool_event(pool, PINFOLD_EVENT_CALL_START, worker, call, "");
    call->start_reported = true;
}

void worker_drain(struct pinfold_pool *pool, struct worker *worker, int stream, bool all)
{
    if (worker->pipes[stream] < 0)
        return;
    /* Read at most a portion, so that a flood cannot occupy the reactor. A dead or finished worker left at most
     * a full pipe, unless another process still writes. */
    ahead_reading(worker);
    int r = output_read(&worker->output[stream], worker->pipes[stream], all ? 1 << 20 : 1 << 18);
    ahead_reading(worker);
    if (r <= 0 && r != -EAGAIN)
        reactor_close(pool, &worker->pipes[stream]);
}

/* The worker ended, or is useless, before it was ready. */
static void never_ready(struct pinfold_pool *pool, struct worker *worker, const char *how)
{
    if (++pool->stillborn < WORKERS_STILLBORN)
        return;
    worker_drain(pool, worker, WORKER_ERR, true);
    size_t size = 0;
    bool truncated;
    _cleanup_free_ char *printed = output_take(&worker->output[WORKER_ERR], &size, &truncated);
    char text[LOADING_ERR_BYTES + 256];
    int n = snprintf(text, sizeof(text), "one after another ended before it was ready, the last of them: %s%s%s",
                     how, size ? "\nIt printed:\n" : "", size ? printed : "");
    pool_worker_failed(pool, worker->template, text, strnlen(text, (size_t)n));
}

/* The worker ended by itself before it began a call. The next one may do the same. */
static void never_used(struct pinfold_pool *pool, struct template *template)
{
    if (++pool->stillborn >= WORKERS_STILLBORN)
        template_rest(pool, template);
}

void worker_idle_died(struct pinfold_pool *pool, struct worker *worker)
{
    if (!worker->calls)
        never_used(pool, worker->template);
    worker_retire(pool, worker, "died");
}

/* The channel is at its end, but the template has not reported a death. The report may be on its way, or the
 * program closed a descriptor that it does not own. */
static void peer_closed(struct pinfold_pool *pool, struct worker *worker)
{
    close_peer(pool, worker);
    ahead_recall(pool, worker);
    if (worker->state == WORKER_BUSY && worker->call && worker->call->exits)
        return; /* it runs another program (execve(2)), whose exit is the result */
    if (worker->state == WORKER_BUSY)
        reactor_set(pool, &worker->timer, now_ns() + WORKER_CLOSED_NS);
    else if (worker->state == WORKER_IDLE)
        worker_idle_died(pool, worker);
}

void worker_damaged(struct pinfold_pool *pool, struct worker *worker, int code, const char *what)
{
    ahead_recall(pool, worker);
    struct call *call = worker->call;
    if (call) {
        /* A result that is being delivered counts, whatever comes behind it. */
        if (call->outcome == CALL_UNDECIDED)
            result_drop(call->result);
        call_evidence(call, call_blame(code), "%s", what);
        call_step(pool, call, CALL_BROKEN);
    }
    worker->answered = false;
    const bool loading = worker->state == WORKER_STARTING;
    worker_retire(pool, worker, "killed: %s", what);
    if (loading)
        never_ready(pool, worker, what);
}

/* Record how the process of the call ended, by the status that waitpid(2) gave. */
static void end_evidence(struct pinfold_pool *pool, struct call *call, int status)
{
    const struct worker *worker = call->worker;
    uint64_t peak;
    if (call->outcome != CALL_UNDECIDED) /* it was stopped */
        return;
    if (WIFEXITED(status)) {
        const int code = call->result->public.exit_code = WEXITSTATUS(status);
        call_evidence(call, call->exits && code == 0 ? PINFOLD_OK : PINFOLD_EXITED,
                      "the process ended by itself with status %d", code);
    } else if (WTERMSIG(status) == SIGXFSZ && call->file_bytes) {
        call->result->public.signal = SIGXFSZ;
        call_evidence(call, PINFOLD_OUTPUT_LIMIT,
                      "a file grew to the %" PRIu64 " bytes allowed, and was to grow on", call->file_bytes);
    } else if (WTERMSIG(status) == SIGKILL && cgroup_ran_out(&pool->cgroup, worker->id, &peak)) {
        call_evidence_memory(call, peak);
    } else {
        call->result->public.signal = WTERMSIG(status);
        call_evidence(call, PINFOLD_SIGNALLED, "the process died by signal %d (%s)", WTERMSIG(status),
                      strsignal(WTERMSIG(status)));
    }
}

/* Return the outcome of a result; that of ENDED is for end_evidence. */
static uint32_t verdict_of(const struct call *call, const struct pinfold_frame_result *body)
{
    static const uint8_t verdicts[PINFOLD_STATUSES] = {
        [PINFOLD_STATUS_OK] = PINFOLD_OK,
        [PINFOLD_STATUS_EXCEPTION] = PINFOLD_EXCEPTION,
        [PINFOLD_STATUS_BAD] = PINFOLD_BAD_RESULT,
        [PINFOLD_STATUS_TOO_LARGE] = PINFOLD_OUTPUT_LIMIT,
        [PINFOLD_STATUS_INTERNAL] = PINFOLD_INTERNAL,
        [PINFOLD_STATUS_ENDED] = PINFOLD_EXITED,
    };
    if (call->result_bytes && body->payload_size > call->result_bytes && body->status == PINFOLD_STATUS_OK)
        return PINFOLD_OUTPUT_LIMIT;
    return verdicts[body->status];
}

/* Return whether the reported usage is possible: the time of all processors for the call's duration, and the
 * machine's memory. */
static bool is_credible(const struct pinfold_pool *pool, const struct call *call,
                        const struct pinfold_frame_result *body)
{
    const uint64_t wall_us = (uint64_t)(now_ns() - call->started) / 1000 + CREDIT_US;
    const uint64_t most_us = wall_us * pool->processors;
    return body->user_us <= most_us && body->sys_us <= most_us - body->user_us && body->peak_kb <= pool->memory_kb;
}

/* Take what the call used: from the kernel for boxed workers, from the worker's report otherwise. False: the
 * worker is dead or runs another program, and its exit will be reported. */
static bool take_usage(const struct pinfold_pool *pool, struct worker *worker,
                       const struct pinfold_frame_result *body)
{
    const bool credible = is_credible(pool, worker->call, body);
    const bool ahead = worker->ahead.n > 0; /* the worker's end would not be that of this call */
    const bool execs = pool->config.isolation == PINFOLD_SPAWN;
    /* A look takes time. Look below a reused worker only if it reports that it has children. */
    const bool tree = body->flags & PINFOLD_RESULT_CHILDREN || !pool_reuses(pool);
    struct usage usage;
    if ((pool_wants_seals(pool) || !credible) && worker_usage(worker, tree, &usage) && (execs || !usage.execed)) {
        call_usage_total(worker->call, usage.user_us, usage.sys_us, usage.peak_kb);
        if (pool_reuses(pool)) {
            worker->user_us = usage.user_us;
            worker->sys_us = usage.sys_us;
        }
        return true;
    }
    if (!credible || (pool_wants_seals(pool) && !ahead))
        return ahead;
    call_usage(worker->call, body->user_us, body->sys_us, body->peak_kb);
    if (pool_reuses(pool)) {
        worker->user_us += body->user_us;
        worker->sys_us += body->sys_us;
    }
    return true;
}

/* Open the descriptor of a spill that the worker holds. -ESRCH: the worker is dead. */
static int take_held(const struct worker *worker, struct frame *frame, pinfold_error *error)
{
    int32_t number;
    memcpy(&number, frame->tail, sizeof(number));
    int r = spill_open_held(worker->pid, number, &frame->fds[0]);
    if (pidfd_ended(worker->pidfd)) /* its pid may name another process then */
        return -ESRCH;
    frame->n_fds = r == 0;
    return r == -EBADMSG ? error_set(error, r, "the number that came as the spill of the result is none")
           : r < 0       ? error_errno(error, r, "cannot take the spill of the result from its worker")
                         : 0;
}

/* Return whether the account of a failure, with the files of the call, is larger than one can be. */
static bool is_oversized(const struct call *call, const struct pinfold_frame_result *body)
{
    if (body->status == PINFOLD_STATUS_OK || body->payload_size <= PINFOLD_FAILURE_MAX)
        return false;
    return !call->collects ||
           (call->result_bytes && body->payload_size - PINFOLD_FAILURE_MAX > call->result_bytes);
}

static void take_result(struct pinfold_pool *pool, struct worker *worker, struct frame *frame)
{
    struct call *call = worker->call;
    if (worker->state != WORKER_BUSY || !call || call->id != frame->head.id || worker->answered ||
        !ahead_answered(worker)) {
        /* Two results contradict each other: accept none, unless one is being delivered. */
        bool second = call && call->id == frame->head.id && (worker->answered);
        worker_damaged(pool, worker, -EPROTO,
                       second ? "it sent more than one result" : "it sent a result that nobody asked for");
        return;
    }
    const struct pinfold_frame_result *body = frame->body;
    if (is_oversized(call, body)) {
        worker_damaged(pool, worker, -EPROTO, "it sent a damaged frame");
        return;
    }
    pinfold_error error;
    uint32_t verdict = verdict_of(call, body);
    bool fits = verdict != PINFOLD_OUTPUT_LIMIT || body->status != PINFOLD_STATUS_OK;
    const bool held = body->flags & PINFOLD_RESULT_HELD;
    int r = fits && held ? take_held(worker, frame, &error) : 0;
    if (r == -ESRCH) /* the template is about to report its exit */
        return;
    if (fits && r == 0)
        r = result_payload(call->result, frame, held ? NULL : &pool->spills, &error);
    else if (!fits) /* do not even look: a copy or a mapping would cost what the limit saves */
        call->result->public.metrics.result_bytes = body->payload_size;
    if (r < 0) {
        worker_damaged(pool, worker, r, error.text);
        return;
    }
    if (fits) /* the mapping keeps the file */
        frame_release(frame);
    if (verdict == PINFOLD_INTERNAL) /* it may have had no directory for its result */
        pool_restore_spills(pool);
    if (!fits)
        call_evidence(call, verdict, "the result takes %" PRIu64 " bytes, of %" PRIu64 " allowed",
                      body->payload_size, call->result_bytes);
    else if (body->status == PINFOLD_STATUS_ENDED)
        end_evidence(pool, call, body->ended < 0 ? -body->ended : W_EXITCODE(body->ended, 0));
    else
        call_evidence(call, verdict, "%s",
                      verdict == PINFOLD_OUTPUT_LIMIT ? "the result is larger than allowed" : "");
    /* The call's own process is dead, and only the worker's end tells what the kernel knows of it. */
    bool measured = take_usage(pool, worker, body) && !(call->collects && pool_wants_seals(pool));
    call_waits(pool, call);
    if (call->state == CALL_LATE && !call->collects) /* drop a value that came too late */
        result_drop(call->result);
    worker->calls++;
    call->stopped = call->collects && call->state != CALL_RUNNING;
    worker->answered = call->answered = true;
    pool->stillborn = 0;
    /* If the worker is dead already, its template is about to report that, and what only a death shows: the
     * peak of all that it executed. */
    worker->unmeasured = !measured;
    worker->answer_flags = body->flags | (measured ? 0 : PINFOLD_RESULT_CHILDREN);
}

/* Tell the worker that the pool has the spill which the worker holds, and let it have its next call. */
static void return_worker(struct pinfold_pool *pool, struct worker *worker)
{
    if (worker->answer_flags & PINFOLD_RESULT_HELD) /* a dead worker is reported soon */
        (void)frame_send(worker->peer, PINFOLD_FRAME_TAKEN, 0, NULL, NULL, 0, NULL, 0);
    worker_step(pool, worker, WORKER_RETURN);
}

/* Settle its result: nothing else was left in the channel. */
static void receive_result(struct pinfold_pool *pool, struct worker *worker)
{
    struct call *call = worker->call;
    bool tree = worker->answer_flags & PINFOLD_RESULT_CHILDREN;
    worker->answered = false;
    worker->quiet = worker->answer_flags & PINFOLD_RESULT_QUIET && !tree;
    if (call->printed_bytes) {
        call_take_printed(pool, call);
        (void)call_printed_too_much(call);
    }
    worker->ahead.quick = worker->quiet && now_ns() - call->started < AHEAD_QUICK_NS;
    if (!worker->quiet) /* its slate is closed */
        ahead_recall(pool, worker);
    call_step(pool, call, tree ? CALL_RESULT_TREE : CALL_RESULT);
    if (worker->state != WORKER_BUSY || ahead_promote(pool, worker))
        return;
    if (!pool_reuses(pool))
        worker_retire(pool, worker, "call done");
    else if (worker->answer_flags & PINFOLD_RESULT_RETIRE)
        worker_retire(pool, worker, "recycled: it asked for it");
    else if (pool->config.max_calls_per_worker && worker->calls >= pool->config.max_calls_per_worker)
        worker_retire(pool, worker, "recycled: %u calls", worker->calls);
    else if (worker->template->state == TEMPLATE_RETIRING)
        worker_retire(pool, worker, "recycled: the next template serves");
    else if (worker->peer < 0)
        worker_retire(pool, worker, "closed its channel");
    else
        return_worker(pool, worker);
}

static void take_stack(struct pinfold_pool *pool, struct worker *worker, const struct frame *frame)
{
    struct call *call = worker->call;
    if (!call || call->id != frame->head.id)
        return; /* it was asked too late: the call is over */
    if (result_text(&call->result->stack, (const char *)frame->tail, frame->tail_size) == 0)
        call_step(pool, call, CALL_STACK);
}

static void take_note(struct worker *worker, const struct frame *frame)
{
    struct call *call = worker->call;
    if (call && call->id == frame->head.id && !worker->answered && !call->result->note &&
        result_text(&call->result->note, (const char *)frame->tail, frame->tail_size) == 0)
        call->result->public.note_size = frame->tail_size;
}

/* The worker cannot start and is about to exit. True: the worker is gone, and its template with it. */
static bool take_failed(struct pinfold_pool *pool, struct worker *worker, const struct frame *frame)
{
    const char *text = (const char *)frame->tail;
    switch (worker->state) {
    case WORKER_STARTING: /* also a forked one, whose frame was faster than its template's */
        if (pool->config.isolation == PINFOLD_SPAWN && !worker->template->loaded) {
            /* the next worker would load the same and fail, too */
            template_end(pool, worker->template, text, frame->tail_size);
            return true;
        }
        /* fall through */
    case WORKER_IDLE:
        worker_retire(pool, worker, "killed: it could not start");
        pool_worker_failed(pool, worker->template, text, frame->tail_size);
        break;
    case WORKER_BUSY: /* it got its call before the failure was known */
        if (worker->answered)
            break;
        call_evidence(worker->call, PINFOLD_INTERNAL, "the worker could not start: %.*s", (int)frame->tail_size,
                      text);
        worker->call->declined = true;
        break;
    default:
        break;
    }
    return false;
}

/* Receive one frame. False: there is none, or the worker is gone. */
static bool receive_one(struct pinfold_pool *pool, struct worker *worker)
{
    const struct template *template = worker->template;
    /* Take no descriptors from a box: closing one would end the caller's locks on its file (fcntl(2), F_SETLK). */
    const int look_first = pool_wants_seals(pool) ? MSG_PEEK : 0;
    struct frame frame;
    int r = frame_receive_noting(worker->peer, MSG_DONTWAIT | look_first, FRAME_FROM_WORKER, pool->buffer, &frame,
                                 &worker->unread);
    if (r == -EAGAIN)
        return false;
    if (r == 0) {
        peer_closed(pool, worker);
        return false;
    }
    /* Once it has begun another call, its frames belong to that, except a second result. */
    if (worker->answered && ahead_has_next(worker) && (r < 0 || frame.head.id != worker->call->id))
        receive_result(pool, worker);
    if (r < 0) {
        /* A bad frame never makes receiving itself fail: something else closed or replaced this channel in this
         * process. */
        const bool received = r == -EPROTO || r == -EMFILE;
        worker_damaged(pool, worker, received ? r : -EIO,
                       r == -EPROTO   ? "it sent a damaged frame"
                       : r == -EMFILE ? "there is no descriptor for the spill of the result"
                                      : "the caller closed its channel");
        return false;
    }
    switch (frame.head.kind) {
    case PINFOLD_FRAME_RESULT:
        take_result(pool, worker, &frame);
        break;
    case PINFOLD_FRAME_STACK:
        take_stack(pool, worker, &frame);
        break;
    case PINFOLD_FRAME_NOTE:
        take_note(worker, &frame);
        break;
    case PINFOLD_FRAME_READY: /* it cannot be killed before its template has reported its pid */
        worker->ready = worker->template->loaded = true;
        if (worker->pid)
            worker_step(pool, worker, WORKER_READY);
        break;
    case PINFOLD_FRAME_FAILED:
        if (take_failed(pool, worker, &frame))
            return false;
        break;
    default:
        break;
    }
    for (int i = 0; i < PINFOLD_FRAME_FDS_MAX; i++)
        template_close(template, &frame.fds[i]);
    return true;
}

void worker_receive(struct pinfold_pool *pool, struct worker *worker)
{
    /* Bounded, so that a flood of frames cannot occupy the reactor. The bound covers all that a worker can have
     * sent for the calls handed ahead. */
    uint64_t number = worker->number;
    uint32_t left = 4 * (AHEAD_DEPTH + 1);
    while (left > 0 && worker->peer >= 0 && receive_one(pool, worker))
        left--;
    if (left == 0 && worker->peer >= 0)
        reactor_again(pool, worker->peer, PEER_EVENTS, &pool->workers, SOURCE_PEER, number);
    if (handle_get(&pool->workers, number) && worker->answered)
        receive_result(pool, worker);
}

/* Return the pid that a process in another namespace has here (proc(5), /proc/[pid]/fdinfo); 0: it has none any
 * more. */
static pid_t pid_here(int pidfd)
{
    char path[48], text[512];
    snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", pidfd);
    _cleanup_close_ int fd = RETRY_EINTR(open(path, O_RDONLY | O_CLOEXEC));
    ssize_t got = fd < 0 ? -1 : RETRY_EINTR(read(fd, text, sizeof(text) - 1));
    if (got < 0)
        return -errno;
    text[got] = '\0';
    const char *line = strstr(text, "\nPid:");
    long pid = line ? strtol(line + 5, NULL, 10) : 0;
    return pid > 0 ? (pid_t)pid : 0;
}

void worker_started(struct pinfold_pool *pool, struct worker *worker, struct frame *frame)
{
    const struct pinfold_frame_started *body = frame->body;
    if (worker->pid || worker->pidfd >= 0)
        return;
    if (body->error) {
        struct template *template = worker->template;
        worker_step(pool, worker, WORKER_EXITED);
        pool_start_failed(pool, template, -body->error);
        return;
    }
    pool->barren = 0;
    pid_t pid = body->pid;
    if (frame->n_fds == 0) {
        pid = -EMFILE;
    } else {
        worker->pidfd = TAKE_FD(frame->fds[0]);
        if (pool->config.namespaces & CLONE_NEWPID)
            pid = pid_here(worker->pidfd);
    }
    if (pid < 0) { /* a worker that cannot be killed or examined is not used; closing its channel ends it */
        const char *text = strerror(-pid);
        worker_retire(pool, worker, "no descriptor for it");
        pool_worker_failed(pool, worker->template, text, strlen(text));
        return;
    }
    worker->pid = pid ? pid : body->pid; /* 0: it is dead already */
    worker->inherited_kb = body->inherited_kb;
    pool_event(pool, PINFOLD_EVENT_WORKER_START, worker, NULL, "");
    if (pool->config.isolation != PINFOLD_SPAWN) {
        worker_step(pool, worker, WORKER_FORKED);
        return;
    }
    if (worker->state == WORKER_STARTING) /* to load */
        reactor_set(pool, &worker->timer, time_add(now_ns(), pool->config.open_timeout_ns));
    worker_step(pool, worker, WORKER_SPAWNED);
    if (worker->ready)
        worker_step(pool, worker, WORKER_READY);
}

/* Return whether the worker died without having read its call from the socket, for example killed while idle.
 * It is dead or has been sent SIGKILL. A start that was reported as an event counts as one: killing a worker
 * for it kills that call. */
static bool never_begun(const struct pinfold_pool *pool, const struct worker *worker)
{
    return worker->unread && worker->handed_last && worker->call->state == CALL_RUNNING &&
           !worker->call->declined && !(pool->config.flags & PINFOLD_EVENTS);
}

/* Return whether the request is unchanged. A program in a box, this worker's last call, may have peeked at the
 * next call's message without taking it (recv(2), MSG_PEEK), and so got a descriptor by which it can write to a
 * spill. */
static bool is_intact(const struct pinfold_pool *pool, const struct worker *worker)
{
    return worker->call->spill < 0 || !pool_wants_seals(pool) || worker->calls == 0;
}

/* Give a call that was never begun to another worker. */
static void return_unbegun(struct pinfold_pool *pool, struct worker *worker)
{
    struct call *call = worker->call;
    if (!call || !never_begun(pool, worker) || !is_intact(pool, worker) || call->returns >= CALL_RETURNS)
        return;
    call->returns++;
    worker->call = NULL;
    call_return(pool, call);
}

void worker_exited(struct pinfold_pool *pool, struct worker *worker, const struct pinfold_frame_exited *report)
{
    /* What it sent before it died counts: a result is a result. */
    uint64_t number = worker->number;
    if (worker->call && pool_distrusts(pool)) /* its pid may be another process's by now */
        call_usage_total(worker->call, report->user_us, report->sys_us, report->peak_kb);
    if (worker->peer >= 0)
        worker_receive(pool, worker);
    if (!handle_get(&pool->workers, number))
        return; /* its last frame was FAILED, which ended the template and all of its workers */
    ahead_abandon(pool, worker);

    int status = report->status;
    if (!worker->exit_reason[0]) {
        if (WIFEXITED(status))
            snprintf(worker->exit_reason, sizeof(worker->exit_reason), "exited: %d", WEXITSTATUS(status));
        else
            snprintf(worker->exit_reason, sizeof(worker->exit_reason), "died: signal %d", WTERMSIG(status));
    }
    return_unbegun(pool, worker);
    struct call *call = worker->call;
    if (call) {
        bool tree = report->flags & PINFOLD_EXITED_ORPHANS;
        struct template *template = worker->template;
        pool->stillborn = 0;
        if (!call->answered || worker->unmeasured || pool_distrusts(pool))
            call_usage_total(call, report->user_us, report->sys_us, report->peak_kb);
        if (call->outcome != CALL_UNDECIDED) {
            /* the outcome is known; the worker's end adds nothing */
        } else if (WIFEXITED(status) && call->declined) {
            /* the reason is known */
        } else if (never_begun(pool, worker)) {
            call_evidence(call, call->returns ? PINFOLD_INTERNAL : PINFOLD_LOST,
                          "%s ended before it had begun the call (%s)",
                          call->returns ? "one worker after another" : "the worker", worker->exit_reason);
        } else {
            end_evidence(pool, call, status);
            /* A program that ends by itself loses what it has not flushed, as it would by itself. */
            if (call->exits && call->verdict != PINFOLD_MEMORY_LIMIT)
                close_fd(&worker->printed);
            call_take_printed(pool, call);
            (void)call_printed_too_much(call);
        }
        call_detach(pool, call);
        if (tree) {
            call->template = template;
            call->sweep_of = worker->number;
            TAILQ_INSERT_TAIL(&template->sweeping, call, swept);
        }
        call_step(pool, call, tree ? CALL_EXITED_TREE : CALL_EXITED);
    } else if (worker->state == WORKER_STARTING) {
        never_ready(pool, worker, worker->exit_reason);
    } else if (!worker->calls && worker->state != WORKER_ENDING) {
        never_used(pool, worker->template);
    }
    worker_step(pool, worker, WORKER_EXITED);
}

void worker_lost(struct pinfold_pool *pool, struct worker *worker)
{
    /* The worker may still be alive, and begin further calls until they are recalled. */
    ahead_recall(pool, worker);
    if (worker->peer >= 0 && worker->state == WORKER_BUSY) {
        /* Its program never sees what is unread after the kill. If the worker is dead by then, its channel
         * reports whether a message was unread. */
        send_signal(worker, SIGKILL);
        int left;
        if (ioctl(worker->peer, SIOCOUTQ, &left) == 0 && left > 0)
            worker->unread = true;
        worker_receive(pool, worker);
    }
    ahead_abandon(pool, worker);
    return_unbegun(pool, worker);
    if (worker->call)
        call_step(pool, worker->call, CALL_LOST);
    if (!worker->exit_reason[0])
        snprintf(worker->exit_reason, sizeof(worker->exit_reason), "lost: its template died");
    worker_step(pool, worker, WORKER_LOST);
}

void worker_due(struct pinfold_pool *pool, struct worker *worker)
{
    switch (worker->state) {
    case WORKER_STARTING:
        if (worker->pid) {
            worker_retire(pool, worker, "killed: not ready in time");
            if (pool->n_running + pool->n_idle == 0)
                pool_refuse_one(pool, "a worker was not ready within %.3g s",
                                (double)pool->config.open_timeout_ns / 1e9);
        } else {
            template_lost(pool, worker->template);
        }
        break;
    case WORKER_IDLE:
        if (pool->spares_wanted >= pool->n_idle)
            pool->spares_wanted = pool->n_idle - 1;
        worker_retire(pool, worker, "idle");
        break;
    case WORKER_BUSY:
        /* The template has yet to report its exit, and has as long for it as after a kill. Freeing its memory
         * may take long. */
        if (pidfd_ended(worker->pidfd) || usage_is_exiting(worker->pid) ||
            cgroup_ran_out(&pool->cgroup, worker->id, &(uint64_t){0})) {
            worker_step(pool, worker, WORKER_RETIRE);
            break;
        }
        call_evidence(worker->call, PINFOLD_EXITED, "the program closed the descriptor of its result");
        call_step(pool, worker->call, CALL_BROKEN);
        break;
    case WORKER_ENDING:
        template_lost(pool, worker->template);
        break;
    default:
        break;
    }
}

void worker_ready(void *context, void *object, unsigned source)
{
    struct pinfold_pool *pool = context;
    struct worker *worker = object;
    if (source == SOURCE_PEER) {
        worker_receive(pool, worker);
        return;
    }
    const uint64_t number = worker->number;
    if (worker->ahead.n > 0) /* the output is the present call's; no other may begin while it is read */
        ahead_settle(pool, worker);
    if (!handle_get(&pool->workers, number))
        return;
    worker_drain(pool, worker, source == SOURCE_OUT ? WORKER_OUT : WORKER_ERR, false);
    struct call *call = worker->call;
    if (call && call->state == CALL_RUNNING && !worker->answered && call_printed_too_much(call))
        call_step(pool, call, CALL_OVER);
}

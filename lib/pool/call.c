/* SPDX-License-Identifier: Apache-2.0 */
/* call.c - the table of a call's life, its evidence, usage and end (call.h). */
#include "pool/call.h"

#include <assert.h>
#include <inttypes.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/resource.h>

#include "base/error.h"
#include "base/util.h"
#include "pool/pool.h"
#include "process/usage.h"
#include "wire/payload.h"
#include "wire/printed.h"

#define KEEP CALL_UNDECIDED
#define EVIDENCE CALL_BY_EVIDENCE
#define LIMIT_SHARE 10 /* at most one part in LIMIT_SHARE of the time goes to looking at a call's use */
#define LIMIT_PAUSE_MOST NS_PER_S
#define CALL_CLOSES (1u << 20) /* bytes of the largest spill that the pool closes itself */
#define STAYS(state)                                                                                              \
    {                                                                                                             \
        state, 0, KEEP                                                                                            \
    }

/* An event that cannot occur in a state, or means nothing there, leaves the state as it is. */
const struct call_step call_life[CALL_STATES][CALL_EVENTS] =
    {
        [CALL_QUEUED] =
            {
                [CALL_OFFER] = {CALL_AHEAD, 0, KEEP},
                [CALL_RECALL] = STAYS(CALL_QUEUED),
                [CALL_HANDED] = {CALL_RUNNING, 0, KEEP},
                [CALL_RESULT] = STAYS(CALL_QUEUED),
                [CALL_RESULT_TREE] = STAYS(CALL_QUEUED),
                [CALL_STACK] = STAYS(CALL_QUEUED),
                [CALL_DUE] = {CALL_DONE, CALL_FINISH, PINFOLD_TIMEOUT},
                [CALL_SPENT] = STAYS(CALL_QUEUED),
                [CALL_COLLECT] = STAYS(CALL_QUEUED),
                [CALL_BROKEN] = STAYS(CALL_QUEUED),
                [CALL_EXITED] = STAYS(CALL_QUEUED),
                [CALL_EXITED_TREE] = STAYS(CALL_QUEUED),
                [CALL_LOST] = STAYS(CALL_QUEUED),
                [CALL_OVER] = STAYS(CALL_QUEUED),
                [CALL_CANCEL] = {CALL_DONE, CALL_FINISH, PINFOLD_CANCELLED},
                [CALL_REFUSED] = {CALL_DONE, CALL_FINISH, PINFOLD_INTERNAL},
            },
        /* Before any other event, the call is recalled or found to have begun. */
        [CALL_AHEAD] =
            {
                [CALL_OFFER] = STAYS(CALL_AHEAD),
                [CALL_RECALL] = {CALL_QUEUED, 0, KEEP},
                [CALL_HANDED] = {CALL_RUNNING, 0, KEEP},
                [CALL_RESULT] = STAYS(CALL_AHEAD),
                [CALL_RESULT_TREE] = STAYS(CALL_AHEAD),
                [CALL_STACK] = STAYS(CALL_AHEAD),
                [CALL_DUE] = STAYS(CALL_AHEAD),
                [CALL_SPENT] = STAYS(CALL_AHEAD),
                [CALL_COLLECT] = STAYS(CALL_AHEAD),
                [CALL_BROKEN] = STAYS(CALL_AHEAD),
                [CALL_EXITED] = STAYS(CALL_AHEAD),
                [CALL_EXITED_TREE] = STAYS(CALL_AHEAD),
                [CALL_LOST] = {CALL_DONE, CALL_FINISH, PINFOLD_LOST},
                [CALL_OVER] = STAYS(CALL_AHEAD),
                [CALL_CANCEL] = STAYS(CALL_AHEAD),
                [CALL_REFUSED] = STAYS(CALL_AHEAD),
            },
        [CALL_RUNNING] =
            {
                [CALL_OFFER] = STAYS(CALL_RUNNING),
                [CALL_RECALL] = {CALL_QUEUED, 0, KEEP},
                [CALL_HANDED] = STAYS(CALL_RUNNING),
                [CALL_RESULT] = {CALL_DONE, CALL_FINISH, EVIDENCE},
                [CALL_RESULT_TREE] = {CALL_ENDING, CALL_KILL | CALL_PATIENCE, EVIDENCE},
                [CALL_STACK] = STAYS(CALL_RUNNING),
                [CALL_DUE] = {CALL_LATE, CALL_ASK | CALL_GRACE, PINFOLD_TIMEOUT},
                [CALL_SPENT] = {CALL_LATE, CALL_ASK | CALL_GRACE, PINFOLD_TIMEOUT},
                [CALL_COLLECT] = STAYS(CALL_RUNNING),
                [CALL_BROKEN] = {CALL_ENDING, CALL_KILL | CALL_PATIENCE, EVIDENCE},
                [CALL_EXITED] = {CALL_DONE, CALL_FINISH, EVIDENCE},
                [CALL_EXITED_TREE] = {CALL_ENDING, CALL_PATIENCE, EVIDENCE},
                [CALL_LOST] = {CALL_DONE, CALL_FINISH, PINFOLD_LOST},
                [CALL_OVER] = {CALL_LATE, CALL_ASK | CALL_GRACE, EVIDENCE},
                [CALL_CANCEL] = {CALL_DONE, CALL_KILL | CALL_FINISH, PINFOLD_CANCELLED},
                [CALL_REFUSED] = STAYS(CALL_RUNNING),
            },
        /* The deadline or a limit has been passed: anything that arrives now is too late. */
        [CALL_LATE] =
            {
                [CALL_OFFER] = STAYS(CALL_LATE),
                [CALL_RECALL] = STAYS(CALL_LATE),
                [CALL_HANDED] = STAYS(CALL_LATE),
                [CALL_RESULT] = {CALL_ENDING, CALL_KILL | CALL_PATIENCE, KEEP},
                [CALL_RESULT_TREE] = {CALL_ENDING, CALL_KILL | CALL_PATIENCE, KEEP},
                [CALL_STACK] = {CALL_ENDING, CALL_KILL | CALL_PATIENCE, KEEP},
                [CALL_DUE] = {CALL_ENDING, CALL_KILL | CALL_PATIENCE, KEEP},
                [CALL_SPENT] = STAYS(CALL_LATE),
                [CALL_COLLECT] = {CALL_COLLECTING, CALL_STOP, KEEP},
                [CALL_BROKEN] = {CALL_ENDING, CALL_KILL | CALL_PATIENCE, KEEP},
                [CALL_EXITED] = {CALL_DONE, CALL_FINISH, KEEP},
                [CALL_EXITED_TREE] = {CALL_ENDING, CALL_PATIENCE, KEEP},
                [CALL_LOST] = {CALL_DONE, CALL_FINISH, KEEP},
                [CALL_OVER] = STAYS(CALL_LATE),
                [CALL_CANCEL] = {CALL_DONE, CALL_KILL | CALL_FINISH, KEEP},
                [CALL_REFUSED] = STAYS(CALL_LATE),
            },
        /* The program has had its time: what its worker sends now can only be files. */
        [CALL_COLLECTING] =
            {
                [CALL_OFFER] = STAYS(CALL_COLLECTING),
                [CALL_RECALL] = STAYS(CALL_COLLECTING),
                [CALL_HANDED] = STAYS(CALL_COLLECTING),
                [CALL_RESULT] = {CALL_ENDING, CALL_KILL | CALL_PATIENCE, KEEP},
                [CALL_RESULT_TREE] = {CALL_ENDING, CALL_KILL | CALL_PATIENCE, KEEP},
                [CALL_STACK] = STAYS(CALL_COLLECTING),
                [CALL_DUE] = {CALL_ENDING, CALL_KILL | CALL_PATIENCE, KEEP},
                [CALL_SPENT] = STAYS(CALL_COLLECTING),
                [CALL_COLLECT] = STAYS(CALL_COLLECTING),
                [CALL_BROKEN] = {CALL_ENDING, CALL_KILL | CALL_PATIENCE, KEEP},
                [CALL_EXITED] = {CALL_DONE, CALL_FINISH, KEEP},
                [CALL_EXITED_TREE] = {CALL_ENDING, CALL_PATIENCE, KEEP},
                [CALL_LOST] = {CALL_DONE, CALL_FINISH, KEEP},
                [CALL_OVER] = STAYS(CALL_COLLECTING),
                [CALL_CANCEL] = {CALL_DONE, CALL_KILL | CALL_FINISH, KEEP},
                [CALL_REFUSED] = STAYS(CALL_COLLECTING),
            },
        [CALL_ENDING] =
            {
                [CALL_OFFER] = STAYS(CALL_ENDING),
                [CALL_RECALL] = STAYS(CALL_ENDING),
                [CALL_HANDED] = STAYS(CALL_ENDING),
                [CALL_RESULT] = STAYS(CALL_ENDING),
                [CALL_RESULT_TREE] = STAYS(CALL_ENDING),
                [CALL_STACK] = STAYS(CALL_ENDING),
                [CALL_DUE] = {CALL_DONE, CALL_FINISH, KEEP},
                [CALL_SPENT] = STAYS(CALL_ENDING),
                [CALL_COLLECT] = STAYS(CALL_ENDING),
                [CALL_BROKEN] = STAYS(CALL_ENDING),
                [CALL_EXITED] = {CALL_DONE, CALL_FINISH, KEEP},
                [CALL_EXITED_TREE] = STAYS(CALL_ENDING),
                [CALL_LOST] = {CALL_DONE, CALL_FINISH, KEEP},
                [CALL_OVER] = STAYS(CALL_ENDING),
                [CALL_CANCEL] = {CALL_DONE, CALL_FINISH, KEEP},
                [CALL_REFUSED] = STAYS(CALL_ENDING),
            },
        [CALL_DONE] =
            {
                [CALL_OFFER] = STAYS(CALL_DONE),
                [CALL_RECALL] = STAYS(CALL_DONE),
                [CALL_HANDED] = STAYS(CALL_DONE),
                [CALL_RESULT] = STAYS(CALL_DONE),
                [CALL_RESULT_TREE] = STAYS(CALL_DONE),
                [CALL_STACK] = STAYS(CALL_DONE),
                [CALL_DUE] = STAYS(CALL_DONE),
                [CALL_SPENT] = STAYS(CALL_DONE),
                [CALL_COLLECT] = STAYS(CALL_DONE),
                [CALL_BROKEN] = STAYS(CALL_DONE),
                [CALL_EXITED] = STAYS(CALL_DONE),
                [CALL_EXITED_TREE] = STAYS(CALL_DONE),
                [CALL_LOST] = STAYS(CALL_DONE),
                [CALL_OVER] = STAYS(CALL_DONE),
                [CALL_CANCEL] = STAYS(CALL_DONE),
                [CALL_REFUSED] = STAYS(CALL_DONE),
            },
};
static_assert(CALL_STATES == 7 && CALL_EVENTS == 16, "a new state or event wants its cells in the table");

const char *pinfold_outcome_name(uint32_t outcome)
{
    static const char *const names[] = {
        "ok",           "exception",    "exited",     "signalled", "timeout", "cpu_limit",
        "memory_limit", "output_limit", "bad_result", "cancelled", "lost",    "internal",
    };
    static_assert(COUNT_OF(names) == PINFOLD_OUTCOMES, "one word for each outcome");
    return outcome < PINFOLD_OUTCOMES ? names[outcome] : NULL;
}

const char *pinfold_phase_name(uint32_t phase)
{
    static const char *const names[] = {"", "queue", "start", "run"};
    static_assert(COUNT_OF(names) == PINFOLD_PHASES, "one word for each phase");
    return phase < PINFOLD_PHASES ? names[phase] : NULL;
}

static void timer_passed(void *pool, struct deadline *timer)
{
    clock_due(pool, CONTAINER_OF(timer, struct call, timer));
}

static void sample_passed(void *pool, struct deadline *sample)
{
    call_sample(pool, CONTAINER_OF(sample, struct call, sample));
}

int call_new(struct pinfold_pool *pool, const pinfold_call *asked, struct call **ret_call, pinfold_error *error)
{
    struct call *call = calloc(1, sizeof(*call));
    if (!call || !(call->result = result_new())) {
        free(call);
        return error_errno(error, -ENOMEM, "cannot hold the call");
    }
    call->spill = -1;
    call->state = CALL_QUEUED;
    call->outcome = CALL_UNDECIDED;
    call->timer.passed = timer_passed;
    call->tag = asked->tag;
    call->queue = asked->queue ? asked->queue : &pool->queue;
    call->output_bytes = asked->output_bytes ? asked->output_bytes : pool->config.output_bytes;
    call->printed_bytes = asked->printed_bytes;
    call->result_bytes = asked->result_bytes;
    call->file_bytes = asked->file_bytes;
    call->exits = asked->flags & PINFOLD_EXITS;
    call->collects = asked->flags & PINFOLD_COLLECTS;
    call->sample.passed = sample_passed;
    call->limits = (struct limits){
        .memory_bytes = asked->memory_bytes,
        .cpu_ns = (uint64_t)asked->cpu_ns,
        .processes = asked->processes,
    };
    call->submitted = now_ns();
    clock_new(&call->clocks, call->submitted, asked->deadline_ns, asked->wall_ns);

    int r = payload_size(asked->segments, asked->n_segments, &call->payload_size);
    if (r < 0) {
        error_errno(error, r, "a request of %u segments cannot be laid out", asked->n_segments);
    } else if (call->payload_size > PINFOLD_PAYLOAD_INLINE_MAX) {
        struct rlimit most; /* a write past it would raise SIGXFSZ and kill the caller */
        if (getrlimit(RLIMIT_FSIZE, &most) == 0 && call->payload_size > most.rlim_cur)
            r = error_errno(error, -EFBIG,
                            "a request of %" PRIu64 " bytes is larger than this process may write (%" PRIu64 ")",
                            call->payload_size, (uint64_t)most.rlim_cur);
        else
            r = spill_write(&pool->spills, asked->segments, asked->n_segments, &call->spill, &call->payload_size,
                            error);
    } else if (!(call->payload = malloc(call->payload_size))) {
        r = error_errno(error, -ENOMEM, "cannot hold a request of %zu bytes", (size_t)call->payload_size);
    } else {
        payload_copy(call->payload, asked->segments, asked->n_segments);
    }
    if (r < 0) {
        call_free(pool, call);
        return r;
    }
    *ret_call = call;
    return 0;
}

void call_free(struct pinfold_pool *pool, struct call *call)
{
    limit_forget(&call->watch);
    if (call->id)
        handle_drop(&pool->calls, call->id);
    if (call->result)
        pinfold_result_free(&call->result->public);
    free(call->payload);
    close_fd(&call->spill);
    free(call);
}

void call_evidence(struct call *call, uint32_t verdict, const char *format, ...)
{
    if (call->outcome != CALL_UNDECIDED)
        return;
    call->verdict = (uint8_t)verdict;
    free(call->result->reason);
    va_list arguments;
    va_start(arguments, format);
    if (vasprintf(&call->result->reason, format, arguments) < 0)
        call->result->reason = NULL;
    va_end(arguments);
}

uint32_t call_blame(int code)
{
    return result_failed_here(code) ? PINFOLD_INTERNAL : PINFOLD_BAD_RESULT;
}

void call_evidence_memory(struct call *call, uint64_t bytes)
{
    const double mib = 1024.0 * 1024.0;
    call_evidence(call, PINFOLD_MEMORY_LIMIT, "%.1f MiB of memory in use, of %.1f MiB allowed",
                  (double)bytes / mib, (double)call->limits.memory_bytes / mib);
}

void call_usage(struct call *call, uint64_t user_us, uint64_t sys_us, uint64_t peak_kb)
{
    pinfold_metrics *metrics = &call->result->public.metrics;
    uint64_t inherited_kb = call->worker ? call->worker->inherited_kb : 0;
    const int64_t user_ns = (int64_t)(user_us * 1000), sys_ns = (int64_t)(sys_us * 1000);
    /* An earlier look may have seen more: children that have ended and that no process waited for. */
    if (user_ns + sys_ns > metrics->user_ns + metrics->sys_ns) {
        metrics->user_ns = user_ns;
        metrics->sys_ns = sys_ns;
    }
    if (peak_kb > inherited_kb)
        peak_kb -= inherited_kb;
    if (peak_kb > metrics->peak_rss_kb)
        metrics->peak_rss_kb = peak_kb;
}

static uint64_t since(uint64_t total, uint64_t base)
{
    return total > base ? total - base : 0;
}

void call_usage_total(struct call *call, uint64_t user_us, uint64_t sys_us, uint64_t peak_kb)
{
    const struct worker *worker = call->worker;
    /* System time must account for what exceeds the user time measured before: of the earlier times only the
     * sum is certain. */
    uint64_t before_sys_us = worker->sys_us + since(worker->user_us, user_us);
    call_usage(call, since(user_us, worker->user_us), since(sys_us, before_sys_us), peak_kb);
}

void call_waits(const struct pinfold_pool *pool, struct call *call)
{
    const struct usage_waits *before = &call->worker->waits;
    struct usage_waits now;
    if (!pool->cpu_slots || before->wait_ns == UINT64_MAX || usage_read_waits(call->worker->pid, &now) < 0 ||
        pidfd_ended(call->worker->pidfd)) /* its pid may be another process's then */
        return;
    pinfold_metrics *metrics = &call->result->public.metrics;
    call->result->public.flags |= PINFOLD_HAS_WAITS;
    metrics->preemptions = since(now.preemptions, before->preemptions);
    metrics->cpu_wait_ns = (int64_t)since(now.wait_ns, before->wait_ns);
}

void call_take_printed(struct pinfold_pool *pool, struct call *call)
{
    struct worker *worker = call->worker;
    for (int stream = 0; stream < WORKER_STREAMS && !worker->quiet; stream++)
        worker_drain(pool, worker, stream, true);
    if ((!call->answered || call->stopped) && worker->printed >= 0) {
        printed_take(worker->printed, worker->output);
        close_fd(&worker->printed); /* it is taken once */
    }
}

bool call_printed_too_much(struct call *call)
{
    for (int stream = 0; stream < WORKER_STREAMS; stream++) {
        const uint64_t total = call->worker->output[stream].total;
        if (call->printed_bytes && total > call->printed_bytes) {
            call_evidence(call, PINFOLD_OUTPUT_LIMIT, "%s has more than the %" PRIu64 " bytes allowed",
                          stream == WORKER_OUT ? "stdout" : "stderr", call->printed_bytes);
            return true;
        }
    }
    return false;
}

void call_detach(struct pinfold_pool *pool, struct call *call)
{
    struct worker *worker = call->worker;
    if (!worker)
        return;
    call_take_printed(pool, call);
    result_output(call->result, &worker->output[WORKER_OUT], &worker->output[WORKER_ERR]);
    worker->call = NULL;
    call->worker = NULL;
}

void call_return(struct pinfold_pool *pool, struct call *call)
{
    reactor_drop(pool, &call->sample);
    limit_forget(&call->watch);
    call->offered = false;
    call->worker = NULL;
    call->started = 0;
    call->result->public.metrics = (pinfold_metrics){0};
    call->result->public.flags &= ~PINFOLD_HAS_WAITS;
    call_step(pool, call, CALL_RECALL);
    clock_wait(pool, call);
}

/* Close the request's spill. This may be the last descriptor of a large file, which the guard then closes. */
static void close_spill(struct call *call)
{
    const struct template *template = call->worker ? call->worker->template : call->template;
    if (template && call->payload_size > CALL_CLOSES)
        template_close(template, &call->spill);
    else
        close_fd(&call->spill);
}

/* Settle the call's times and what it used, then deliver its result. */
static void finish(struct pinfold_pool *pool, struct call *call)
{
    reactor_drop(pool, &call->timer);
    reactor_drop(pool, &call->sample);
    limit_forget(&call->watch);
    pool->n_pending--;
    close_spill(call);
    free(TAKE_PTR(call->payload));
    call_detach(pool, call);
    if (call->template) {
        TAILQ_REMOVE(&call->template->sweeping, call, swept);
        call->template = NULL;
    }
    int64_t now = now_ns();
    struct result *result = call->result;
    pinfold_result *seen = &result->public;
    seen->call_id = call->id;
    seen->tag = call->tag;
    seen->outcome = call->outcome;
    seen->metrics.finished_at_ns = clock_ns(CLOCK_REALTIME);
    if (call->started) {
        seen->flags |= PINFOLD_HAS_METRICS;
        seen->metrics.queue_ns = call->started - call->submitted;
        seen->metrics.wall_ns = now - call->started;
        seen->metrics.started_at_ns = seen->metrics.finished_at_ns - seen->metrics.wall_ns;
    } else {
        seen->metrics.queue_ns = now - call->submitted;
    }
    if ((call->outcome == PINFOLD_TIMEOUT && !call->collects) || call->outcome == PINFOLD_CANCELLED)
        seen->n_segments = 0; /* drop a value that came too late */
    seen->reason = call->outcome == PINFOLD_OK ? ""
                   : result->reason            ? result->reason
                                               : "there was no memory to say why";
    seen->stack = result->stack ? result->stack : "";
    seen->note = result->note ? result->note : "";
    seen->out = result->out ? result->out : "";
    seen->err = result->err ? result->err : "";
    pool->outcomes[call->outcome]++;
    if (call->queue)
        queue_push(call->queue, call);
    else
        call_free(pool, call);
}

void call_sample(struct pinfold_pool *pool, struct call *call)
{
    const struct worker *worker = call->worker;
    if (!worker)
        return;
    struct limit_use use;
    const int64_t began = now_ns();
    call->watch.in_view = pool->config.namespaces & CLONE_NEWNS;
    const enum limit_hit hit = limit_look(worker->pid, &call->limits, &call->watch, worker->inherited_kb * 1024,
                                          (worker->user_us + worker->sys_us) * 1000, &use);
    const int64_t now = now_ns();
    if (pidfd_ended(worker->pidfd)) /* its pid may be another process's then; its exit is about to be reported */
        return;
    call_usage(call, 0, 0, use.below_peak_kb);
    switch (hit) {
    case LIMIT_NONE: {
        /* A tree that takes long to examine delays everything else, so examine it less often. */
        const int64_t pause = LIMIT_SHARE * (now - began);
        reactor_set(pool, &call->sample,
                    now + (pause < LIMIT_SAMPLE_NS    ? LIMIT_SAMPLE_NS
                           : pause < LIMIT_PAUSE_MOST ? pause
                                                      : LIMIT_PAUSE_MOST));
        return;
    }
    case LIMIT_UNSEEN:
        call_evidence(call, PINFOLD_INTERNAL, "cannot see what it uses: %s", strerror(-use.failure));
        break;
    case LIMIT_MEMORY:
        call_evidence_memory(call, use.memory_bytes);
        break;
    case LIMIT_CPU:
        call_evidence(call, PINFOLD_CPU_LIMIT, "%.3g s of processor time used, of %.3g s allowed",
                      (double)use.cpu_ns / 1e9, (double)call->limits.cpu_ns / 1e9);
        break;
    case LIMIT_PROCESSES:
        call_evidence(call, PINFOLD_EXITED, "%u processes at once, of %u allowed", use.processes,
                      call->limits.processes);
        break;
    }
    call_step(pool, call, CALL_OVER);
}

static void say_why(struct call *call, enum call_event event)
{
    double asked_s = (double)call->clocks.deadline_ns / 1e9;
    double waited_s = (double)(now_ns() - call->submitted) / 1e9;
    switch (event) {
    case CALL_DUE:
        if (call->state == CALL_QUEUED)
            call_evidence(call, PINFOLD_TIMEOUT, "the deadline of %.3g s passed before a worker was free",
                          asked_s);
        else
            call_evidence(call, PINFOLD_TIMEOUT, "the deadline of %.3g s passed", asked_s);
        break;
    case CALL_SPENT:
        clock_say_spent(call);
        break;
    case CALL_CANCEL:
        call_evidence(call, PINFOLD_CANCELLED, "cancelled after %.3g s", waited_s);
        break;
    case CALL_LOST:
        call_evidence(call, PINFOLD_LOST, "the worker's template died, and the worker with it");
        break;
    default: /* evidence already has the sentence */
        break;
    }
}

/* Put a recalled call back in order: it is older than almost all waiting calls. */
static void wait_again(struct pinfold_pool *pool, struct call *call)
{
    struct call *next = TAILQ_FIRST(&pool->waiting);
    while (next && next->order < call->order)
        next = TAILQ_NEXT(next, link);
    if (next)
        TAILQ_INSERT_BEFORE(next, call, link);
    else
        TAILQ_INSERT_TAIL(&pool->waiting, call, link);
    pool->n_waiting++;
}

static void move(struct pinfold_pool *pool, struct call *call, uint8_t next)
{
    const uint8_t state = call->state;
    call->state = next;
    if (state == next)
        return;
    if (state == CALL_QUEUED) {
        TAILQ_REMOVE(&pool->waiting, call, link);
        pool->n_waiting--;
    } else if (state == CALL_AHEAD) {
        pool->n_ahead--;
    }
    if (next == CALL_QUEUED) {
        wait_again(pool, call);
    } else if (next == CALL_AHEAD) {
        pool->n_ahead++;
    }
}

/* Return whether the call harms others more with each moment that it lives. */
static bool takes_more(const struct call *call)
{
    return call->outcome == PINFOLD_MEMORY_LIMIT || call->outcome == PINFOLD_EXITED;
}

/* Measure while the worker lives: it may be dead and not yet reported when the result is delivered. A result
 * contains all of it. */
static void note_usage(struct call *call)
{
    struct usage usage;
    if (!call->answered && worker_usage(call->worker, true, &usage))
        call_usage_total(call, usage.user_us, usage.sys_us, usage.peak_kb);
}

void call_step(struct pinfold_pool *pool, struct call *call, enum call_event event)
{
    if (call->collects && call->state == CALL_LATE && (event == CALL_STACK || event == CALL_DUE))
        event = CALL_COLLECT;
    const struct call_step *step = &call_life[call->state][event];
    if (step->outcome != CALL_UNDECIDED && call->outcome == CALL_UNDECIDED) {
        say_why(call, event);
        call->outcome = step->outcome == CALL_BY_EVIDENCE ? call->verdict : step->outcome;
        call->result->public.phase = call->outcome == PINFOLD_OK ? PINFOLD_PHASE_NONE : clock_phase(pool, call);
    }
    move(pool, call, step->next);

    if (step->actions & (CALL_ASK | CALL_KILL) && call->worker)
        note_usage(call);
    if (step->actions & CALL_ASK)
        worker_ask(call->worker);
    if (step->actions & CALL_GRACE)
        reactor_set(pool, &call->timer, now_ns() + (takes_more(call) ? CALL_GRACE_OVER_NS : CALL_GRACE_NS));
    if (step->actions & CALL_STOP) /* a worker that cannot be asked is killed at once */
        reactor_set(pool, &call->timer,
                    now_ns() + (call->worker && worker_stop(call->worker) == 0 ? CALL_COLLECT_NS : 0));
    if (step->actions & CALL_PATIENCE)
        reactor_set(pool, &call->timer,
                    now_ns() + (call->outcome == PINFOLD_TIMEOUT ? CALL_PATIENCE_NS : CALL_SWEEP_NS));
    if (step->actions & CALL_KILL && call->worker) {
        if (!(call->result->public.flags & PINFOLD_HAS_WAITS))
            call_waits(pool, call);
        worker_retire(pool, call->worker, "killed: %s", pinfold_outcome_name(call->outcome));
    }
    if (step->actions & CALL_FINISH)
        finish(pool, call);
}

bool call_end(struct pinfold_pool *pool, struct call *call, enum call_event event)
{
    const uint64_t id = call->id;
    if (call->worker && (call->state == CALL_AHEAD || call->state == CALL_RUNNING)) {
        ahead_settle(pool, call->worker);
        call = handle_get(&pool->calls, id);
        if (!call || call->state == CALL_DONE)
            return false;
    }
    call_step(pool, call, event);
    return true;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* clock.c - runs and stops the two clocks of a call (clock.h). */
#include "pool/clock.h"

#include "base/util.h"
#include "pool/pool.h"
#include "wire/slate.h"

#define LOOK_NS (2 * INT64_C(1000000)) /* minimum between two looks whether a worker has begun its call */
#define LOOK_SHARE 8                   /* and one part in LOOK_SHARE of the time waited so far */

void clock_new(struct clocks *clocks, int64_t submitted, int64_t deadline_ns, int64_t wall_ns)
{
    *clocks = (struct clocks){
        .deadline_ns = deadline_ns,
        .wall_ns = wall_ns ? wall_ns : INT64_MAX,
        .deadline = time_add(submitted, deadline_ns),
    };
}

static bool is_open(const struct pinfold_pool *pool)
{
    return pool->serving && pool->serving->state == TEMPLATE_SERVING && pool->serving->open;
}

static void clocks_run(struct clocks *clocks, int64_t now)
{
    if (clocks->left_ns)
        clocks->deadline = time_add(now, clocks->left_ns);
    clocks->left_ns = 0;
}

static void stand_still(struct clocks *clocks, int64_t now)
{
    if (clocks->deadline == INT64_MAX)
        return;
    clocks->left_ns = clocks->deadline > now ? clocks->deadline - now : 1;
    clocks->deadline = INT64_MAX;
}

/* Set the timer to when a clock ends, or to the next look whether the program's has begun. */
static void set_timer(struct pinfold_pool *pool, struct call *call, int64_t now)
{
    const struct clocks *clocks = &call->clocks;
    int64_t due = clocks->deadline;
    if (call->state == CALL_RUNNING && clocks->wall_ns != INT64_MAX) {
        const int64_t pause = (now - call->started) / LOOK_SHARE;
        const int64_t next =
            clocks->begun ? time_add(clocks->begun, clocks->wall_ns) : now + (pause > LOOK_NS ? pause : LOOK_NS);
        due = next < due ? next : due;
    }
    if (due == INT64_MAX)
        reactor_drop(pool, &call->timer);
    else if (!call->timer.slot || call->timer.due != due)
        reactor_set(pool, &call->timer, due);
}

void clock_wait(struct pinfold_pool *pool, struct call *call)
{
    const int64_t now = now_ns();
    call->clocks.begun = 0;
    if (is_open(pool))
        clocks_run(&call->clocks, now);
    else
        stand_still(&call->clocks, now);
    set_timer(pool, call, now);
}

/* Return when the worker began the call; 0: not yet. */
static int64_t begun_at(const struct call *call, int64_t now)
{
    const struct worker *worker = call->worker;
    if (!call->offered)
        return worker_has_taken(worker) ? now : 0;
    /* The slate's time counts. It may precede the arrival of the last call's result, but not exceed now. */
    const int64_t when =
        slate_has_begun(worker->ahead.slate, call->turn) ? slate_begun_at(worker->ahead.slate, call->turn) : 0;
    return when <= now && when >= call->submitted ? when : when ? call->started : 0;
}

static void clock_look(struct call *call, int64_t now)
{
    call->clocks.begun = begun_at(call, now);
    if (call->offered && call->clocks.begun) /* as its metrics report it */
        call->started = call->clocks.begun;
}

void clock_handed(struct pinfold_pool *pool, struct call *call)
{
    const int64_t now = call->started;
    clocks_run(&call->clocks, now);
    if (call->offered)
        clock_look(call, now);
    set_timer(pool, call, now);
}

void clock_due(struct pinfold_pool *pool, struct call *call)
{
    struct clocks *clocks = &call->clocks;
    const int64_t now = now_ns();
    if (call->state > CALL_RUNNING || now >= clocks->deadline) {
        call_end(pool, call, CALL_DUE);
        return;
    }
    if (call->state == CALL_RUNNING && clocks->wall_ns != INT64_MAX) {
        if (!clocks->begun)
            clock_look(call, now);
        /* A worker that never begins the call gets no more time than one that is never ready. */
        if (clocks->begun ? now >= time_add(clocks->begun, clocks->wall_ns)
                          : now >= time_add(call->started, pool->config.open_timeout_ns)) {
            call_end(pool, call, CALL_SPENT);
            return;
        }
    }
    set_timer(pool, call, now);
}

void clock_say_spent(struct call *call)
{
    call->result->public.flags |= PINFOLD_WALL;
    if (call->clocks.begun)
        call_evidence(call, PINFOLD_TIMEOUT, "its time of %.3g s passed", (double)call->clocks.wall_ns / 1e9);
    else
        call_evidence(call, PINFOLD_TIMEOUT, "the worker had it for %.3g s, and had not begun it",
                      (double)(now_ns() - call->started) / 1e9);
}

/* Return whether there is a free worker slot for the call, so that it waits only for a worker to start. */
static bool has_slot(const struct pinfold_pool *pool, const struct call *call)
{
    uint32_t ahead = pool->n_running;
    for (const struct call *other = TAILQ_FIRST(&pool->waiting); other != call; other = TAILQ_NEXT(other, link))
        if (!other || ++ahead >= pool->config.max_workers)
            return false;
    return ahead < pool->config.max_workers;
}

uint32_t clock_phase(const struct pinfold_pool *pool, const struct call *call)
{
    if (call->state == CALL_QUEUED)
        return has_slot(pool, call) ? PINFOLD_PHASE_START : PINFOLD_PHASE_QUEUE;
    if (call->state == CALL_AHEAD || call->clocks.begun || !call->worker)
        return PINFOLD_PHASE_RUN; /* a call AHEAD that has not begun is recalled before it gets an outcome */
    return begun_at(call, now_ns()) ? PINFOLD_PHASE_RUN : PINFOLD_PHASE_START;
}

void clock_opened(struct pinfold_pool *pool, struct template *template)
{
    if (template->open)
        return;
    template->open = true;
    struct call *call;
    if (is_open(pool))
        TAILQ_FOREACH (call, &pool->waiting, link)
            clock_wait(pool, call);
}

void clock_closed(struct pinfold_pool *pool)
{
    struct call *call;
    TAILQ_FOREACH (call, &pool->waiting, link)
        clock_wait(pool, call);
}

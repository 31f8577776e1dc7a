/* template.h - a template, the guard above it, and what the two report. Under the pool's lock.
 *
 *   OPENING --READY--> SERVING --renewed--> RETIRING --its last worker is gone--> ENDING --guard gone--> freed
 *      |                  |                    |                                   ^
 *      '------------------'--------------------'--(end-of-file, FAILED, stuck, closing)
 *
 * A template that dies is replaced by the next one; calls that its workers ran are lost, calls that wait go on
 * waiting. One that never got ready is not tried again by itself: it would fail again.
 */
#ifndef PINFOLD_TEMPLATE_H
#define PINFOLD_TEMPLATE_H

#include <pinfold.h>
#include <sys/queue.h>
#include <sys/types.h>

#include "base/deadline.h"
#include "base/output.h"
#include "pool/worker.h"

enum template_state {
    TEMPLATE_OPENING,
    TEMPLATE_SERVING,
    TEMPLATE_RETIRING, /* the next generation serves; calls that run here finish */
    TEMPLATE_ENDING
};

#define TEMPLATE_STUCK_NS (5 * INT64_C(1000000000)) /* an ending guard that is not gone after so long is killed */
#define TEMPLATE_LOOK_NS (2 * INT64_C(1000000))     /* between two looks for what both left that were to sweep */
#define TEMPLATE_LOG_BYTES 65536u
#define TEMPLATE_REST_NS (100 * INT64_C(1000000))
#define TEMPLATES_BARREN 3u /* so many in a row that end without having made a worker are a failure to start */

struct template
{
    uint64_t number; /* its handle */
    enum template_state state;
    TAILQ_ENTRY(template) link; /* among the pool's templates */
    TAILQ_HEAD(, worker) workers;
    TAILQ_HEAD(, call) sweeping; /* calls that wait for its sweep of what their workers left */
    struct deadline timer;       /* OPENING: too slow; SERVING: its rest is over; ENDING: stuck */
    struct output log;           /* what the two print: kept for the sentence about a failure */
    int lifeline;                /* to the guard; its end-of-file tells the guard to end */
    int control;                 /* to the template */
    int log_pipe;                /* read end */
    pid_t guard;                 /* our child */
    int guard_pidfd;
    uint64_t mark;      /* what it and all below it carry (sweep.h) */
    bool swept;         /* the guard ended by itself, and so left nothing */
    int64_t look_until; /* for what carries the mark; 0: not looked yet */
    int64_t opened;     /* when it was started */
    bool ready;         /* it has said so */
    bool loaded;        /* a worker that was spawned has */
    bool open;          /* deadlines run (clock.h) */
    pid_t pid;          /* of the template; 0 until the guard told */
    int pidfd;
    uint32_t starting; /* workers asked for and not reported yet */
    bool rests;        /* a worker could not be started; none is asked for until the timer runs out */
};

/* Starts a guard, and it a template with this command, which takes the place that `slot` points to: &pool->serving, or
 * &pool->renewal.template. Errors are those of the fork and of a missing guard. */
int template_open(struct pinfold_pool *pool, char **argv, struct template **slot, pinfold_error *error);

/* Takes the frames that wait in the template's, or in the guard's socket. */
void template_receive(struct pinfold_pool *pool, struct template *template, int socket);

/* Closes what came from one of its workers and may be of any size: the guard does it, if it can be given the descriptor, so
 * that nobody here waits. */
void template_close(const struct template *template, int *fd);

/* Takes what it printed. */
void template_drain(struct pinfold_pool *pool, struct template *template);

/* Begins its end: its workers are lost, the guard is told to sweep. `text` (of `size` bytes) says why it could
 * not start; NULL: it had been serving, or the pool closes. What served is replaced; a renewal is dropped. */
void template_end(struct pinfold_pool *pool, struct template *template, const char *text, size_t size);

/* It died, or hangs: as template_end, and whether it counts as one that could not start is found out here. */
void template_lost(struct pinfold_pool *pool, struct template *template);

/* Another one serves now: its idle workers are let go, and with the last that is busy it ends. */
void template_retire(struct pinfold_pool *pool, struct template *template);
void template_end_retired(struct pinfold_pool *pool); /* the last was gone */

/* Asks it for no worker for a while. */
void template_rest(struct pinfold_pool *pool, struct template *template);

/* Its timer ran out. */
void template_due(struct pinfold_pool *pool, struct template *template);

/* Its log, its guard's end or its own may have come: takes note, and frees it when both processes are gone, and all that
 * they were to sweep. */
void template_look(struct pinfold_pool *pool, struct template *template);

/* In a fork of the process that opened the pool: closes what the copy holds of templates and workers; and frees it. */
void template_let_go_all(struct pinfold_pool *pool);
void template_abandon_all(struct pinfold_pool *pool);

#endif

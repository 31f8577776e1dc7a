/* SPDX-License-Identifier: Apache-2.0 */
/* template.h - a template, the guard above it, and what the two report. Under the pool's lock.
 *
 *   OPENING --READY--> SERVING --renewed--> RETIRING --its last worker is gone--> ENDING --guard gone--> freed
 *      |                  |                    |                                   ^
 *      '------------------'--------------------'--(end-of-file, FAILED, stuck, closing)
 *
 * A template that dies is replaced by the next one. Calls that its workers ran are lost; waiting calls keep
 * waiting. A template that never got ready is not retried without a new call, since it would fail again.
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

#define TEMPLATE_STUCK_NS (5 * INT64_C(1000000000)) /* after so long an ending guard is killed */
#define TEMPLATE_LOOK_NS (2 * INT64_C(1000000))     /* between two sweeps for what guard and template left */
#define TEMPLATE_LOG_BYTES 65536u
#define TEMPLATE_REST_NS (100 * INT64_C(1000000))
#define TEMPLATES_BARREN 3u /* most templates in a row that may end without having made a worker */

struct template
{
    uint64_t number; /* its handle */
    enum template_state state;
    TAILQ_ENTRY(template) link; /* among the pool's templates */
    TAILQ_HEAD(, worker) workers;
    TAILQ_HEAD(, call) sweeping; /* calls that wait until their workers' remains are swept */
    struct deadline timer;       /* OPENING: too slow; SERVING: its rest is over; ENDING: stuck */
    struct output log;           /* output of guard and template, for the text of a failure */
    int lifeline;                /* to the guard, which ends at its end-of-file */
    int control;                 /* to the template */
    int log_pipe;                /* read end */
    pid_t guard;                 /* our child */
    int guard_pidfd;
    uint64_t mark;      /* carried by it and everything below it (sweep.h) */
    bool swept;         /* the guard ended by itself, so nothing is left behind */
    int64_t look_until; /* for carriers of the mark; 0: not looked yet */
    int64_t opened;     /* when it was started */
    bool ready;         /* it sent READY */
    bool loaded;        /* in spawn mode: a worker has loaded */
    bool open;          /* deadlines run (clock.h) */
    pid_t pid;          /* of the template; 0 until the guard reported it */
    int pidfd;
    uint32_t starting; /* workers asked for and not reported yet */
    bool rests;        /* a worker could not be started; ask for none until the timer runs out */
};

/* Start a guard, and through it a template with this command. Stores the template in `*slot`: &pool->serving or
 * &pool->renewal.template. Return 0, or a negative errno with the sentence in *error. */
int template_open(struct pinfold_pool *pool, char **argv, struct template **slot, pinfold_error *error);

/* Take the frames that wait in the template's or the guard's socket. */
void template_receive(struct pinfold_pool *pool, struct template *template, int socket);

/* Close a descriptor that came from one of its workers and may be of any size. The guard closes it if it can be
 * sent there, so that nobody here waits. */
void template_close(const struct template *template, int *fd);

/* Take the template's log. */
void template_drain(struct pinfold_pool *pool, struct template *template);

/* Begin its end: its workers are lost, the guard has to sweep. `text` (of `size` bytes) says why it could not
 * start; NULL: it served, or the pool closes. A serving template is replaced; a renewal is dropped. */
void template_end(struct pinfold_pool *pool, struct template *template, const char *text, size_t size);

/* As template_end, for a template that died or hangs. Decides whether that counts as a failure to start. */
void template_lost(struct pinfold_pool *pool, struct template *template);

/* Retire a template that another one has replaced: let its idle workers go. It ends with its last busy worker. */
void template_retire(struct pinfold_pool *pool, struct template *template);
void template_end_retired(struct pinfold_pool *pool); /* end those without workers */

/* Ask this template for no worker for a while. */
void template_rest(struct pinfold_pool *pool, struct template *template);

/* Handle a readable descriptor of the template `object` in the pool `context` (handle.h, ready). */
void template_ready(void *context, void *object, unsigned source);

/* Handle its timer. */
void template_due(struct pinfold_pool *pool, struct template *template);

/* Its log, the guard's end or its own may have arrived: handle them. Free it when both processes are gone, and
 * all that they had to sweep. */
void template_look(struct pinfold_pool *pool, struct template *template);

/* In a fork of the process that opened the pool: close the copy's descriptors of templates and workers; free
 * them. */
void template_close_copies(struct pinfold_pool *pool);
void template_abandon_all(struct pinfold_pool *pool);

#endif

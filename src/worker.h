/* worker.h - the life of a worker, as the pool sees it.
 *
 * The whole life is the table worker_life in worker.c. The template forks, reaps and reports; the pool kills, by
 * pidfd, and believes in a death only when the template reports it or dies itself. Under the pool's lock.
 *
 *                FORKED, READY          HAND
 *    STARTING -------------------> IDLE ------> BUSY
 *        |                          |  <------   |
 *        | RETIRE            RETIRE |   RETURN   | RETIRE
 *        '----------------------> ENDING <-------'
 *                                   | EXITED, LOST (from every state)
 *                                   v
 *                                 GONE
 */
#ifndef PINFOLD_WORKER_H
#define PINFOLD_WORKER_H

#include <pinfold.h>
#include <stdbool.h>
#include <sys/queue.h>
#include <sys/types.h>

#include "ahead.h"
#include "deadline.h"
#include "frame.h"
#include "output.h"
#include "usage.h"

enum worker_state {
    WORKER_STARTING, /* asked for; spawned ones until they are READY */
    WORKER_IDLE,
    WORKER_BUSY,
    WORKER_ENDING, /* killed, or told to go; the template has not reported its exit yet */
    WORKER_GONE,
    WORKER_STATES
};

enum worker_event {
    WORKER_FORKED,  /* the template made it, and it can take a call */
    WORKER_SPAWNED, /* the template made it, and it has yet to load */
    WORKER_READY,   /* it has loaded */
    WORKER_HAND,    /* it gets a call */
    WORKER_RETURN,  /* it answered and may be used again */
    WORKER_RETIRE,  /* it is wanted no more */
    WORKER_EXITED,  /* the template reaped it, or could not make it */
    WORKER_LOST,    /* the template is gone */
    WORKER_EVENTS
};

enum worker_action {
    WORKER_OFFER = 1,  /* put it on the idle list */
    WORKER_TAKE = 2,   /* take it off */
    WORKER_KILL = 4,   /* SIGKILL */
    WORKER_HANGUP = 8, /* close its channel: it is not known well enough to be killed */
    WORKER_FORGET = 16 /* close all of it and free it */
};

struct worker_step {
    uint8_t next;
    uint8_t actions;
};

extern const struct worker_step worker_life[WORKER_STATES][WORKER_EVENTS];

#define WORKER_STUCK_NS                                                                                           \
    (10 * INT64_C(1000000000)) /* a START, or a death, not reported after so long: the template hangs */
#define WORKER_CLOSED_NS (100 * INT64_C(1000000)) /* a closed channel without a death: killed after so long */
#define LOADING_ERR_BYTES                                                                                         \
    2048                     /* of what a worker prints on stderr before it is ready, kept to tell why it ended */
#define WORKERS_STILLBORN 3u /* so many in a row that end before they are of any use: no more at once */

enum { WORKER_OUT, WORKER_ERR, WORKER_STREAMS };

struct call;
struct template;

struct worker {
    uint64_t number;                       /* its handle, and its name in frames */
    char id[PINFOLD_WORKER_ID_LENGTH + 4]; /* its name for people */
    struct template *template;
    TAILQ_ENTRY(worker) link; /* among its template's workers */
    TAILQ_ENTRY(worker) idle; /* among the idle ones */
    struct ahead ahead;
    struct deadline timer; /* STARTING, ENDING: the template hangs; IDLE: let go; BUSY, channel closed: kill */
    struct call *call;     /* BUSY: whose; ENDING: until the call is told */
    struct output output[WORKER_STREAMS];
    int pipes[WORKER_STREAMS]; /* read ends; -1: end-of-file was seen */
    int printed;               /* what waits to come through them (printed.h); -1: there is none */
    int channel;
    int pidfd; /* -1 until STARTED */
    pid_t pid; /* 0 until STARTED */
    uint8_t state;
    bool handed_last;      /* nothing was sent to it after its present call */
    bool unread;           /* it died with the last message that it was sent unread */
    bool answered;         /* its call has a result, which is told when its channel is empty */
    bool unmeasured;       /* what that has used, its end will tell */
    bool ready;            /* it has loaded, if it was spawned */
    bool quiet;            /* that call printed nothing, and what is in the pipes is another's */
    uint32_t answer_flags; /* of that RESULT */
    uint32_t calls;        /* that it has finished */
    uint64_t inherited_kb;
    uint32_t place;           /* 1 ..; 0: it has none */
    struct usage_waits waits; /* before its call; with PINFOLD_PLACES */
    uint64_t user_us, sys_us; /* before its call: all, or of the calls that it finished, as it told */
    char exit_reason[64];     /* for the event of its exit; "": it died by itself */
};

/* Asks the template for a worker. */
int worker_start(struct pinfold_pool *pool, struct template *template);

/* The one place where a worker's state changes. */
void worker_step(struct pinfold_pool *pool, struct worker *worker, enum worker_event event);

/* WORKER_RETIRE, noting why, unless it is ending already. */
void worker_retire(struct pinfold_pool *pool, struct worker *worker, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* An idle one's end was seen. */
void worker_idle_died(struct pinfold_pool *pool, struct worker *worker);

/* Sends it the call. -EPIPE: it is dead and will be reported so; the call is untouched. */
int worker_hand(struct pinfold_pool *pool, struct worker *worker, struct call *call);
/* The frame alone, with these of enum frame_call's flags. */
int worker_send(struct worker *worker, const struct call *call, uint32_t flags);
/* Whether it has taken its present call, which was not handed ahead, out of its socket. */
bool worker_has_taken(const struct worker *worker);
/* It is at this call from now on. */
void worker_begin(struct pinfold_pool *pool, struct worker *worker, struct call *call);
/* Nothing that comes from it can be used any more, because of `code`, nor what came and is not told yet. */
void worker_damaged(struct pinfold_pool *pool, struct worker *worker, int code, const char *what);

/* Asks it where its program stands: it answers with a STACK frame, if it can. */
void worker_ask(const struct worker *worker);

/* What it has used so far, or with `tree` it and all below it. False: it is dead, and its pid may be another's, or about to
 * be. */
bool worker_usage(const struct worker *worker, bool tree, struct usage *ret_usage);

/* Takes the frames that wait in its channel. */
void worker_receive(struct pinfold_pool *pool, struct worker *worker);

/* Takes what waits in its stdout or stderr. */
void worker_drain(struct pinfold_pool *pool, struct worker *worker, int stream, bool all);

/* Its timer ran out: idle for too long, closed its channel and lives on, or killed and never reported. */
void worker_due(struct pinfold_pool *pool, struct worker *worker);

/* Closes and frees it, whatever it was. */
void worker_forget(struct pinfold_pool *pool, struct worker *worker);

/* The template's reports about it. */
void worker_started(struct pinfold_pool *pool, struct worker *worker, struct frame *frame);
void worker_exited(struct pinfold_pool *pool, struct worker *worker, const struct frame_exited *report);
void worker_lost(struct pinfold_pool *pool, struct worker *worker);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* worker.h - the life of a worker, as the pool sees it, under the pool's lock.
 *
 * The whole life is the table worker_life in worker.c. The template forks, reaps and reports. The pool kills by
 * pidfd, and considers a worker dead only when its template reports that or dies itself.
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

#include "base/deadline.h"
#include "base/output.h"
#include "pool/ahead.h"
#include "process/usage.h"
#include "wire/frame.h"

enum worker_state {
    WORKER_STARTING, /* asked for; spawned ones until they are READY */
    WORKER_IDLE,
    WORKER_BUSY,
    WORKER_ENDING, /* killed, or cut off; the template has not reported its exit yet */
    WORKER_GONE,
    WORKER_STATES
};

enum worker_event {
    WORKER_FORKED,  /* the template forked it, and it can take a call */
    WORKER_SPAWNED, /* the template started it, and it has yet to load */
    WORKER_READY,   /* it has loaded */
    WORKER_HAND,    /* it gets a call */
    WORKER_RETURN,  /* it sent the result and may be used again */
    WORKER_RETIRE,  /* it is not wanted any more */
    WORKER_EXITED,  /* the template reaped it, or could not make it */
    WORKER_LOST,    /* the template is gone */
    WORKER_EVENTS
};

enum worker_action {
    WORKER_OFFER = 1,  /* put it on the idle list */
    WORKER_TAKE = 2,   /* take it off the idle list */
    WORKER_KILL = 4,   /* SIGKILL */
    WORKER_HANGUP = 8, /* close its channel: without a pidfd it cannot be killed */
    WORKER_FORGET = 16 /* close and free all of it */
};

struct worker_step {
    uint8_t next;
    uint8_t actions;
};

extern const struct worker_step worker_life[WORKER_STATES][WORKER_EVENTS];

#define WORKER_STUCK_NS                                                                                           \
    (10 * INT64_C(1000000000)) /* a START, or a death, not reported after this time: the template hangs */
#define WORKER_CLOSED_NS (100 * INT64_C(1000000)) /* from a closed channel without a death to the kill */
#define LOADING_ERR_BYTES                                                                                         \
    2048 /* of what a worker prints on stderr before it is ready, kept to report why it ended */
#define WORKERS_STILLBORN 3u /* in a row that ended before any use: a pause */

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
    struct call *call;     /* BUSY: its call; ENDING: until the result is delivered */
    struct output output[WORKER_STREAMS];
    int pipes[WORKER_STREAMS]; /* read ends; -1: end-of-file was seen */
    int printed;               /* the printed buffer (printed.h); -1: none */
    int peer;
    int pidfd; /* -1 until STARTED */
    pid_t pid; /* 0 until STARTED */
    uint8_t state;
    bool handed_last;      /* nothing was sent to it after its present call */
    bool unread;           /* it died with the last message sent to it unread */
    bool answered;         /* its call has a result, delivered when the channel is empty */
    bool unmeasured;       /* its exit will report what that call used */
    bool ready;            /* spawned and loaded */
    bool quiet;            /* that call printed nothing: the pipes hold the output of others */
    uint32_t answer_flags; /* of that RESULT */
    uint32_t calls;        /* calls that it has finished */
    uint64_t inherited_kb;
    uint32_t cpu_slot;        /* 1 ..; 0: it has none */
    struct usage_waits waits; /* before its call; with PINFOLD_CPU_SLOTS */
    uint64_t user_us, sys_us; /* before its call: all, or as reported with its finished calls */
    char exit_reason[64];     /* for the event of its exit; "": it died by itself */
};

/* Ask the template for a worker. */
int worker_start(struct pinfold_pool *pool, struct template *template);

/* Apply an event: the only function that changes a worker's state. */
void worker_step(struct pinfold_pool *pool, struct worker *worker, enum worker_event event);

/* Raise WORKER_RETIRE with this reason, unless the worker is ending already. */
void worker_retire(struct pinfold_pool *pool, struct worker *worker, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Handle the death of an idle worker. */
void worker_idle_died(struct pinfold_pool *pool, struct worker *worker);

/* Hand the call to the worker. A failure leaves the call untouched. -EPIPE: the worker is dead and will be
 * reported so. */
int worker_hand(struct pinfold_pool *pool, struct worker *worker, struct call *call);
/* Send the frame alone, with these flags of struct pinfold_frame_call. */
int worker_send(struct worker *worker, const struct call *call, uint32_t flags);
/* Return whether the worker has read its present call, which was not handed ahead, from its socket. */
bool worker_has_taken(const struct worker *worker);
/* Make the call the worker's present one. */
void worker_begin(struct pinfold_pool *pool, struct worker *worker, struct call *call);
/* Give up on the worker because of `code`: ignore later frames and drop any undelivered result. */
void worker_damaged(struct pinfold_pool *pool, struct worker *worker, int code, const char *what);

/* Ask for the program's stack. The worker answers with a STACK frame, if it can. */
void worker_ask(const struct worker *worker);

/* Ask the worker to end its call, which brings files back, and to send the result. */
int worker_stop(const struct worker *worker);

/* Read what the worker has used so far, or with `tree` the worker and all below it. False: it is dead, and its
 * pid may be another process's, now or soon. */
bool worker_usage(const struct worker *worker, bool tree, struct usage *ret_usage);

/* Take the frames that wait in its channel. */
void worker_receive(struct pinfold_pool *pool, struct worker *worker);

/* Take what waits in its stdout or stderr. */
void worker_drain(struct pinfold_pool *pool, struct worker *worker, int stream, bool all);

/* Handle a readable descriptor of the worker `object` in the pool `context` (handle.h, ready). */
void worker_ready(void *context, void *object, unsigned source);

/* Handle its timer: idle too long, alive with its channel closed, or killed and never reported. */
void worker_due(struct pinfold_pool *pool, struct worker *worker);

/* Close and free the worker in any state. */
void worker_forget(struct pinfold_pool *pool, struct worker *worker);

/* Handle the template's reports about it. */
void worker_started(struct pinfold_pool *pool, struct worker *worker, struct frame *frame);
void worker_exited(struct pinfold_pool *pool, struct worker *worker, const struct pinfold_frame_exited *report);
void worker_lost(struct pinfold_pool *pool, struct worker *worker);

#endif

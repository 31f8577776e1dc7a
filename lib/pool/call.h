/* SPDX-License-Identifier: Apache-2.0 */
/* call.h - the life of a call, from its submit until its result is taken.
 *
 * The whole life is the table call_life in call.c: state x event -> next state, actions, and the outcome if that
 * step decides it. Everything here runs under the pool's lock.
 *
 *             HANDED          DUE, SPENT       STACK, DUE
 *   QUEUED ----------> RUNNING ---------> LATE ----------> ENDING ----------> DONE
 *     |                   |    timeout           killed      ^    EXITED, DUE  ^
 *     |                   '-- if processes are left behind ----'               |
 *     '-- DUE, CANCEL, REFUSED ---------------- RESULT, EXITED, CANCEL, LOST --'
 *
 * A call may also wait at a worker: QUEUED -- OFFER --> AHEAD -- HANDED --> RUNNING. RECALL leads back from both.
 * One that brings files back is stopped before the kill: LATE -- COLLECT --> COLLECTING -- RESULT, DUE --> ENDING.
 */
#ifndef PINFOLD_CALL_H
#define PINFOLD_CALL_H

#include <pinfold.h>
#include <stdbool.h>
#include <sys/queue.h>

#include "base/deadline.h"
#include "pool/clock.h"
#include "process/limit.h"
#include "wire/frame.h"

enum call_state {
    CALL_QUEUED,     /* waits for a worker */
    CALL_AHEAD,      /* waits at a worker that runs another call (ahead.h) */
    CALL_RUNNING,    /* a worker has it */
    CALL_LATE,       /* a limit was passed; its worker was asked for the stack, and has a moment */
    CALL_COLLECTING, /* its worker was asked to end it and to send the files, and has a while */
    CALL_ENDING,     /* the outcome is certain; its processes are being killed and swept */
    CALL_DONE,       /* its result waits to be taken */
    CALL_STATES
};

enum call_event {
    CALL_OFFER,       /* it was handed ahead to a busy worker */
    CALL_RECALL,      /* no worker has begun it or will: it waits again */
    CALL_HANDED,      /* a worker got it */
    CALL_RESULT,      /* the worker sent the result, and no process is left of the call */
    CALL_RESULT_TREE, /* the worker sent the result, but the call left processes behind */
    CALL_STACK,       /* the worker sent the program's stack */
    CALL_DUE,         /* the deadline has passed; later: a bounded wait is over */
    CALL_SPENT,       /* the program's own time is used up (clock.h) */
    CALL_COLLECT,     /* instead of STACK or DUE, where a call that is late brings files back */
    CALL_BROKEN,      /* the worker's channel was closed, or carried a damaged frame */
    CALL_EXITED,      /* the worker is gone, with everything it started */
    CALL_EXITED_TREE, /* the worker is gone; what it started is being swept */
    CALL_LOST,        /* the template is gone, and the worker with it */
    CALL_OVER,        /* it was seen to pass a limit */
    CALL_CANCEL,      /* the caller gave up */
    CALL_REFUSED,     /* the pool cannot run it */
    CALL_EVENTS
};

enum call_action {
    CALL_ASK = 1,      /* send the ask signal */
    CALL_GRACE = 2,    /* set the timer to the grace period */
    CALL_KILL = 4,     /* kill the worker now */
    CALL_PATIENCE = 8, /* wait for the sweep, but for a bounded time */
    CALL_FINISH = 16,  /* deliver the result */
    CALL_STOP = 32     /* ask the worker for the result of a stopped call, and wait for a bounded time */
};

/* The outcome of a step that does not determine it: undecided, or the evidence in call->verdict, which the
 * function that raised the event has put there. */
enum { CALL_UNDECIDED = 0xF0, CALL_BY_EVIDENCE = 0xF1 };

struct call_step {
    uint8_t next;
    uint8_t actions;
    uint8_t outcome;
};

extern const struct call_step call_life[CALL_STATES][CALL_EVENTS];

#define CALL_GRACE_NS (45 * INT64_C(1000000)) /* how long a kill may wait for the stack */
#define CALL_GRACE_OVER_NS LIMIT_SAMPLE_NS    /* the same for a call with too much memory or too many processes */
#define CALL_COLLECT_NS (2000 * INT64_C(1000000)) /* how long a kill may wait for the files */
#define CALL_PATIENCE_NS (5 * INT64_C(1000000))   /* how long the result may wait for a kill's sweep */
#define CALL_SWEEP_NS (1000 * INT64_C(1000000))   /* the same for a call that ended by itself */

#define CALL_RETURNS 4u /* most workers that may die before they begin one call */

struct worker;
struct pinfold_queue;

struct call {
    uint64_t id;
    uint64_t order; /* number of the submit: 1 .. */
    void *tag;
    struct pinfold_queue *queue; /* NULL: its queue was closed; the result is dropped */
    TAILQ_ENTRY(call) link;      /* waiting, in its worker's calls ahead, or in its queue's results */
    struct deadline timer;
    struct deadline sample; /* next look at its use; only with limits, while it runs */
    struct limits limits;
    struct limit_watch watch;
    struct worker *worker; /* its worker, from HANDED until that is gone or free again */
    struct waiter *waiter; /* the thread that sleeps in pinfold_pool_wait for it */
    struct result *result; /* under construction; complete when DONE */
    void *payload;         /* the inline request, until the call ends; or NULL */
    uint64_t payload_size;
    int spill;           /* the request's spill, until the call ends; or -1 */
    uint32_t turn;       /* on the worker's slate, if `offered` */
    bool offered;        /* it was handed ahead */
    bool start_reported; /* the event of its start was queued */
    bool stopped;    /* its worker answered after it was asked to stop, and left the printed buffer as it was */
    bool answered;   /* its worker sent the result: its output is written, its use is reported */
    bool exits;      /* that its process exits with status 0 is the result (PINFOLD_EXITS) */
    bool collects;   /* it brings files back (PINFOLD_COLLECTS) */
    uint8_t returns; /* workers that died before they began it */
    uint8_t state;
    uint8_t outcome; /* CALL_UNDECIDED until decided */
    uint8_t verdict; /* outcome according to the event at hand */
    bool declined;   /* its worker reported that it cannot start; the verdict follows from that */
    uint64_t output_bytes;
    uint64_t printed_bytes; /* 0: no bound */
    uint64_t result_bytes;
    uint64_t file_bytes;
    int64_t submitted; /* CLOCK_MONOTONIC */
    int64_t started;   /* CLOCK_MONOTONIC; 0: not yet */
    struct clocks clocks;
    struct template *template; /* the template whose `sweeping` it is in, linked by `swept` */
    TAILQ_ENTRY(call) swept;
    uint64_t sweep_of; /* number of the worker whose remains are swept */
};

/* Make a call from the caller's request, which is copied or spilled. */
int call_new(struct pinfold_pool *pool, const pinfold_call *asked, struct call **ret_call, pinfold_error *error);

/* Examine what the call uses, and end it if that is too much. */
void call_sample(struct pinfold_pool *pool, struct call *call);

/* Apply an event: the only function that changes a call's state. */
void call_step(struct pinfold_pool *pool, struct call *call, enum call_event event);

/* Make a call wait again that no worker has begun or will begin. The worker must have let go of it. */
void call_return(struct pinfold_pool *pool, struct call *call);

/* Raise DUE or CANCEL after finding out what the worker runs, and so which call that hits. False: the call had
 * an outcome by then, or is gone. */
bool call_end(struct pinfold_pool *pool, struct call *call, enum call_event event);

/* Record what the event about to be raised says of the call. The verdict is the outcome if the step goes by
 * evidence. The sentence (a printf format) counts if that step decides. */
void call_evidence(struct call *call, uint32_t verdict, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Return the outcome for a result that could not be taken because of `code`: the worker's fault or this
 * process's. */
uint32_t call_blame(int code);

/* As call_evidence, for a call that had this much memory, which was too much. */
void call_evidence_memory(struct call *call, uint64_t bytes);

/* Note what the call used so far. The most processor time noted stays, and the highest peak. `peak_kb` includes
 * inherited memory. */
void call_usage(struct call *call, uint64_t user_us, uint64_t sys_us, uint64_t peak_kb);

/* Record how long the call waited for CPUs, if the pool reports that and the worker lives. */
void call_waits(const struct pinfold_pool *pool, struct call *call);

/* As call_usage, from the worker's totals. */
void call_usage_total(struct call *call, uint64_t user_us, uint64_t sys_us, uint64_t peak_kb);

/* Take what the worker's pipes and its printed buffer hold. */
void call_take_printed(struct pinfold_pool *pool, struct call *call);

/* Return whether a stream of what was taken is larger than allowed, and record that as evidence. */
bool call_printed_too_much(struct call *call);

/* Take what the call printed, and separate the call from its worker. */
void call_detach(struct pinfold_pool *pool, struct call *call);

/* Free a call that is in no list, with its result if that was not taken. */
void call_free(struct pinfold_pool *pool, struct call *call);

#endif

/* call.h - the life of a call, from its submit to the moment its result is taken.
 *
 * The whole life is the table call_life in call.c: state x event -> next state, what to do, and the outcome where
 * that step decides it. Everything here is done under the pool's lock.
 *
 *             HANDED          DUE, SPENT       STACK, DUE
 *   QUEUED ----------> RUNNING ---------> LATE ----------> ENDING ----------> DONE
 *     |                   |    timeout           killed      ^    EXITED, DUE  ^
 *     |                   '-- what leaves processes behind --'                 |
 *     '-- DUE, CANCEL, REFUSED ---------------- RESULT, EXITED, CANCEL, LOST --'
 *
 * A call may wait at a worker, too: QUEUED -- OFFER --> AHEAD -- HANDED --> RUNNING. RECALL leads back from both.
 */
#ifndef PINFOLD_CALL_H
#define PINFOLD_CALL_H

#include <pinfold.h>
#include <stdbool.h>
#include <sys/queue.h>

#include "clock.h"
#include "deadline.h"
#include "frame.h"
#include "limit.h"

enum call_state {
    CALL_QUEUED,  /* waits for a worker */
    CALL_AHEAD,   /* waits at a worker that is at another call (ahead.h) */
    CALL_RUNNING, /* a worker has it */
    CALL_LATE,    /* its time, or another limit, is over; its worker was asked where it stands, and has a moment to
                     answer */
    CALL_ENDING,  /* the outcome is certain; its processes are being killed and swept */
    CALL_DONE,    /* its result waits to be taken */
    CALL_STATES
};

enum call_event {
    CALL_OFFER,       /* it was handed ahead to a worker that is at another call */
    CALL_RECALL,      /* no worker has begun it, nor will: it waits as before */
    CALL_HANDED,      /* a worker got it */
    CALL_RESULT,      /* the worker answered, and nothing is left of the call */
    CALL_RESULT_TREE, /* the worker answered, but the call left processes behind */
    CALL_STACK,       /* the worker told where the program stands */
    CALL_DUE,         /* the deadline has passed; later, a bounded wait is over */
    CALL_SPENT,       /* the program's own time has passed (clock.h) */
    CALL_BROKEN,      /* the worker's channel was closed, or carried a damaged frame */
    CALL_EXITED,      /* the worker is gone, with everything it started */
    CALL_EXITED_TREE, /* the worker is gone; what it started is being swept */
    CALL_LOST,        /* the template is gone, and the worker with it */
    CALL_OVER,        /* it was seen to use more than it may */
    CALL_CANCEL,      /* the caller gave up */
    CALL_REFUSED,     /* the pool cannot run it */
    CALL_EVENTS
};

enum call_action {
    CALL_ASK = 1,      /* send the ask signal */
    CALL_GRACE = 2,    /* come back after CALL_GRACE_NS */
    CALL_KILL = 4,     /* kill the worker now */
    CALL_PATIENCE = 8, /* wait for the sweep, but come back after a bounded time */
    CALL_FINISH = 16   /* tell the caller */
};

/* Where a step does not say the outcome by itself: it leaves it open, or whoever raised the event has put what the
 * evidence says into call->verdict. */
enum { CALL_UNDECIDED = 0xF0, CALL_BY_EVIDENCE = 0xF1 };

struct call_step {
    uint8_t next;
    uint8_t actions;
    uint8_t outcome;
};

extern const struct call_step call_life[CALL_STATES][CALL_EVENTS];

#define CALL_GRACE_NS (45 * INT64_C(1000000)) /* how long the answer about the stack may hold up a kill */
#define CALL_GRACE_OVER_NS LIMIT_SAMPLE_NS    /* the same of a call with too much memory, or too many processes */
#define CALL_PATIENCE_NS (5 * INT64_C(1000000)) /* how long a kill's sweep may hold up the news of it */
#define CALL_SWEEP_NS (1000 * INT64_C(1000000)) /* the same for a call that ended by itself */

#define CALL_RETURNS 4u /* so many workers may die before they have begun a call */

struct worker;
struct pinfold_queue;

struct call {
    uint64_t id;
    uint64_t order; /* of submits: 1 .. */
    void *tag;
    struct pinfold_queue *queue; /* NULL: its queue was closed; the result is dropped */
    TAILQ_ENTRY(call) link;      /* in the waiting line, its worker's of calls ahead, or its queue's of results */
    struct deadline timer;
    struct deadline sample; /* when its use is looked at next; only with limits, while it runs */
    struct limits limits;
    struct limit_watch watch;
    struct worker *worker; /* that has it, from HANDED until the worker is gone or free again */
    struct waiter *waiter; /* the thread that sleeps in pinfold_pool_wait for it */
    struct result *result; /* being built; whole when DONE */
    void *payload;         /* the request, inline, until the call ends; or NULL */
    uint64_t payload_size;
    int spill;       /* the request's spill, until it is handed to a worker; or -1 */
    uint32_t turn;   /* on its worker's slate, if `offered` */
    bool offered;    /* it was handed ahead */
    bool told;       /* the event of its start was */
    bool answered;   /* its worker did: what was printed is written, and what was used is told */
    uint8_t returns; /* workers that died before they had begun it */
    uint8_t state;
    uint8_t outcome; /* CALL_UNDECIDED until it is */
    uint8_t verdict; /* what the event at hand would make of it */
    bool declined;   /* its worker said that it cannot start, and what came of that is the verdict */
    uint64_t output_bytes;
    uint64_t result_bytes;
    uint64_t file_bytes;
    int64_t submitted; /* CLOCK_MONOTONIC */
    int64_t started;   /* CLOCK_MONOTONIC; 0: not yet */
    struct clocks clocks;
    struct template *template; /* whose line of calls that wait for a sweep it is in, by `swept` */
    TAILQ_ENTRY(call) swept;
    uint64_t sweep_of; /* the worker, by its number, whose remains are swept there */
};

/* Makes a call out of what the caller gave; the request is copied or spilled. */
int call_new(struct pinfold_pool *pool, const pinfold_call *asked, struct call **ret_call, pinfold_error *error);

/* Looks at what it uses, and ends it if that is too much. */
void call_sample(struct pinfold_pool *pool, struct call *call);

/* The one place where a call's state changes. */
void call_step(struct pinfold_pool *pool, struct call *call, enum call_event event);

/* No worker has begun it, nor will the one that has it: it waits as before, and the worker has let go of it. */
void call_return(struct pinfold_pool *pool, struct call *call);

/* Raises DUE or CANCEL, once it is certain what its worker is at, and so whom that hits. False: it had an outcome by
 * then, or is gone. */
bool call_end(struct pinfold_pool *pool, struct call *call, enum call_event event);

/* Notes what the event that is about to be raised says of the call: the outcome where the step goes by evidence,
 * and the sentence (a printf format), which counts if that step decides. */
void call_evidence(struct call *call, uint32_t verdict, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Whose fault it is, in an outcome, that nothing came of a result for which `code` stands: the worker's, or ours. */
uint32_t call_blame(int code);

/* The same: it had so much memory, and that was too much. */
void call_evidence_memory(struct call *call, uint64_t bytes);

/* Notes what the call used so far: the most processor time that was noted stays, and the highest peak. `peak_kb` includes
 * what was inherited. */
void call_usage(struct call *call, uint64_t user_us, uint64_t sys_us, uint64_t peak_kb);

/* Notes what the call has waited for, where the pool tells that, while its worker lives. */
void call_waits(const struct pinfold_pool *pool, struct call *call);

/* As call_usage, of all that its worker ever used. */
void call_usage_total(struct call *call, uint64_t user_us, uint64_t sys_us, uint64_t peak_kb);

/* Takes what the worker's pipes hold, and lets go of the worker. */
void call_detach(struct pinfold_pool *pool, struct call *call);

/* Frees a call that no list holds any more, with its result if that is still there. */
void call_free(struct pinfold_pool *pool, struct call *call);

#endif

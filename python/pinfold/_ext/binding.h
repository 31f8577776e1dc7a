/* binding.h - what the files of the binding share. */
#ifndef PINFOLD_BINDING_H
#define PINFOLD_BINDING_H

#include "../_wire/segment.h"

#include <pinfold.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

/* The module's state: its types, and Pool.identify()'s function, or NULL. */
struct binding {
    PyObject *identity;
    PyTypeObject *pool;
    PyTypeObject *queue;
    PyTypeObject *result;
    PyTypeObject *segment;
    PyTypeObject *metrics; /* figures.c */
    PyTypeObject *waits;
    PyTypeObject *event;
    PyTypeObject *memory;
};

/* pinfold._ext._pool.Result */
struct result {
    PyObject ob_base;
    pinfold_result *result; /* owned; NULL while it is kept in reserve */
    TAILQ_ENTRY(result) link;
    struct result *next;             /* in the reserve */
    struct undelivered *undelivered; /* in which it stands; else NULL */
    unsigned long taker;             /* the thread that has taken it, and will settle it; 0: whoever comes next */
};

/* Results that were taken out of the library, and whose callers were not told yet: undelivered.c. Under the GIL. */
struct undelivered {
    TAILQ_HEAD(, result) results; /* a reference to each */
    struct result *reserve;       /* empty ones for the next undelivered_take */
    int n_reserve;
};

void undelivered_init(struct undelivered *undelivered);
void undelivered_clear(struct undelivered *undelivered);

/* Fills `empty`, whose reference it takes, with what it owns from now on, and puts it in line for this thread. */
void undelivered_add(struct undelivered *undelivered, struct result *empty, pinfold_result *result);

/* Takes it out of its line. Idempotent. */
void undelivered_drop(struct result *result);

/* Leaves what this thread has taken to whoever comes next. False: nothing is left so. */
bool undelivered_leave(struct undelivered *undelivered);

/* A list of what this thread has taken, what was left to whoever comes, and the call's of this id (0: none); or of all
 * there is. They stay in undelivered, and what another thread has taken may be left now by either. */
PyObject *undelivered_list(struct undelivered *undelivered, bool everybodys, uint64_t id);

#define TAKE_MOST 64 /* results that one take() takes: a burst must not keep an event loop for long */

/* Takes at most TAKE_MOST results out of the library and counts them; a negative errno when there is no more. */
typedef int take_function(void *from, pinfold_result **taken, int *n);

/* Puts in line what `take`, called without the GIL, takes. What undelivered_list() gives, or NULL with an exception. */
PyObject *undelivered_take(struct undelivered *undelivered, struct binding *binding, take_function *take,
                           void *from);

/* Lets threads in until it is shut, and knows when the last one has left. Needs no GIL. */
struct gate {
    pthread_mutex_t mutex;
    pthread_cond_t empty;
    unsigned inside;
    bool shut;
};

int gate_init(struct gate *gate);
void gate_destroy(struct gate *gate);

/* False when it is shut; otherwise the thread is inside until gate_leave. */
bool gate_enter(struct gate *gate);
void gate_leave(struct gate *gate);

/* Lets nobody in any more. True for the first to shut it. */
bool gate_shut(struct gate *gate);

/* In a forked child, where another thread may have held it at the fork: shuts it. */
void gate_forget(struct gate *gate);

/* Waits until nobody is inside a gate that was shut. */
void gate_drain(struct gate *gate);

struct open_queue;

/* pinfold._ext._pool.Pool */
struct pool {
    PyObject ob_base;
    struct gate gate; /* who is inside may use `pool` and the queues */
    pinfold_pool *pool;
    pid_t pid;                 /* of the process that opened it: a forked child must keep off */
    int wake_fd;               /* eventfd: ends a poll() */
    struct open_queue *queues; /* under the gate's mutex */
    struct undelivered undelivered;
    PyObject *call_id; /* the name */
};

/* What a Queue stands for. Of the Queue and the pool that has it among its open ones, the last frees it: the pool may be
 * closing it, without the GIL, while the Queue is forgotten. */
struct open_queue {
    struct gate gate;
    pinfold_queue
        *queue;     /* NULL: it was closed, and the pool knows it no more; under the gate's mutex of the pool */
    bool forgotten; /* no Queue refers to it; under the same */
    struct open_queue *next;
};

/* pinfold._ext._pool.Queue */
struct queue {
    PyObject ob_base;
    struct pool *pool; /* a reference */
    struct open_queue *open;
};

extern PyType_Spec py_pool_spec;
extern PyType_Spec py_queue_spec;
extern PyType_Spec py_result_spec;

struct binding *binding_of(PyObject *self);

/* figures.c: the types of named tuples; and one of such a type, of the values in a tuple, whose reference it takes. */
int figures_init(PyObject *module);
PyObject *figures_new(PyTypeObject *type, PyObject *values);

/* Raises OSError from a negative errno, with the library's sentence where it gave one. Returns NULL. */
PyObject *raise_errno(int code, const pinfold_error *error);

/* Raises ValueError: the pool, or the queue, is closed. Returns NULL. */
PyObject *raise_closed(void);

/* An empty Result, which no method may be called of. */
struct result *py_result_new(struct binding *binding);

/* Methods of Pool, in files of their own. */
PyObject *py_pool_submit(PyObject *pool, PyObject *args);
PyObject *py_here(PyObject *type, PyObject *ignored);
PyObject *py_identify(PyObject *type, PyObject *identity);
PyObject *py_claimed(PyObject *type, PyObject *const *args, Py_ssize_t n);

PyObject *py_queue_new(struct pool *pool);

/* Closes the queue. Whoever calls it is inside the pool's gate, or has shut it and waited until nobody is. */
void open_queue_shut(struct pool *pool, struct open_queue *queue);

/* In a forked child, after the pool was closed: nobody touches its queues any more. */
void open_queues_forget(struct pool *pool);

#endif

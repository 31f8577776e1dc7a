/* SPDX-License-Identifier: Apache-2.0 */
/* binding.h - shared by the files of the binding. */
#ifndef PINFOLD_BINDING_H
#define PINFOLD_BINDING_H

#include "../_wire/segment.h"

#include <pinfold.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

/* The module's state: its types, and the function of Pool.identify(), or NULL. */
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
struct py_result {
    PyObject ob_base;
    pinfold_result *result; /* owned; NULL while this object is in the reserve */
    TAILQ_ENTRY(py_result) link;
    struct py_result *next;          /* in the reserve */
    struct undelivered *undelivered; /* the set that holds it; or NULL */
    unsigned long claimant;          /* the thread that took it and will settle it; 0: any thread may */
};

/* undelivered.c: results taken out of the library whose callers do not have them yet. Protected by the GIL. */
struct undelivered {
    TAILQ_HEAD(, py_result) results; /* holds a reference to each */
    struct py_result *reserve;       /* empty ones for the next undelivered_take */
    int n_reserve;
};

void undelivered_init(struct undelivered *undelivered);
void undelivered_clear(struct undelivered *undelivered);

/* Make `empty`, whose reference this steals, own `result`, and add it as taken by this thread. */
void undelivered_add(struct undelivered *undelivered, struct py_result *empty, pinfold_result *result);

/* Remove the result from its set. Idempotent. */
void undelivered_drop(struct py_result *result);

/* Give up this thread's claim on the results that it took. Returns whether any result is now unclaimed. */
bool undelivered_unclaim(struct undelivered *undelivered);

/* Return a list of the results that this thread took, those that no thread claims, and that of call `id` (0:
 * none); or of all results. They stay in the set. Other threads' claims on the listed results end. */
PyObject *undelivered_list(struct undelivered *undelivered, bool all, uint64_t id);

#define TAKE_MOST 64 /* results per take(), so that a burst cannot keep an event loop for long */

/* Take at most TAKE_MOST results out of the library and count them; a negative errno when there are no more. */
typedef int take_function(void *from, pinfold_result **taken, int *n);

/* Add the results of `take`, called without the GIL. Returns undelivered_list(); NULL with an exception. */
PyObject *undelivered_take(struct undelivered *undelivered, struct binding *binding, take_function *take,
                           void *from);

/* Admits threads until it is shut, and knows when the last one has left. Needs no GIL. */
struct gate {
    pthread_mutex_t mutex;
    pthread_cond_t empty;
    unsigned inside;
    bool shut;
};

int gate_init(struct gate *gate);
void gate_destroy(struct gate *gate);

/* Enter, unless the gate is shut: then false. The thread is inside until gate_leave. */
bool gate_enter(struct gate *gate);
void gate_leave(struct gate *gate);

/* Admit no more threads. True for the first caller. */
bool gate_shut(struct gate *gate);

/* In a forked child: shut the gate, which another thread may have held at the fork. */
void gate_forget(struct gate *gate);

/* Wait until the last thread has left a gate that was shut. */
void gate_drain(struct gate *gate);

struct open_queue;

/* pinfold._ext._pool.Pool */
struct pool {
    PyObject ob_base;
    struct gate gate; /* threads inside may use `pool` and the queues */
    pinfold_pool *pool;
    pid_t pid;                 /* of the process that opened it; a forked child must not use the pool */
    int wake_fd;               /* eventfd: ends a poll() */
    struct open_queue *queues; /* protected by the gate's mutex */
    struct undelivered undelivered;
    PyObject *call_id; /* the interned attribute name */
};

/* The queue behind a Queue. The Queue and the pool's list both refer to it, and the last of them
 * frees it: the pool may be closing it, without the GIL, while the Queue is deallocated. */
struct open_queue {
    struct gate gate;
    /* NULL: closed, and not in the pool's list. Protected by the mutex of the pool's gate. */
    pinfold_queue *queue;
    bool forgotten; /* no Queue refers to it; protected by the same mutex */
    struct open_queue *next;
};

/* pinfold._ext._pool.Queue */
struct queue {
    PyObject ob_base;
    struct pool *pool; /* owned */
    struct open_queue *open;
};

extern PyType_Spec py_pool_spec;
extern PyType_Spec py_queue_spec;
extern PyType_Spec py_result_spec;

struct binding *binding_of(PyObject *self);

/* figures.c: the types of named tuples. figures_new() makes one from a tuple of values, whose reference it takes.
 */
int figures_init(PyObject *module);
PyObject *figures_new(PyTypeObject *type, PyObject *values);

/* Raise OSError for a negative errno, with the library's message if there is one. Returns NULL. */
PyObject *raise_errno(int code, const pinfold_error *error);

/* Raise ValueError because the pool, or the queue, is closed. Returns NULL. */
PyObject *raise_closed(void);

/* Return an empty Result, whose methods must not be called. */
struct py_result *py_result_new(struct binding *binding);

/* Methods of Pool that have files of their own. */
PyObject *py_pool_submit(PyObject *pool, PyObject *args);
PyObject *py_here(PyObject *type, PyObject *ignored);
PyObject *py_identify(PyObject *type, PyObject *identity);
PyObject *py_claimed(PyObject *type, PyObject *const *args, Py_ssize_t n);

PyObject *py_queue_new(struct pool *pool);

/* Close the queue. The caller is inside the pool's gate, or has shut and drained it. */
void open_queue_shut(struct pool *pool, struct open_queue *queue);

/* In a forked child, after the pool was closed: detach its queues, which no thread may use any more. */
void open_queues_forget(struct pool *pool);

#endif

/* binding.h - what the files of the binding share. */
#ifndef PINFOLD_BINDING_H
#define PINFOLD_BINDING_H

#include "../_segment.h"

#include <pinfold.h>
#include <pthread.h>
#include <stdbool.h>

/* The module's state: its types. */
struct binding {
    PyTypeObject *pool;
    PyTypeObject *queue;
    PyTypeObject *result;
    PyTypeObject *segment;
};

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

/* Waits until nobody is inside a gate that was shut. */
void gate_drain(struct gate *gate);

struct queue;

/* pinfold._pool.Pool */
struct pool {
    PyObject ob_base;
    struct gate gate; /* who is inside may use `pool` and the queues */
    pinfold_pool *pool;
    pid_t pid;            /* of the process that opened it: a forked child must keep off */
    int wake_fd;          /* eventfd: ends a poll() */
    struct queue *queues; /* the open ones; under the gate's mutex */
};

/* pinfold._pool.Queue */
struct queue {
    PyObject ob_base;
    struct pool *pool; /* a reference */
    struct gate gate;
    pinfold_queue *queue;
    struct queue *next; /* of the pool's open queues */
};

extern PyType_Spec py_pool_spec;
extern PyType_Spec py_queue_spec;
extern PyType_Spec py_result_spec;

struct binding *binding_of(PyObject *self);

/* Raises OSError from a negative errno, with the library's sentence where it gave one. Returns NULL. */
PyObject *raise_errno(int code, const pinfold_error *error);

/* Raises ValueError: the pool, or the queue, is closed. Returns NULL. */
PyObject *raise_closed(void);

/* A Result that owns `result`, which is freed when that fails. */
PyObject *py_result_new(struct binding *binding, pinfold_result *result);

/* Takes what waits in a queue: a list of Results, at most `most`. */
PyObject *py_queue_take(struct binding *binding, int (*next)(void *queue, pinfold_result **ret), void *queue,
                        int most);

/* Pool.submit, a method of its own file. */
PyObject *py_pool_submit(PyObject *pool, PyObject *args);

PyObject *py_queue_new(struct pool *pool);
void py_queue_shut(struct queue *queue);

#endif

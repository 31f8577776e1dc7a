/* SPDX-License-Identifier: Apache-2.0 */
/* queue.c - pinfold._ext._pool.Queue: delivers the results of an event loop's or an iterator's calls. */
#include "binding.h"

#include <errno.h>

/* Enter both gates, because a queue lives only as long as its pool. */
static bool queue_enter(struct queue *self)
{
    if (!gate_enter(&self->pool->gate))
        return false;
    if (gate_enter(&self->open->gate))
        return true;
    gate_leave(&self->pool->gate);
    return false;
}

static void queue_leave(struct queue *self)
{
    gate_leave(&self->open->gate);
    gate_leave(&self->pool->gate);
}

static void open_queue_free(struct open_queue *queue)
{
    gate_destroy(&queue->gate);
    free(queue);
}

static int open_queue_new(struct pool *pool, struct open_queue **ret)
{
    struct open_queue *queue = calloc(1, sizeof(*queue));
    if (!queue)
        return -ENOMEM;
    int code = gate_init(&queue->gate);
    if (code < 0) {
        free(queue);
        return code;
    }
    code = -ESHUTDOWN;
    if (gate_enter(&pool->gate)) {
        code = pinfold_queue_open(pool->pool, &queue->queue);
        if (code >= 0) {
            pthread_mutex_lock(&pool->gate.mutex);
            queue->next = pool->queues;
            pool->queues = queue;
            pthread_mutex_unlock(&pool->gate.mutex);
        }
        gate_leave(&pool->gate);
    }
    if (code < 0)
        open_queue_free(queue);
    else
        *ret = queue;
    return code;
}

PyObject *py_queue_new(struct pool *pool)
{
    struct binding *binding = binding_of(&pool->ob_base);
    struct queue *self = (struct queue *)binding->queue->tp_alloc(binding->queue, 0);
    if (!self)
        return NULL;
    self->pool = (struct pool *)Py_NewRef(&pool->ob_base);
    int code;
    Py_BEGIN_ALLOW_THREADS
    code = open_queue_new(pool, &self->open);
    Py_END_ALLOW_THREADS
    if (code < 0) {
        Py_DECREF(self);
        return raise_errno(code, NULL);
    }
    return &self->ob_base;
}

void open_queue_shut(struct pool *pool, struct open_queue *queue)
{
    if (!gate_shut(&queue->gate))
        return;
    pinfold_queue_interrupt(queue->queue);
    gate_drain(&queue->gate);
    pinfold_queue *closed = queue->queue;
    pthread_mutex_lock(&pool->gate.mutex);
    for (struct open_queue **at = &pool->queues; *at; at = &(*at)->next)
        if (*at == queue) {
            *at = queue->next;
            break;
        }
    queue->queue = NULL;
    bool forgotten = queue->forgotten;
    pthread_mutex_unlock(&pool->gate.mutex);
    pinfold_queue_close(closed);
    if (forgotten)
        open_queue_free(queue);
}

void open_queues_forget(struct pool *pool)
{
    for (struct open_queue *queue; (queue = pool->queues);) {
        pool->queues = queue->next;
        queue->queue = NULL;
        gate_forget(&queue->gate);
    }
}

static void close_inside(struct queue *self)
{
    if (gate_enter(&self->pool->gate)) {
        open_queue_shut(self->pool, self->open);
        gate_leave(&self->pool->gate);
    }
}

static PyObject *queue_close(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    struct queue *self = (struct queue *)op;
    Py_BEGIN_ALLOW_THREADS
    if (self->pool->pid == getpid())
        close_inside(self);
    Py_END_ALLOW_THREADS
    Py_RETURN_NONE;
}

/* Give up the Queue's reference. A pool that is closing the queue frees it. */
static void forget(struct queue *self)
{
    pthread_mutex_lock(&self->pool->gate.mutex);
    self->open->forgotten = true;
    bool last = !self->open->queue;
    pthread_mutex_unlock(&self->pool->gate.mutex);
    if (last)
        open_queue_free(self->open);
}

static void queue_dealloc(PyObject *op)
{
    struct queue *self = (struct queue *)op;
    PyTypeObject *type = Py_TYPE(op);
    if (self->open && self->pool->pid == getpid()) {
        Py_BEGIN_ALLOW_THREADS
        close_inside(self);
        forget(self);
        Py_END_ALLOW_THREADS
    }
    if (self->pool)
        Py_DECREF(&self->pool->ob_base);
    type->tp_free(op);
    Py_DECREF(type);
}

static int queue_take_results(void *from, pinfold_result **taken, int *n)
{
    struct queue *self = from;
    int code = -ESHUTDOWN;
    if (!queue_enter(self))
        return code;
    while (*n < TAKE_MOST && (code = pinfold_queue_next(self->open->queue, &taken[*n])) >= 0)
        ++*n;
    queue_leave(self);
    return code;
}

static PyObject *queue_take(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    struct queue *self = (struct queue *)op;
    return undelivered_take(&self->pool->undelivered, binding_of(op), queue_take_results, self);
}

static PyObject *queue_wait(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    struct queue *self = (struct queue *)op;
    struct undelivered *undelivered = &self->pool->undelivered;
    struct py_result *empty = py_result_new(binding_of(op));
    if (!empty)
        return NULL;
    int code;
    do {
        pinfold_result *result = NULL;
        code = -ESHUTDOWN;
        Py_BEGIN_ALLOW_THREADS
        if (queue_enter(self)) {
            code = pinfold_queue_wait(self->open->queue, PINFOLD_FOREVER, &result);
            queue_leave(self);
        }
        Py_END_ALLOW_THREADS
        if (code >= 0) {
            undelivered_add(undelivered, empty, result);
            return undelivered_list(undelivered, false, 0);
        }
    } while (code == -EINTR && PyErr_CheckSignals() == 0);
    Py_DECREF(&empty->ob_base);
    if (code == -ESHUTDOWN)
        return undelivered_list(undelivered, false, 0);
    return code == -EINTR ? NULL : raise_errno(code, NULL);
}

static PyObject *interrupt(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    struct queue *self = (struct queue *)op;
    if (queue_enter(self)) {
        pinfold_queue_interrupt(self->open->queue);
        queue_leave(self);
    }
    Py_RETURN_NONE;
}

static PyObject *queue_fileno(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    struct queue *self = (struct queue *)op;
    if (!queue_enter(self))
        return raise_closed();
    int fd = pinfold_queue_fd(self->open->queue);
    queue_leave(self);
    return fd < 0 ? raise_errno(fd, NULL) : PyLong_FromLong(fd);
}

static PyMethodDef methods[] = {
    {"take", queue_take, METH_NOARGS,
     "Add the waiting Results, at most 64, to the undelivered ones and return Pool.taken()."},
    {"wait", queue_wait, METH_NOARGS,
     "Wait for the next Result, add it to the undelivered ones and return Pool.taken(). Does not wait after\n"
     "interrupt() or close()."},
    {"interrupt", interrupt, METH_NOARGS, "Make wait() return at once, now and from now on."},
    {"fileno", queue_fileno, METH_NOARGS,
     "Return the queue's descriptor, which polls readable while Results wait."},
    {"close", queue_close, METH_NOARGS, "Close the queue. The results of its calls are dropped. Idempotent."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_dealloc, queue_dealloc},
    {Py_tp_methods, methods},
    {Py_tp_doc, "A completion queue of a pool. Any thread may use it."},
    {0, NULL},
};

PyType_Spec py_queue_spec = {
    .name = "pinfold._ext._pool.Queue",
    .basicsize = sizeof(struct queue),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = slots,
};

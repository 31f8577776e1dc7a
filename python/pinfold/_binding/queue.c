/* pinfold._pool.Queue: where the ends of an event loop's, or of an iterator's, calls are told. */
#include "binding.h"

#include <errno.h>
#include <stdint.h>

#define TAKE_MOST 64 /* results that one take() returns: a burst must not keep an event loop for long */

PyObject *py_queue_take(struct binding *binding, int (*next)(void *queue, pinfold_result **ret), void *queue,
                        int most)
{
    pinfold_result *taken[TAKE_MOST];
    int n = 0;
    int code = 0;
    if (most > TAKE_MOST)
        most = TAKE_MOST;
    Py_BEGIN_ALLOW_THREADS while (n < most && (code = next(queue, &taken[n])) >= 0) n++;
    Py_END_ALLOW_THREADS if (n == 0 && code < 0 && code != -EAGAIN) return raise_errno(code, NULL);

    PyObject *list = PyList_New(n);
    for (int i = 0; i < n; i++) {
        if (!list) {
            pinfold_result_free(taken[i]);
            continue;
        }
        PyObject *result = py_result_new(binding, taken[i]);
        if (result)
            PyList_SET_ITEM(list, i, result);
        else
            Py_CLEAR(list);
    }
    return list;
}

/* Both gates: a queue lives only as long as its pool. */
static bool enter(struct queue *self)
{
    if (!gate_enter(&self->pool->gate))
        return false;
    if (gate_enter(&self->gate))
        return true;
    gate_leave(&self->pool->gate);
    return false;
}

static void leave(struct queue *self)
{
    gate_leave(&self->gate);
    gate_leave(&self->pool->gate);
}

PyObject *py_queue_new(struct pool *pool)
{
    struct binding *binding = binding_of(&pool->ob_base);
    struct queue *self = (struct queue *)binding->queue->tp_alloc(binding->queue, 0);
    if (!self)
        return NULL;
    int code = gate_init(&self->gate);
    if (code < 0) {
        Py_DECREF(self);
        return raise_errno(code, NULL);
    }
    self->pool = (struct pool *)Py_NewRef(&pool->ob_base);

    code = -ESHUTDOWN;
    Py_BEGIN_ALLOW_THREADS if (gate_enter(&pool->gate))
    {
        code = pinfold_queue_open(pool->pool, &self->queue);
        if (code >= 0) {
            pthread_mutex_lock(&pool->gate.mutex);
            self->next = pool->queues;
            pool->queues = self;
            pthread_mutex_unlock(&pool->gate.mutex);
        }
        gate_leave(&pool->gate);
    }
    Py_END_ALLOW_THREADS if (code < 0)
    {
        Py_DECREF(self);
        return raise_errno(code, NULL);
    }
    return &self->ob_base;
}

/* Closes the queue itself. Whoever calls it is inside the pool's gate, or has shut it. */
void py_queue_shut(struct queue *self)
{
    struct pool *pool = self->pool;
    if (!gate_shut(&self->gate) || !self->queue)
        return;
    pinfold_queue_interrupt(self->queue);
    gate_drain(&self->gate);
    pthread_mutex_lock(&pool->gate.mutex);
    for (struct queue **at = &pool->queues; *at; at = &(*at)->next)
        if (*at == self) {
            *at = self->next;
            break;
        }
    pthread_mutex_unlock(&pool->gate.mutex);
    pinfold_queue_close(self->queue);
    self->queue = NULL;
}

static PyObject *queue_close(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    struct queue *self = (struct queue *)op;
    Py_BEGIN_ALLOW_THREADS if (self->pool->pid == getpid() && gate_enter(&self->pool->gate))
    {
        py_queue_shut(self);
        gate_leave(&self->pool->gate);
    }
    Py_END_ALLOW_THREADS Py_RETURN_NONE;
}

static void queue_dealloc(PyObject *op)
{
    struct queue *self = (struct queue *)op;
    PyTypeObject *type = Py_TYPE(op);
    if (self->pool) {
        Py_XDECREF(queue_close(op, NULL));
        if (self->pool->pid == getpid())
            gate_destroy(&self->gate);
        Py_DECREF(&self->pool->ob_base);
    }
    type->tp_free(op);
    Py_DECREF(type);
}

static int next_of_queue(void *queue, pinfold_result **ret)
{
    return pinfold_queue_next(queue, ret);
}

static PyObject *take(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    struct queue *self = (struct queue *)op;
    if (!enter(self))
        return PyList_New(0);
    PyObject *results = py_queue_take(binding_of(op), next_of_queue, self->queue, TAKE_MOST);
    leave(self);
    return results;
}

static PyObject *queue_wait(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    struct queue *self = (struct queue *)op;
    for (;;) {
        pinfold_result *result = NULL;
        int code = -ESHUTDOWN;
        Py_BEGIN_ALLOW_THREADS if (enter(self))
        {
            code = pinfold_queue_wait(self->queue, PINFOLD_FOREVER, &result);
            leave(self);
        }
        Py_END_ALLOW_THREADS if (code >= 0) return py_result_new(binding_of(op), result);
        if (code == -ESHUTDOWN)
            Py_RETURN_NONE;
        if (code != -EINTR)
            return raise_errno(code, NULL);
        if (PyErr_CheckSignals() < 0)
            return NULL;
    }
}

static PyObject *interrupt(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    struct queue *self = (struct queue *)op;
    if (enter(self)) {
        pinfold_queue_interrupt(self->queue);
        leave(self);
    }
    Py_RETURN_NONE;
}

static PyObject *queue_fileno(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    struct queue *self = (struct queue *)op;
    if (!enter(self))
        return raise_closed();
    int fd = pinfold_queue_fd(self->queue);
    leave(self);
    return fd < 0 ? raise_errno(fd, NULL) : PyLong_FromLong(fd);
}

static PyMethodDef methods[] = {
    {"take", take, METH_NOARGS, "The Results that wait, at most 64; none once the queue is closed."},
    {"wait", queue_wait, METH_NOARGS, "Waits for the next Result; None after interrupt() or close()."},
    {"interrupt", interrupt, METH_NOARGS, "Makes wait() return None."},
    {"fileno", queue_fileno, METH_NOARGS, "A descriptor that polls readable while Results wait; the queue's."},
    {"close", queue_close, METH_NOARGS, "Closes the queue; its calls end unseen. Idempotent."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_dealloc, queue_dealloc},
    {Py_tp_methods, methods},
    {Py_tp_doc, "A completion queue of a pool. Any thread may use it."},
    {0, NULL},
};

PyType_Spec py_queue_spec = {
    .name = "pinfold._pool.Queue",
    .basicsize = sizeof(struct queue),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = slots,
};

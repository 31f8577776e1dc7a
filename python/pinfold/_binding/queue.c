/* pinfold._pool.Queue: where the ends of an event loop's, or of an iterator's, calls are told. */
#include "binding.h"

#include <errno.h>
#include <stdint.h>

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

static int take_results(void *from, pinfold_result **taken, int *n)
{
    struct queue *self = from;
    int code = -ESHUTDOWN;
    if (!enter(self))
        return code;
    while (*n < TAKE_MOST && (code = pinfold_queue_next(self->queue, &taken[*n])) >= 0)
        ++*n;
    leave(self);
    return code;
}

static PyObject *take(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    struct queue *self = (struct queue *)op;
    return line_take(&self->pool->line, binding_of(op), take_results, self);
}

static PyObject *queue_wait(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    struct queue *self = (struct queue *)op;
    struct line *line = &self->pool->line;
    struct result *empty = py_result_new(binding_of(op));
    if (!empty)
        return NULL;
    int code;
    do {
        pinfold_result *result = NULL;
        code = -ESHUTDOWN;
        Py_BEGIN_ALLOW_THREADS if (enter(self))
        {
            code = pinfold_queue_wait(self->queue, PINFOLD_FOREVER, &result);
            leave(self);
        }
        Py_END_ALLOW_THREADS if (code >= 0)
        {
            line_join(line, empty, result);
            return line_list(line, false, 0);
        }
    } while (code == -EINTR && PyErr_CheckSignals() == 0);
    Py_DECREF(&empty->ob_base);
    if (code == -ESHUTDOWN)
        return line_list(line, false, 0);
    return code == -EINTR ? NULL : raise_errno(code, NULL);
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
    {"take", take, METH_NOARGS, "Puts the Results that wait in line, at most 64, and is Pool.taken()."},
    {"wait", queue_wait, METH_NOARGS,
     "Waits for the next Result, puts it in line, and is Pool.taken(). Does not wait after interrupt() or "
     "close()."},
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

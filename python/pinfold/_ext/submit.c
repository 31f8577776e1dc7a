/* SPDX-License-Identifier: Apache-2.0 */
/* submit.c - Pool.submit: makes a call from Python buffers. */
#include "binding.h"

#include <errno.h>
#include <stdint.h>

#define SEGMENTS_ON_STACK 8
#define PATIENCE_NS 1000000 /* the longest time for which a submit keeps the GIL while it waits */

/* The acquired buffers of a list of segments. */
struct segment_views {
    Py_buffer *views;
    struct iovec *segments;
    Py_ssize_t n;
    Py_buffer few_views[SEGMENTS_ON_STACK];
    struct iovec few_segments[SEGMENTS_ON_STACK];
};

static void views_release(struct segment_views *acquired)
{
    while (acquired->n > 0)
        PyBuffer_Release(&acquired->views[--acquired->n]);
    if (acquired->views != acquired->few_views) {
        PyMem_Free(acquired->views);
        PyMem_Free(acquired->segments);
    }
}

static int views_acquire(struct segment_views *acquired, PyObject *list)
{
    Py_ssize_t n = PyList_GET_SIZE(list);
    acquired->n = 0;
    acquired->views = acquired->few_views;
    acquired->segments = acquired->few_segments;
    if (n > SEGMENTS_ON_STACK) {
        acquired->views = PyMem_New(Py_buffer, (size_t)n);
        acquired->segments = PyMem_New(struct iovec, (size_t)n);
        if (!acquired->views || !acquired->segments) {
            views_release(acquired);
            PyErr_NoMemory();
            return -1;
        }
    }
    for (; acquired->n < n; acquired->n++) {
        Py_buffer *view = &acquired->views[acquired->n];
        if (PyObject_GetBuffer(PyList_GET_ITEM(list, acquired->n), view, PyBUF_SIMPLE) < 0) {
            views_release(acquired);
            return -1;
        }
        acquired->segments[acquired->n] = (struct iovec){view->buf, (size_t)view->len};
    }
    return 0;
}

/* Set the record's call_id before anything can be raised. If that fails, cancel the call. */
static int set_call_id(struct pool *self, PyObject *record, uint64_t id)
{
    PyObject *number = PyLong_FromUnsignedLongLong(id);
    int code = number ? PyObject_SetAttr(record, self->call_id, number) : -1;
    Py_XDECREF(number);
    if (code < 0 && gate_enter(&self->gate)) {
        pinfold_pool_cancel(self->pool, id);
        gate_leave(&self->gate);
    }
    return code;
}

PyObject *py_pool_submit(PyObject *op, PyObject *args)
{
    struct pool *self = (struct pool *)op;
    struct binding *binding = binding_of(op);
    PyObject *record;
    PyObject *list;
    PyObject *queue;
    unsigned long long key;
    long long deadline_ns;
    unsigned long long output_bytes;
    unsigned long long result_bytes;
    unsigned long long memory_bytes;
    long long cpu_ns;
    unsigned processes;
    unsigned long long file_bytes;
    long long wall_ns;
    unsigned long long printed_bytes;
    unsigned flags;
    if (!PyArg_ParseTuple(args, "OO!OKLLI(KKKLIKK):submit", &record, &PyList_Type, &list, &queue, &key,
                          &deadline_ns, &wall_ns, &flags, &output_bytes, &result_bytes, &memory_bytes, &cpu_ns,
                          &processes, &file_bytes, &printed_bytes))
        return NULL;
    if (queue != Py_None && !Py_IS_TYPE(queue, binding->queue)) {
        PyErr_SetString(PyExc_TypeError, "queue must be a Queue or None");
        return NULL;
    }
    struct segment_views acquired;
    if (views_acquire(&acquired, list) < 0)
        return NULL;

    pinfold_call call = {
        .size = sizeof(call),
        .segments = acquired.segments,
        .n_segments = acquired.n > (Py_ssize_t)UINT32_MAX ? UINT32_MAX : (uint32_t)acquired.n,
        .deadline_ns = deadline_ns,
        .tag = (void *)(uintptr_t)key,
        .output_bytes = output_bytes,
        .result_bytes = result_bytes,
        .memory_bytes = memory_bytes,
        .cpu_ns = cpu_ns,
        .processes = processes,
        .file_bytes = file_bytes,
        .wall_ns = wall_ns,
        .printed_bytes = printed_bytes,
        .flags = flags,
    };
    pinfold_error error;
    error.text[0] = '\0'; /* clearing the rest for every call would be waste */
    uint64_t id = 0;
    int code = -ESHUTDOWN;
    struct open_queue *to = queue == Py_None ? NULL : ((struct queue *)queue)->open;
    if (gate_enter(&self->gate)) {
        if (!to || gate_enter(&to->gate)) {
            call.queue = to ? to->queue : NULL;
            /* Keep the GIL: released, a waiting thread would take it at each call, which costs two wake-ups. */
            code = pinfold_pool_try_submit(self->pool, &call, PATIENCE_NS, &id, &error);
            if (code == -EBUSY) {
                Py_BEGIN_ALLOW_THREADS
                code = pinfold_pool_submit(self->pool, &call, &id, &error);
                Py_END_ALLOW_THREADS
            }
            if (to)
                gate_leave(&to->gate);
        }
        gate_leave(&self->gate);
    }
    int noted = code < 0 ? -1 : set_call_id(self, record, id);
    views_release(&acquired);
    if (code < 0)
        return raise_errno(code, &error);
    return noted < 0 ? NULL : Py_NewRef(Py_None);
}

#include "_segment.h"

/* The memory under the segments of one payload. Counted by its segments, under the GIL. */
struct payload {
    size_t references;
    void *base_owner;
    void (*release)(void *);
};

typedef struct {
    PyObject_HEAD
    struct payload *payload;
    void *base;
    Py_ssize_t size;
} Segment;

static void payload_drop(struct payload *payload)
{
    if (--payload->references > 0)
        return;
    payload->release(payload->base_owner);
    PyMem_Free(payload);
}

static void segment_dealloc(Segment *self)
{
    payload_drop(self->payload);
    PyObject_Free(self);
}

static int segment_getbuffer(Segment *self, Py_buffer *view, int flags)
{
    return PyBuffer_FillInfo(view, (PyObject *)self, self->base, self->size, 0, flags);
}

static PyBufferProcs segment_buffer = {.bf_getbuffer = (getbufferproc)segment_getbuffer};

/* Static, for it holds no state and has no attribute that could be set. */
static PyTypeObject segment_type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "pinfold.Segment",
    .tp_basicsize = sizeof(Segment),
    .tp_dealloc = (destructor)segment_dealloc,
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_as_buffer = &segment_buffer,
};

static PyObject *segment_view(struct payload *payload, const struct iovec *at)
{
    Segment *segment = PyObject_New(Segment, &segment_type);
    if (!segment)
        return NULL;
    payload->references++;
    segment->payload = payload;
    segment->base = at->iov_base;
    segment->size = (Py_ssize_t)at->iov_len;
    PyObject *view = PyMemoryView_FromObject((PyObject *)segment);
    Py_DECREF(segment);
    return view;
}

PyObject *segment_tuple_new(void *base_owner, void (*release)(void *), const struct iovec *segments, uint32_t n)
{
    struct payload *payload = NULL;
    if (PyType_Ready(&segment_type) == 0 && !(payload = PyMem_Malloc(sizeof(*payload))))
        PyErr_NoMemory();
    if (!payload) {
        release(base_owner);
        return NULL;
    }
    /* The reference of this function: dropped at its end, so that every way out gives back what nobody holds. */
    *payload = (struct payload){.references = 1, .base_owner = base_owner, .release = release};
    PyObject *tuple = PyTuple_New((Py_ssize_t)n);
    for (uint32_t i = 0; tuple && i < n; i++) {
        PyObject *view = segment_view(payload, &segments[i]);
        if (!view)
            Py_CLEAR(tuple);
        else
            PyTuple_SET_ITEM(tuple, (Py_ssize_t)i, view);
    }
    payload_drop(payload);
    return tuple;
}

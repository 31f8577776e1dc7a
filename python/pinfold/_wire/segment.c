/* SPDX-License-Identifier: Apache-2.0 */
/* segment.c - Python views of memory that another object owns (segment.h). */
#include "segment.h"

struct segment {
    PyObject ob_base;
    void *base; /* points into the owner's memory */
    Py_ssize_t size;
    PyObject *owner;
};

static void segment_dealloc(PyObject *self)
{
    struct segment *segment = (struct segment *)self;
    PyTypeObject *type = Py_TYPE(self);
    Py_XDECREF(segment->owner);
    type->tp_free(self);
    Py_DECREF(type);
}

static int segment_getbuffer(PyObject *self, Py_buffer *view, int flags)
{
    struct segment *segment = (struct segment *)self;
    return PyBuffer_FillInfo(view, self, segment->base, segment->size, 0, flags);
}

static PyType_Slot segment_slots[] = {
    {Py_tp_dealloc, segment_dealloc},
    {Py_bf_getbuffer, segment_getbuffer},
    {Py_tp_doc, "A piece of a payload: exports its memory and keeps it alive."},
    {0, NULL},
};

static PyType_Spec segment_spec = {
    .name = "pinfold.Segment",
    .basicsize = sizeof(struct segment),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = segment_slots,
};

PyTypeObject *segment_type_new(PyObject *module)
{
    return (PyTypeObject *)PyType_FromModuleAndSpec(module, &segment_spec, NULL);
}

PyObject *segment_view(PyTypeObject *type, const struct iovec *memory, PyObject *owner)
{
    if (memory->iov_len > (size_t)PY_SSIZE_T_MAX) {
        PyErr_SetString(PyExc_OverflowError, "a segment is too large for this process");
        return NULL;
    }
    struct segment *segment = (struct segment *)type->tp_alloc(type, 0);
    if (!segment)
        return NULL;
    /* Some consumers reject a NULL buffer, even an empty one. */
    segment->base = memory->iov_len ? memory->iov_base : (void *)&segment->size;
    segment->size = (Py_ssize_t)memory->iov_len;
    segment->owner = Py_NewRef(owner);
    PyObject *view = PyMemoryView_FromObject(&segment->ob_base);
    Py_DECREF(segment);
    return view;
}

PyObject *segment_views(PyTypeObject *type, const struct iovec *memory, uint32_t n, PyObject *owner)
{
    PyObject *views = PyList_New((Py_ssize_t)n);
    if (!views)
        return NULL;
    for (uint32_t i = 0; i < n; i++) {
        PyObject *view = segment_view(type, &memory[i], owner);
        if (!view) {
            Py_DECREF(views);
            return NULL;
        }
        PyList_SET_ITEM(views, (Py_ssize_t)i, view);
    }
    return views;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* result.c - pinfold._ext._pool.Result: the result of one call, as the library reports it. */
#include "../codec/reader/tags.h"
#include "binding.h"

#define LARGE 1048576u /* bytes; freeing this much takes long enough to release the GIL */

static const pinfold_result *of(PyObject *self)
{
    return ((struct py_result *)self)->result;
}

struct py_result *py_result_new(struct binding *binding)
{
    return (struct py_result *)binding->result->tp_alloc(binding->result, 0);
}

static void result_dealloc(PyObject *self)
{
    pinfold_result *result = ((struct py_result *)self)->result;
    PyTypeObject *type = Py_TYPE(self);
    if (result && result->metrics.result_bytes >= LARGE) {
        Py_BEGIN_ALLOW_THREADS
        pinfold_result_free(result);
        Py_END_ALLOW_THREADS
    } else {
        pinfold_result_free(result);
    }
    type->tp_free(self);
    Py_DECREF(type);
}

/* A codec writes a buffer below OUT_OF_LINE into its stream. More segments than this allows come from no codec, and
 * views of them would take fifty times their size. */
static PyObject *result_segments(PyObject *self, PyObject *argument)
{
    const pinfold_result *result = of(self);
    const unsigned long files = PyLong_AsUnsignedLong(argument);
    if (PyErr_Occurred())
        return NULL;
    if (result->n_segments > 1 + files + result->metrics.result_bytes / OUT_OF_LINE)
        return PyErr_Format(PyExc_ValueError, "%lu segments in %llu bytes", (unsigned long)result->n_segments,
                            (unsigned long long)result->metrics.result_bytes);
    return segment_views(binding_of(self)->segment, of(self)->segments, of(self)->n_segments, self);
}

static PyObject *result_metrics(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    const pinfold_metrics *m = &of(self)->metrics;
    if (!(of(self)->flags & PINFOLD_HAS_METRICS))
        Py_RETURN_NONE;
    PyObject *values = Py_BuildValue(
        "(siILLLLLLKK)", m->worker_id, (int)m->worker_pid, (unsigned)m->calls_before, (long long)m->started_at_ns,
        (long long)m->finished_at_ns, (long long)m->queue_ns, (long long)m->wall_ns, (long long)m->user_ns,
        (long long)m->sys_ns, (unsigned long long)m->peak_rss_kb, (unsigned long long)m->result_bytes);
    return figures_new(binding_of(self)->metrics, values);
}

static PyObject *result_waits(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    const pinfold_metrics *m = &of(self)->metrics;
    if (!(of(self)->flags & PINFOLD_HAS_WAITS))
        Py_RETURN_NONE;
    PyObject *values = Py_BuildValue("(LK)", (long long)m->cpu_wait_ns, (unsigned long long)m->preemptions);
    return figures_new(binding_of(self)->waits, values);
}

static PyObject *delivered(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    undelivered_drop((struct py_result *)self);
    Py_RETURN_NONE;
}

static PyObject *get_key(PyObject *self, void *Py_UNUSED(closure))
{
    return PyLong_FromVoidPtr(of(self)->tag);
}

static PyObject *get_call_id(PyObject *self, void *Py_UNUSED(closure))
{
    return PyLong_FromUnsignedLongLong(of(self)->call_id);
}

static PyObject *get_outcome(PyObject *self, void *Py_UNUSED(closure))
{
    const char *name = pinfold_outcome_name(of(self)->outcome);
    return PyUnicode_InternFromString(name ? name : "internal");
}

static PyObject *get_phase(PyObject *self, void *Py_UNUSED(closure))
{
    const char *name = pinfold_phase_name(of(self)->phase);
    return PyUnicode_InternFromString(name ? name : "");
}

static PyObject *get_is_spent(PyObject *self, void *Py_UNUSED(closure))
{
    return PyBool_FromLong((of(self)->flags & PINFOLD_WALL) != 0);
}

static PyObject *get_exit_code(PyObject *self, void *Py_UNUSED(closure))
{
    return PyLong_FromLong(of(self)->exit_code);
}

static PyObject *get_signal(PyObject *self, void *Py_UNUSED(closure))
{
    return PyLong_FromLong(of(self)->signal);
}

static PyObject *text(const char *bytes, size_t size)
{
    return PyUnicode_DecodeUTF8(bytes, (Py_ssize_t)size, "backslashreplace");
}

static PyObject *get_reason(PyObject *self, void *Py_UNUSED(closure))
{
    return text(of(self)->reason, strlen(of(self)->reason));
}

static PyObject *get_stack(PyObject *self, void *Py_UNUSED(closure))
{
    return text(of(self)->stack, strlen(of(self)->stack));
}

static PyObject *get_note(PyObject *self, void *Py_UNUSED(closure))
{
    return PyBytes_FromStringAndSize(of(self)->note, (Py_ssize_t)of(self)->note_size);
}

static PyObject *get_stdout(PyObject *self, void *Py_UNUSED(closure))
{
    return text(of(self)->out, of(self)->out_size);
}

static PyObject *get_stderr(PyObject *self, void *Py_UNUSED(closure))
{
    return text(of(self)->err, of(self)->err_size);
}

static PyObject *get_stdout_bytes(PyObject *self, void *Py_UNUSED(closure))
{
    return PyBytes_FromStringAndSize(of(self)->out, (Py_ssize_t)of(self)->out_size);
}

static PyObject *get_stderr_bytes(PyObject *self, void *Py_UNUSED(closure))
{
    return PyBytes_FromStringAndSize(of(self)->err, (Py_ssize_t)of(self)->err_size);
}

static PyObject *get_stdout_truncated(PyObject *self, void *Py_UNUSED(closure))
{
    return PyBool_FromLong((of(self)->flags & PINFOLD_STDOUT_TRUNCATED) != 0);
}

static PyObject *get_stderr_truncated(PyObject *self, void *Py_UNUSED(closure))
{
    return PyBool_FromLong((of(self)->flags & PINFOLD_STDERR_TRUNCATED) != 0);
}

static PyMethodDef methods[] = {
    {"segments", result_segments, METH_O,
     "Return writable views of the value's segments, which keep its memory alive."},
    {"delivered", delivered, METH_NOARGS,
     "Remove the Result from its pool's undelivered ones: its caller has it. Idempotent."},
    {"waits", result_waits, METH_NOARGS, "Return the Waits, or None."},
    {"metrics", result_metrics, METH_NOARGS, "Return the Metrics, or None."},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef members[] = {
    {"key", get_key, NULL, "The key that submit() was given for the call.", NULL},
    {"call_id", get_call_id, NULL, NULL, NULL},
    {"outcome", get_outcome, NULL, "The outcome's name.", NULL},
    {"phase", get_phase, NULL, "How far the call had come; \"\" if it is ok.", NULL},
    {"is_spent", get_is_spent, NULL, "Whether a timeout is that of wall_ns.", NULL},
    {"exit_code", get_exit_code, NULL, NULL, NULL},
    {"signal", get_signal, NULL, NULL, NULL},
    {"reason", get_reason, NULL, NULL, NULL},
    {"stack", get_stack, NULL, NULL, NULL},
    {"note", get_note, NULL, "The note that the runtime sent.", NULL},
    {"stdout", get_stdout, NULL, NULL, NULL},
    {"stderr", get_stderr, NULL, NULL, NULL},
    {"stdout_bytes", get_stdout_bytes, NULL, NULL, NULL},
    {"stderr_bytes", get_stderr_bytes, NULL, NULL, NULL},
    {"stdout_truncated", get_stdout_truncated, NULL, NULL, NULL},
    {"stderr_truncated", get_stderr_truncated, NULL, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_dealloc, result_dealloc},
    {Py_tp_methods, methods},
    {Py_tp_getset, members},
    {Py_tp_doc, "The result of one call, as the library reports it; owns the memory of the value."},
    {0, NULL},
};

PyType_Spec py_result_spec = {
    .name = "pinfold._ext._pool.Result",
    .basicsize = sizeof(struct py_result),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = slots,
};

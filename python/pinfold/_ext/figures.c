/* SPDX-License-Identifier: Apache-2.0 */
/* Named tuples (PyStructSequence) in which figures of the library reach Python. */
#include "binding.h"

#include <stddef.h>

static PyStructSequence_Field metrics_fields[] = {
    {"worker_id", NULL},      {"worker_pid", NULL},  {"calls_before", NULL}, {"started_at_ns", "Unix time"},
    {"finished_at_ns", NULL}, {"queue_ns", NULL},    {"wall_ns", NULL},      {"user_ns", NULL},
    {"sys_ns", NULL},         {"peak_rss_kb", NULL}, {"result_bytes", NULL}, {NULL, NULL},
};

static PyStructSequence_Field waits_fields[] = {
    {"cpu_wait_ns", NULL},
    {"preemptions", NULL},
    {NULL, NULL},
};

static PyStructSequence_Field event_fields[] = {
    {"kind", "EVENT_CALL_START, EVENT_WORKER_START or EVENT_WORKER_EXIT"},
    {"worker_pid", NULL},
    {"key", "of the call; 0: none"},
    {"worker_id", NULL},
    {"reason", NULL},
    {NULL, NULL},
};

static PyStructSequence_Field memory_fields[] = {
    {"workers", NULL}, {"pss_kb", NULL}, {"private_kb", NULL}, {"private_most_kb", NULL}, {NULL, NULL},
};

int figures_init(PyObject *module)
{
    struct binding *binding = PyModule_GetState(module);
    static const struct {
        size_t offset;
        PyStructSequence_Desc desc;
    } kinds[] = {
        {offsetof(struct binding, metrics),
         {"pinfold._ext._pool.Metrics", "As pinfold_metrics.", metrics_fields, 11}},
        {offsetof(struct binding, waits), {"pinfold._ext._pool.Waits", "As pinfold_metrics.", waits_fields, 2}},
        {offsetof(struct binding, event), {"pinfold._ext._pool.Event", "As pinfold_event.", event_fields, 5}},
        {offsetof(struct binding, memory), {"pinfold._ext._pool.Memory", "As pinfold_memory.", memory_fields, 4}},
    };
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        PyStructSequence_Desc desc = kinds[i].desc;
        PyTypeObject *type = PyStructSequence_NewType(&desc);
        if (!type)
            return -1;
        *(PyTypeObject **)((char *)binding + kinds[i].offset) = type;
    }
    return 0;
}

PyObject *figures_new(PyTypeObject *type, PyObject *values)
{
    PyObject *figures = values ? PyStructSequence_New(type) : NULL;
    for (Py_ssize_t i = 0; figures && i < PyTuple_GET_SIZE(values); i++)
        PyStructSequence_SetItem(figures, i, Py_NewRef(PyTuple_GET_ITEM(values, i)));
    Py_XDECREF(values);
    return figures;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* module.c - the extension module pinfold._ext._pool: the library's pools, queues and results as Python objects.
 *
 * Every call into the library that locks, waits or does I/O runs without the GIL. A wait stops for a signal
 * handler and then continues, so that Ctrl-C works. A gate around the pool lets any thread close it at any time:
 * threads inside finish first, and later ones get ValueError.
 */
#include "binding.h"

#include <fcntl.h>
#include <unistd.h>

#include "process/scratch.h"

struct binding *binding_of(PyObject *self)
{
    return PyType_GetModuleState(Py_TYPE(self));
}

PyObject *raise_errno(int code, const pinfold_error *error)
{
    const char *bytes = error && error->text[0] ? error->text : strerror(-code);
    /* The text contains foreign names and output, and may be cut within a character. */
    PyObject *text = PyUnicode_DecodeUTF8(bytes, (Py_ssize_t)strlen(bytes), "backslashreplace");
    /* Call OSError first: the result is the errno's subclass, also for `except` before Python 3.12. */
    PyObject *raised = text ? PyObject_CallFunction(PyExc_OSError, "iN", -code, text) : NULL;
    if (raised)
        PyErr_SetObject((PyObject *)Py_TYPE(raised), raised);
    Py_XDECREF(raised);
    return NULL;
}

PyObject *raise_closed(void)
{
    PyErr_SetString(PyExc_ValueError, "the pool is closed");
    return NULL;
}

static PyObject *clear_bases(PyObject *module, PyObject *path)
{
    (void)module;
    PyObject *bytes;
    if (!PyUnicode_FSConverter(path, &bytes))
        return NULL;
    int spill_dir = open(PyBytes_AS_STRING(bytes), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    Py_DECREF(bytes);
    if (spill_dir >= 0) {
        Py_BEGIN_ALLOW_THREADS;
        scratch_clear_bases(spill_dir);
        Py_END_ALLOW_THREADS;
        close(spill_dir);
    }
    Py_RETURN_NONE;
}

static PyMethodDef functions[] = {
    {"clear_bases", clear_bases, METH_O,
     "clear_bases(spill_dir)\n\nRemove the base directories in it that no template holds any more (flock(2))."},
    {NULL, NULL, 0, NULL},
};

static int add_types(PyObject *module)
{
    struct binding *binding = PyModule_GetState(module);
    struct {
        PyTypeObject **type;
        PyType_Spec *spec;
    } types[] = {
        {&binding->pool, &py_pool_spec},
        {&binding->queue, &py_queue_spec},
        {&binding->result, &py_result_spec},
    };
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        *types[i].type = (PyTypeObject *)PyType_FromModuleAndSpec(module, types[i].spec, NULL);
        if (!*types[i].type || PyModule_AddType(module, *types[i].type) < 0)
            return -1;
    }
    binding->segment = segment_type_new(module);
    return binding->segment ? figures_init(module) : -1;
}

static int add_constants(PyObject *module)
{
    static const struct {
        const char *name;
        long value;
    } constants[] = {
        {"FRESH", PINFOLD_FRESH},
        {"REUSE", PINFOLD_REUSE},
        {"SPAWN", PINFOLD_SPAWN},
        {"NO_PDEATHSIG", PINFOLD_NO_PDEATHSIG},
        {"EVENTS", PINFOLD_EVENTS},
        {"DISTRUST", PINFOLD_DISTRUST},
        {"CPU_SLOTS", PINFOLD_CPU_SLOTS},
        {"AHEAD", PINFOLD_AHEAD},
        {"PRINTED", PINFOLD_PRINTED},
        {"NO_QUEUE", PINFOLD_NO_QUEUE},
        {"EXITS", PINFOLD_EXITS},
        {"COLLECTS", PINFOLD_COLLECTS},
        {"EVENT_CALL_START", PINFOLD_EVENT_CALL_START},
        {"EVENT_WORKER_START", PINFOLD_EVENT_WORKER_START},
        {"EVENT_WORKER_EXIT", PINFOLD_EVENT_WORKER_EXIT},
    };
    for (size_t i = 0; i < sizeof constants / sizeof constants[0]; i++)
        if (PyModule_AddIntConstant(module, constants[i].name, constants[i].value) < 0)
            return -1;
    if (PyModule_AddStringConstant(module, "VERSION", pinfold_version()) < 0)
        return -1;
    PyObject *forever = PyLong_FromLongLong(PINFOLD_FOREVER);
    int code = forever ? PyModule_AddObjectRef(module, "FOREVER", forever) : -1;
    Py_XDECREF(forever);
    return code;
}

static int binding_traverse(PyObject *module, visitproc visit, void *arg)
{
    struct binding *binding = PyModule_GetState(module);
    Py_VISIT(binding->identity);
    Py_VISIT(binding->pool);
    Py_VISIT(binding->queue);
    Py_VISIT(binding->result);
    Py_VISIT(binding->segment);
    Py_VISIT(binding->metrics);
    Py_VISIT(binding->waits);
    Py_VISIT(binding->event);
    Py_VISIT(binding->memory);
    return 0;
}

static int binding_clear(PyObject *module)
{
    struct binding *binding = PyModule_GetState(module);
    Py_CLEAR(binding->identity);
    Py_CLEAR(binding->pool);
    Py_CLEAR(binding->queue);
    Py_CLEAR(binding->result);
    Py_CLEAR(binding->segment);
    Py_CLEAR(binding->metrics);
    Py_CLEAR(binding->waits);
    Py_CLEAR(binding->event);
    Py_CLEAR(binding->memory);
    return 0;
}

static void binding_free(void *module)
{
    binding_clear(module);
}

static PyModuleDef_Slot slots[] = {
    {Py_mod_exec, add_types},
    {Py_mod_exec, add_constants},
#ifdef Py_mod_multiple_interpreters
    {Py_mod_multiple_interpreters, Py_MOD_PER_INTERPRETER_GIL_SUPPORTED},
#endif
    {0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "pinfold._ext._pool",
    .m_doc = "The binding of libpinfold. Not public: its names and their meaning may change with any version.",
    .m_size = sizeof(struct binding),
    .m_methods = functions,
    .m_slots = slots,
    .m_traverse = binding_traverse,
    .m_clear = binding_clear,
    .m_free = binding_free,
};

PyMODINIT_FUNC PyInit__pool(void)
{
    return PyModuleDef_Init(&definition);
}

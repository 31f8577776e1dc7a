/* SPDX-License-Identifier: Apache-2.0 */
/* box.c - the extension module pinfold._worker.box._box, with which Python builds and closes a worker's box. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "box.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/util.h"
#include "process/scratch.h"

#define PATHS_MAX 512

static PyObject *failed(int code, const char *doing)
{
    PyObject *arguments = Py_BuildValue("(iN)", -code, PyUnicode_FromFormat("%s: %s", doing, strerror(-code)));
    if (arguments)
        PyErr_SetObject(PyExc_OSError, arguments);
    Py_XDECREF(arguments);
    return NULL;
}

static PyObject *box_none_or(int r, const char *doing)
{
    if (r < 0)
        return failed(r, doing);
    Py_RETURN_NONE;
}

static void forget_filter(PyObject *capsule)
{
    filter_free(PyCapsule_GetPointer(capsule, "filter"));
}

static PyObject *compile_filter(PyObject *module, PyObject *arguments)
{
    (void)module;
    unsigned kind;
    int network, abi, reused;
    if (!PyArg_ParseTuple(arguments, "Ipip", &kind, &network, &abi, &reused))
        return NULL;
    struct filter *filter;
    int r =
        kind > FILTER_STANDARD_REST ? -EINVAL : filter_new((enum filter_kind)kind, network, abi, reused, &filter);
    return r < 0 ? failed(r, "cannot compile the filter of system calls")
                 : PyCapsule_New(filter, "filter", forget_filter);
}

static int load(PyObject *capsule)
{
    const struct filter *filter = PyCapsule_GetPointer(capsule, "filter");
    if (!filter)
        return -EINVAL;
    int r = privilege_none_new();
    return r == 0 ? filter_load(filter) : r;
}

static PyObject *load_filter(PyObject *module, PyObject *capsule)
{
    (void)module;
    int r = load(capsule);
    return PyErr_Occurred() ? NULL : box_none_or(r, "cannot load the filter of system calls");
}

/* Return whether the path does not exist here. The box then grants one right less. */
static bool is_missing(int r)
{
    return r == -ENOENT || r == -EACCES || r == -ENOTDIR;
}

static int allow(int ruleset, int abi, const char *path, unsigned right)
{
    int r = right > LANDLOCK_ALL ? -EINVAL : landlock_allow(ruleset, abi, path, (enum landlock_right)right);
    return is_missing(r) ? 0 : r;
}

#define HELD_AT 320 /* above the reserved descriptors, in a part of the table that forks copy anyway */

static void forget_held(PyObject *capsule)
{
    free(PyCapsule_GetPointer(capsule, "held"));
}

static PyObject *py_hold(PyObject *module, PyObject *arguments)
{
    (void)module;
    PyObject *list;
    unsigned descriptors;
    if (!PyArg_ParseTuple(arguments, "O!I", &PyList_Type, &list, &descriptors))
        return NULL;
    struct held *held = calloc(1, sizeof(*held));
    if (!held)
        return PyErr_NoMemory();
    held->first = HELD_AT;
    held->descriptors = descriptors;
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(list); i++) {
        const char *path;
        unsigned right;
        if (!PyArg_ParseTuple(PyList_GET_ITEM(list, i), "sI", &path, &right)) {
            free(held);
            return NULL;
        }
        int r = right > LANDLOCK_ALL ? -EINVAL : landlock_hold(held, path, (enum landlock_right)right);
        if (r < 0 && !is_missing(r)) {
            free(held);
            return failed(r, path);
        }
    }
    return PyCapsule_New(held, "held", forget_held);
}

static int allow_each(int ruleset, int abi, PyObject *list)
{
    int r = 0;
    for (Py_ssize_t i = 0; r == 0 && i < PyList_GET_SIZE(list); i++) {
        const char *path;
        unsigned right;
        if (!PyArg_ParseTuple(PyList_GET_ITEM(list, i), "sI", &path, &right))
            return -EINVAL;
        r = allow(ruleset, abi, path, right);
    }
    return r;
}

static PyObject *allow_more(PyObject *module, PyObject *arguments)
{
    (void)module;
    int ruleset, abi;
    PyObject *list;
    if (!PyArg_ParseTuple(arguments, "iiO!", &ruleset, &abi, &PyList_Type, &list))
        return NULL;
    int r = allow_each(ruleset, abi, list);
    return PyErr_Occurred() ? NULL : box_none_or(r, "cannot make a Landlock rule");
}

static PyObject *draft(PyObject *module, PyObject *arguments)
{
    (void)module;
    int abi, network;
    PyObject *capsule;
    const char *more;
    if (!PyArg_ParseTuple(arguments, "ipOs", &abi, &network, &capsule, &more))
        return NULL;
    const struct held *held = PyCapsule_GetPointer(capsule, "held");
    if (!held)
        return NULL;
    int ruleset = landlock_draft(abi, network);
    int r = ruleset < 0 ? ruleset : landlock_allow_held(ruleset, abi, held);
    if (r == 0)
        r = allow(ruleset, abi, more, LANDLOCK_READ);
    if (r == 0)
        return PyLong_FromLong(ruleset);
    if (ruleset >= 0)
        close(ruleset);
    return failed(r, "cannot draft the Landlock rules");
}

static PyObject *drop(PyObject *module, PyObject *unused)
{
    (void)module, (void)unused;
    int r = privilege_none_new();
    return box_none_or(r == 0 ? privilege_drop(true) : r, "cannot give up privileges");
}

static PyObject *close_box(PyObject *module, PyObject *arguments)
{
    (void)module;
    int ruleset, abi;
    PyObject *list, *capsule, *filter;
    if (!PyArg_ParseTuple(arguments, "iiO!OO", &ruleset, &abi, &PyList_Type, &list, &capsule, &filter))
        return NULL;
    const struct held *held = PyCapsule_GetPointer(capsule, "held");
    if (!held)
        return NULL;
    int r = privilege_none_new();
    if (r == 0)
        r = privilege_drop(false);
    if (r < 0)
        return failed(r, "cannot give up privileges");
    if (ruleset >= 0) {
        r = allow_each(ruleset, abi, list);
        if (r < 0)
            return PyErr_Occurred() ? NULL : failed(r, "cannot make a Landlock rule");
        r = landlock_enforce(ruleset);
        close(ruleset);
        if (r < 0)
            return failed(r, "cannot enforce the Landlock rules");
    }
    landlock_forget_held(held);
    r = privilege_bound(held->descriptors);
    if (r < 0)
        return failed(r, "cannot lower the limits");
    r = filter == Py_None ? 0 : load(filter);
    return PyErr_Occurred() ? NULL : box_none_or(r, "cannot load the filter of system calls");
}

/* Fill ret_paths. False: an exception is set. */
static bool paths_of(PyObject *list, const char *ret_paths[PATHS_MAX])
{
    Py_ssize_t n = PyList_GET_SIZE(list);
    if (n > PATHS_MAX) {
        PyErr_Format(PyExc_ValueError, "at most %d paths", PATHS_MAX);
        return false;
    }
    for (Py_ssize_t i = 0; i < n; i++)
        if (!(ret_paths[i] = PyUnicode_AsUTF8(PyList_GET_ITEM(list, i))))
            return false;
    return true;
}

static PyObject *build_view(PyObject *module, PyObject *arguments)
{
    (void)module;
    const char *root;
    PyObject *list, *names;
    const char *shown[PATHS_MAX];
    if (!PyArg_ParseTuple(arguments, "sO!O!", &root, &PyList_Type, &list, &PyList_Type, &names) ||
        !paths_of(names, shown))
        return NULL;
    int r = view_open(root);
    if (r < 0)
        return failed(r, "cannot make a root of its own");
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(list); i++) {
        const char *path;
        unsigned kind;
        if (!PyArg_ParseTuple(PyList_GET_ITEM(list, i), "sI", &path, &kind))
            return NULL;
        r = kind > VIEW_STILL ? -EINVAL : view_show(root, path, (enum view_kind)kind);
        if (r < 0 && r != -ENOENT && r != -EACCES)
            return failed(r, path);
    }
    r = view_proc(root, shown, (size_t)PyList_GET_SIZE(names));
    if (r < 0)
        return failed(r, "cannot mount a proc of its own");
    return box_none_or(view_enter(root), "cannot enter a root of its own");
}

static PyObject *part(PyObject *module, PyObject *arguments)
{
    (void)module;
    const char *scratch, *paths[PATHS_MAX];
    unsigned long long bytes;
    int back;
    PyObject *list;
    if (!PyArg_ParseTuple(arguments, "iO!sK", &back, &PyList_Type, &list, &scratch, &bytes))
        return NULL;
    if (!paths_of(list, paths))
        return NULL;
    size_t n = (size_t)PyList_GET_SIZE(list);
    return box_none_or(view_part(back, paths, n, scratch, bytes), "cannot make mounts of its own");
}

static PyObject *clear(PyObject *module, PyObject *arguments)
{
    (void)module;
    int directory;
    unsigned budget;
    if (!PyArg_ParseTuple(arguments, "iI", &directory, &budget))
        return NULL;
    int r = scratch_clear(directory, budget);
    return r < 0 ? failed(r, "cannot empty a directory") : PyBool_FromLong(r);
}

static PyMethodDef methods[] = {
    {"compile", compile_filter, METH_VARARGS, "compile(kind, network, Landlock's ABI, reused) -> filter"},
    {"load", load_filter, METH_O,
     "load(filter)\n\n"
     "Load it for this process and its descendants."},
    {"hold", py_hold, METH_VARARGS,
     "hold([(path, right), ...], descriptors) -> held\n\n"
     "Look the paths up in a template, for all of its workers."},
    {"allow", allow_more, METH_VARARGS, "allow(ruleset, abi, [(path, right), ...])"},
    {"draft", draft, METH_VARARGS,
     "draft(abi, network, held, path) -> ruleset\n\n"
     "Draft a ruleset that allows to read `path`, too."},
    {"drop", drop, METH_NOARGS,
     "drop()\n\n"
     "Drop the privileges of this process and its descendants."},
    {"close", close_box, METH_VARARGS,
     "close(ruleset or -1, abi, [(path, right), ...], held, filter or None)\n\n"
     "Close the box for good, in a process with one thread."},
    {"view", build_view, METH_VARARGS,
     "view(root, [(path, kind), ...], [name in /proc, ...])\n\n"
     "Build a root, and make it this process's."},
    {"part", part, METH_VARARGS,
     "part(back or -1, [path, ...], scratch, bytes)\n\n"
     "Enter a mount namespace of this worker's own, made from its current one, or from `back`."},
    {"clear", clear, METH_VARARGS, "clear(directory, budget) -> whether more is left"},
    {NULL, NULL, 0, NULL},
};

static int add_constants(PyObject *module)
{
    static const struct {
        const char *name;
        long value;
    } constants[] = {
        {"READ", LANDLOCK_READ},
        {"DEVICE", LANDLOCK_DEVICE},
        {"ALL", LANDLOCK_ALL},
        {"VIEW_READ", VIEW_READ},
        {"VIEW_DEVICE", VIEW_DEVICE},
        {"VIEW_STILL", VIEW_STILL},
        {"STANDARD", FILTER_STANDARD},
        {"STRICT", FILTER_STRICT},
        {"STRICT_FIRST", FILTER_STRICT_FIRST},
        {"STRICT_REST", FILTER_STRICT_REST},
        {"STANDARD_FIRST", FILTER_STANDARD_FIRST},
        {"STANDARD_REST", FILTER_STANDARD_REST},
    };
    for (size_t i = 0; i < COUNT_OF(constants); i++)
        if (PyModule_AddIntConstant(module, constants[i].name, constants[i].value) < 0)
            return -1;
    return PyModule_AddStringConstant(module, "OUTSIDE", VIEW_OUTSIDE);
}

static PyModuleDef_Slot slots[] = {
    {Py_mod_exec, (void *)add_constants},
    {0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "pinfold._worker.box._box",
    .m_doc = "The sandbox inside a worker.",
    .m_methods = methods,
    .m_slots = slots,
};

PyMODINIT_FUNC PyInit__box(void)
{
    return PyModuleDef_Init(&definition);
}

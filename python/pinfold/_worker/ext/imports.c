/* SPDX-License-Identifier: Apache-2.0 */
/* imports.c - records which modules a call imports, and how long that takes.
 *
 * If a module is in sys.modules already, the interpreter looks no further. Otherwise it calls
 * importlib._bootstrap._find_and_load by that name (Python/import.c, import_find_and_load), and this file wraps
 * that function. A call that imports nothing new pays nothing, and no frame of this file appears in a traceback.
 */
#include "runtime.h"

#include <pythread.h>

#include "base/util.h"

#define NOTED_MAX 64    /* modules per call */
#define SHORTEST 100000 /* nanoseconds; faster imports are not noted */

static PyObject *find_and_load; /* importlib's own function */
static PyObject *noted;         /* a list of (name, nanoseconds) */
static unsigned long thread;    /* the thread whose imports are noted */
static bool inside;             /* during an outermost import: the modules that it imports are not noted */

static int note(PyObject *name, long long took)
{
    if (took < SHORTEST || PyList_GET_SIZE(noted) >= NOTED_MAX)
        return 0;
    PyObject *entry = Py_BuildValue("(OL)", name, took);
    int r = entry ? PyList_Append(noted, entry) : -1;
    Py_XDECREF(entry);
    return r;
}

static PyObject *timed(PyObject *self, PyObject *const *arguments, Py_ssize_t n)
{
    (void)self;
    if (inside || n < 1 || PyThread_get_thread_ident() != thread)
        return PyObject_Vectorcall(find_and_load, arguments, (size_t)n, NULL);
    inside = true;
    long long began = now_ns();
    PyObject *module = PyObject_Vectorcall(find_and_load, arguments, (size_t)n, NULL);
    long long took = now_ns() - began;
    inside = false;
    if (module && note(arguments[0], took) < 0)
        Py_CLEAR(module);
    return module;
}

static PyMethodDef in_between = {"_find_and_load", (PyCFunction)(void (*)(void))timed, METH_FASTCALL, NULL};

PyObject *imports_watch(void)
{
    PyObject *importlib = PyImport_ImportModule("_frozen_importlib");
    PyObject *function = importlib ? PyCFunction_New(&in_between, NULL) : NULL;
    thread = PyThread_get_thread_ident();
    if (function && (noted = PyList_New(0)))
        find_and_load = PyObject_GetAttrString(importlib, "_find_and_load");
    int r = find_and_load ? PyObject_SetAttrString(importlib, "_find_and_load", function) : -1;
    Py_XDECREF(function);
    Py_XDECREF(importlib);
    if (r < 0)
        return NULL;
    Py_RETURN_NONE;
}

PyObject *imports_take(void)
{
    if (!noted || PyList_GET_SIZE(noted) == 0)
        Py_RETURN_NONE;
    PyObject *taken = noted, *next = PyList_New(0);
    if (!next)
        return NULL;
    noted = next;
    return taken;
}

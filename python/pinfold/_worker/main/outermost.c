/* SPDX-License-Identifier: Apache-2.0 */
/* outermost.c - the extension _main: runs a program's code as if no frame were beneath it.
 *
 * The interpreter runs a script on an empty stack. A worker runs one from its own functions. Their frames would
 * show in stacks, and take from the depth that the program may recurse to. So they are hidden while it runs. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <errno.h>
#include <stdio.h>

/* The newest frame of a thread, and how deep its calls are. */
#if PY_VERSION_HEX >= 0x030D0000
typedef struct _PyInterpreterFrame frame;
#define FRAME(thread) (thread)->current_frame
#elif PY_VERSION_HEX >= 0x030B0000
typedef struct _PyInterpreterFrame frame;
#define FRAME(thread) (thread)->cframe->current_frame
#else
typedef PyFrameObject frame;
#define FRAME(thread) (thread)->frame
#endif

struct depth {
    int python;
    int c; /* since Python 3.12 calls from C are counted apart */
};

#if PY_VERSION_HEX >= 0x030C0000
#ifndef Py_C_RECURSION_LIMIT
#define Py_C_RECURSION_LIMIT C_RECURSION_LIMIT
#endif

static struct depth depth_of(const PyThreadState *thread)
{
    return (struct depth){thread->py_recursion_limit - thread->py_recursion_remaining,
                          Py_C_RECURSION_LIMIT - thread->c_recursion_remaining};
}

static void set_depth(PyThreadState *thread, struct depth depth)
{
    thread->py_recursion_remaining = thread->py_recursion_limit - depth.python;
    thread->c_recursion_remaining = Py_C_RECURSION_LIMIT - depth.c;
}
#elif PY_VERSION_HEX >= 0x030B0000
static struct depth depth_of(const PyThreadState *thread)
{
    return (struct depth){thread->recursion_limit - thread->recursion_remaining, 0};
}

static void set_depth(PyThreadState *thread, struct depth depth)
{
    thread->recursion_remaining = thread->recursion_limit - depth.python;
}
#else
static struct depth depth_of(const PyThreadState *thread)
{
    return (struct depth){thread->recursion_depth, 0};
}

static void set_depth(PyThreadState *thread, struct depth depth)
{
    thread->recursion_depth = depth.python;
}
#endif

/* Compile and run a file, as the interpreter does. Its errors differ from those of compile(). */
static PyObject *run_file(PyObject *path, PyObject *names)
{
    PyObject *bytes = PyUnicode_EncodeFSDefault(path);
    if (!bytes)
        return NULL;
    FILE *file = fopen(PyBytes_AS_STRING(bytes), "rbe");
    PyObject *value = file ? PyRun_FileExFlags(file, PyBytes_AS_STRING(bytes), Py_file_input, names, names, 1, NULL)
                           : PyErr_SetFromErrnoWithFilenameObject(PyExc_OSError, path);
    Py_DECREF(bytes);
    return value;
}

/* Take the exception that is set, with its traceback. */
static PyObject *take_error(void)
{
    PyObject *type, *error, *trace;
    PyErr_Fetch(&type, &error, &trace);
    PyErr_NormalizeException(&type, &error, &trace);
    if (trace)
        PyException_SetTraceback(error, trace);
    Py_XDECREF(type);
    Py_XDECREF(trace);
    return error;
}

PyDoc_STRVAR(run_doc, "run(what, names)\n--\n\n"
                      "Run a code object, or the file of this path, with these globals. Return the exception that it\n"
                      "raised, or None. No trace or profile function is set afterwards.");

static PyObject *run(PyObject *module, PyObject *arguments)
{
    (void)module;
    PyObject *what, *names;
    if (!PyArg_ParseTuple(arguments, "OO!", &what, &PyDict_Type, &names))
        return NULL;
    if (!PyCode_Check(what) && !PyUnicode_Check(what))
        return PyErr_Format(PyExc_TypeError, "neither a code object nor a path");
    PyThreadState *thread = PyThreadState_Get();
    frame *beneath = FRAME(thread);
    const struct depth depth = depth_of(thread);
    FRAME(thread) = NULL;
    set_depth(thread, (struct depth){0});
    PyObject *value = PyCode_Check(what) ? PyEval_EvalCode(what, names, names) : run_file(what, names);
    FRAME(thread) = beneath;
    set_depth(thread, depth);
    PyObject *error = value ? Py_NewRef(Py_None) : take_error();
    Py_XDECREF(value);
    if (thread->c_tracefunc)
        PyEval_SetTrace(NULL, NULL);
    if (thread->c_profilefunc)
        PyEval_SetProfile(NULL, NULL);
    return error;
}

PyDoc_STRVAR(unraisable_doc, "unraisable(error, where)\n--\n\n"
                             "Report an exception that nobody can catch, as the interpreter does.");

static PyObject *unraisable(PyObject *module, PyObject *arguments)
{
    (void)module;
    PyObject *error, *where;
    if (!PyArg_ParseTuple(arguments, "OO", &error, &where))
        return NULL;
    if (!PyExceptionInstance_Check(error))
        return PyErr_Format(PyExc_TypeError, "not an exception");
    PyErr_Restore(Py_NewRef(Py_TYPE(error)), Py_NewRef(error), PyException_GetTraceback(error));
    PyErr_WriteUnraisable(where == Py_None ? NULL : where);
    Py_RETURN_NONE;
}

static PyMethodDef functions[] = {
    {"run", run, METH_VARARGS, run_doc},
    {"unraisable", unraisable, METH_VARARGS, unraisable_doc},
    {NULL, NULL, 0, NULL},
};

static PyModuleDef definition = {
    .m_base = PyModuleDef_HEAD_INIT,
    .m_name = "pinfold._worker.main._main",
    .m_doc = "Runs a program's code as if no frame were beneath it.",
    .m_methods = functions,
};

PyMODINIT_FUNC PyInit__main(void)
{
    return PyModuleDef_Init(&definition);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* outermost.c - the extension _main: runs a program's code as if no frame were beneath it. All its functions do.
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
    PyObject *value = file
                          ? PyRun_FileExFlags(file, PyBytes_AS_STRING(bytes), Py_file_input, names, names, 1, NULL)
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

struct stack {
    frame *newest;
    struct depth depth;
};

static struct stack hide_stack(void)
{
    PyThreadState *thread = PyThreadState_Get();
    const struct stack stack = {FRAME(thread), depth_of(thread)};
    FRAME(thread) = NULL;
    set_depth(thread, (struct depth){0});
    return stack;
}

/* Return the exception if there is no value. */
static PyObject *show_stack(struct stack stack, PyObject *value)
{
    PyThreadState *thread = PyThreadState_Get();
    FRAME(thread) = stack.newest;
    set_depth(thread, stack.depth);
    PyObject *error = value ? Py_NewRef(Py_None) : take_error();
    Py_XDECREF(value);
    return error;
}

PyDoc_STRVAR(run_doc,
             "run(what, names)\n--\n\n"
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
    const struct stack stack = hide_stack();
    PyObject *value = PyCode_Check(what) ? PyEval_EvalCode(what, names, names) : run_file(what, names);
    PyObject *error = show_stack(stack, value);
    const PyThreadState *thread = PyThreadState_Get();
    if (thread->c_tracefunc)
        PyEval_SetTrace(NULL, NULL);
    if (thread->c_profilefunc)
        PyEval_SetProfile(NULL, NULL);
    return error;
}

PyDoc_STRVAR(call_doc, "call(function, *arguments)\n--\n\n"
                       "Call a function, and return the exception that it raised, or None.");

static PyObject *call(PyObject *module, PyObject *const *arguments, Py_ssize_t n)
{
    (void)module;
    if (n < 1)
        return PyErr_Format(PyExc_TypeError, "call() takes a function");
    const struct stack stack = hide_stack();
    return show_stack(stack, PyObject_Vectorcall(arguments[0], arguments + 1, (size_t)n - 1, NULL));
}

/* Report the exception that is set. `doing` is what the interpreter was doing; `where` is an object, or NULL. */
static void report(PyObject *where, const char *doing)
{
#if PY_VERSION_HEX >= 0x030D0000
    (void)where;
    PyErr_FormatUnraisable("Exception ignored on %s", doing);
#else
    (void)doing;
    PyErr_WriteUnraisable(where);
#endif
}

PyDoc_STRVAR(unraisable_doc, "unraisable(error, where, doing)\n--\n\n"
                             "Report an exception that nobody can catch, as the interpreter does.");

static PyObject *unraisable(PyObject *module, PyObject *arguments)
{
    (void)module;
    PyObject *error, *where;
    const char *doing;
    if (!PyArg_ParseTuple(arguments, "OOs", &error, &where, &doing))
        return NULL;
    if (!PyExceptionInstance_Check(error))
        return PyErr_Format(PyExc_TypeError, "not an exception");
    const struct stack stack = hide_stack();
    PyErr_Restore(Py_NewRef(Py_TYPE(error)), Py_NewRef(error), PyException_GetTraceback(error));
    report(where, doing);
    Py_XDECREF(show_stack(stack, Py_NewRef(Py_None)));
    Py_RETURN_NONE;
}

/* Since Python 3.12 the interpreter finds this exception when it waits for threads. */
static void end_with_error(void)
{
    if (PyErr_Occurred() && PY_VERSION_HEX >= 0x030C0000)
        report(NULL, "threading shutdown");
    PyErr_Clear();
}

PyDoc_STRVAR(
    exit_status_doc,
    "exit_status(value)\n--\n\n"
    "Return the exit status for `sys.exit(value)`. Writes a value that is no int to stderr. As the interpreter\n"
    "does: _Py_HandleSystemExit() of Python/pythonrun.c.");

static PyObject *exit_status(PyObject *module, PyObject *value)
{
    (void)module;
    int status = 1;
    const struct stack stack = hide_stack();
    PyObject *stream = PySys_GetObject("stderr"); /* borrowed */
    if (value == Py_None) {
        status = 0;
    } else if (PyLong_Check(value)) {
        status = (int)PyLong_AsLong(value);
    } else {
        if (stream && stream != Py_None) {
            Py_INCREF(stream);
            (void)PyFile_WriteObject(value, stream, Py_PRINT_RAW);
            Py_DECREF(stream);
        } else {
            (void)PyObject_Print(value, stderr, Py_PRINT_RAW);
            fflush(stderr);
        }
        PySys_WriteStderr("\n");
    }
    end_with_error();
    Py_XDECREF(show_stack(stack, Py_NewRef(Py_None)));
    return PyLong_FromLong(status & 0xFF);
}

PyDoc_STRVAR(complain_doc, "complain(text)\n--\n\nWrite a text to stderr, wherever that is.");

static PyObject *complain(PyObject *module, PyObject *text)
{
    (void)module;
    const char *bytes = PyUnicode_AsUTF8(text);
    if (!bytes)
        return NULL;
    const struct stack stack = hide_stack();
    PySys_WriteStderr("%s", bytes);
    Py_XDECREF(show_stack(stack, Py_NewRef(Py_None)));
    Py_RETURN_NONE;
}

PyDoc_STRVAR(no_import_doc, "no_import(name, ...)\n--\n\nFail as an import does at the interpreter's end.");

static PyObject *no_import(PyObject *module, PyObject *arguments, PyObject *keywords)
{
    (void)module, (void)arguments, (void)keywords;
    PyErr_SetString(PyExc_ImportError, "sys.meta_path is None, Python is likely shutting down");
    return NULL;
}

static PyMethodDef functions[] = {
    {"run", run, METH_VARARGS, run_doc},
    {"call", (PyCFunction)(void (*)(void))call, METH_FASTCALL, call_doc},
    {"complain", complain, METH_O, complain_doc},
    {"exit_status", exit_status, METH_O, exit_status_doc},
    {"no_import", (PyCFunction)(void (*)(void))no_import, METH_VARARGS | METH_KEYWORDS, no_import_doc},
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

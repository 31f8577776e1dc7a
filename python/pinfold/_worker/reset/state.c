/* SPDX-License-Identifier: Apache-2.0 */
/* state.c - finds what a call changed, and shields later code from what the call left. */
#include "state.h"

#include <dirent.h>
#include <fcntl.h>
#include <pinfold_worker.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/util.h"
#include "process/sweep.h"

#define BOXED_DESCRIPTORS 512
#define DESCRIPTORS 256 /* the most that descriptors() looks at */

/* Return a number that a dict gets anew with each change (PEP 509); 0: there is none (Python 3.14 removed it). Not
 * for an instance's dict, which Python 3.13 changes without a new number. */
static uint64_t version_of(PyObject *dict)
{
#if PY_VERSION_HEX < 0x030E0000
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
    return ((PyDictObject *)dict)->ma_version_tag;
#pragma GCC diagnostic pop
#else
    (void)dict;
    return 0;
#endif
}

PyDoc_STRVAR(version_doc, "version(mapping)\n--\n\n"
                          "Return a number that is different after every change of the dict; 0 if there is none.");

static PyObject *version(PyObject *Py_UNUSED(module), PyObject *mapping)
{
    if (!PyDict_Check(mapping)) {
        PyErr_SetString(PyExc_TypeError, "not a dict");
        return NULL;
    }
    return PyLong_FromUnsignedLongLong(version_of(mapping));
}

/* Compare by identity and in order, which calls no method of a program's objects. */
static bool same_items(PyObject *container, PyObject *items)
{
    Py_ssize_t n = PyTuple_GET_SIZE(items), place = 0, i = 0;
    PyObject *key, *value;
    if (PyList_Check(container)) {
        while (i < n && i < PyList_GET_SIZE(container) &&
               PyList_GET_ITEM(container, i) == PyTuple_GET_ITEM(items, i))
            i++;
        return i == n && n == PyList_GET_SIZE(container);
    }
    if (PyDict_Size(container) * 2 != n)
        return false;
    for (; PyDict_Next(container, &place, &key, &value); i += 2)
        if (key != PyTuple_GET_ITEM(items, i) || value != PyTuple_GET_ITEM(items, i + 1))
            return false;
    return true;
}

PyDoc_STRVAR(
    changed_doc,
    "changed(watched)\n--\n\n"
    "Return the indices of the watches (container, items, version, ...) that no longer hold. `items` is the\n"
    "tuple of a list's objects, or of a dict's keys and values in turn, in order.");

static PyObject *changed(PyObject *Py_UNUSED(module), PyObject *watched)
{
    if (!PyTuple_Check(watched)) {
        PyErr_SetString(PyExc_TypeError, "a tuple of pairs");
        return NULL;
    }
    PyObject *indices = PyList_New(0);
    for (Py_ssize_t i = 0; indices && i < PyTuple_GET_SIZE(watched); i++) {
        PyObject *pair = PyTuple_GET_ITEM(watched, i);
        bool is_watch = PyTuple_Check(pair) && PyTuple_GET_SIZE(pair) >= 3;
        PyObject *container = is_watch ? PyTuple_GET_ITEM(pair, 0) : Py_None;
        PyObject *items = is_watch ? PyTuple_GET_ITEM(pair, 1) : Py_None;
        PyObject *known = is_watch ? PyTuple_GET_ITEM(pair, 2) : Py_None;
        if (!PyTuple_Check(items) || !(PyList_Check(container) || PyDict_Check(container))) {
            PyErr_SetString(PyExc_TypeError, "not a watch of a list or dict");
            Py_CLEAR(indices);
        } else if (known != Py_None && PyDict_Check(container) && version_of(container) &&
                   version_of(container) == PyLong_AsUnsignedLongLong(known)) {
            continue;
        } else if (!same_items(container, items)) {
            PyObject *index = PyLong_FromSsize_t(i);
            if (!index || PyList_Append(indices, index) < 0)
                Py_CLEAR(indices);
            Py_XDECREF(index);
        }
    }
    return indices;
}

PyDoc_STRVAR(
    rebind_doc,
    "rebind(watched)\n--\n\n"
    "Give the keys of each watched dict their values again. New keys stay. It is written in C, because Python\n"
    "code cannot run with changed builtins.");

static PyObject *rebind(PyObject *module, PyObject *watched)
{
    PyObject *indices = changed(module, watched);
    for (Py_ssize_t i = 0; indices && i < PyList_GET_SIZE(indices); i++) {
        PyObject *watch = PyTuple_GET_ITEM(watched, PyLong_AsSsize_t(PyList_GET_ITEM(indices, i)));
        PyObject *items = PyTuple_GET_ITEM(watch, 1);
        for (Py_ssize_t k = 0; indices && k + 1 < PyTuple_GET_SIZE(items); k += 2)
            if (PyDict_SetItem(PyTuple_GET_ITEM(watch, 0), PyTuple_GET_ITEM(items, k),
                               PyTuple_GET_ITEM(items, k + 1)) < 0)
                Py_CLEAR(indices);
    }
    if (!indices)
        return NULL;
    Py_DECREF(indices);
    Py_RETURN_NONE;
}

PyDoc_STRVAR(descriptors_doc,
             "descriptors(n)\n--\n\n"
             "Return a byte for each of the descriptors 0 .. n - 1: 1 if it is open, else 0. n is at most 256.");

static PyObject *descriptors(PyObject *Py_UNUSED(module), PyObject *argument)
{
    long n = PyLong_AsLong(argument);
    struct pollfd polled[DESCRIPTORS];
    char open[DESCRIPTORS];
    if (n == -1 && PyErr_Occurred())
        return NULL;
    n = n < 0 ? 0 : n > DESCRIPTORS ? DESCRIPTORS : n;
    for (int fd = 0; fd < n; fd++)
        polled[fd] = (struct pollfd){.fd = fd};
    /* poll(2) refuses more than RLIMIT_NOFILE entries. */
    bool by_poll = RETRY_EINTR(poll(polled, (nfds_t)n, 0)) >= 0;
    for (int fd = 0; fd < n; fd++)
        open[fd] = by_poll ? !(polled[fd].revents & POLLNVAL) : fcntl(fd, F_GETFD) >= 0;
    return PyBytes_FromStringAndSize(open, n);
}

PyDoc_STRVAR(
    identities_doc,
    "identities()\n--\n\n"
    "Return a dict of all open descriptors. The value, in bytes, identifies the open file; it differs when\n"
    "another file takes the number.");

struct descriptor {
    uint64_t device, inode, special;
    uint32_t mode, flags;
};

static PyObject *identity_of(int fd)
{
    struct stat status;
    int flags = fcntl(fd, F_GETFD);
    if (flags < 0 || fstat(fd, &status) < 0)
        return PyErr_SetFromErrno(PyExc_OSError);
    const struct descriptor is = {
        .device = status.st_dev,
        .inode = status.st_ino,
        .special = status.st_rdev,
        .mode = status.st_mode,
        .flags = (uint32_t)flags,
    };
    return PyBytes_FromStringAndSize((const char *)&is, sizeof(is));
}

static int add_identity(PyObject *found, int fd)
{
    PyObject *number = PyLong_FromLong(fd);
    PyObject *identity = number ? identity_of(fd) : NULL;
    int r = identity ? PyDict_SetItem(found, number, identity) : -1;
    Py_XDECREF(number);
    Py_XDECREF(identity);
    return r;
}

static PyObject *identities(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(unused))
{
    DIR *directory = opendir("/proc/self/fd");
    if (!directory && errno != EACCES)
        return PyErr_SetFromErrnoWithFilename(PyExc_OSError, "/proc/self/fd");
    PyObject *found = PyDict_New();
    int r = found ? 0 : -1;
    if (directory) {
        for (struct dirent *entry; r == 0 && (entry = readdir(directory));)
            if (entry->d_name[0] != '.' && atoi(entry->d_name) != dirfd(directory))
                r = add_identity(found, atoi(entry->d_name));
        closedir(directory);
        /* In a box /proc is closed to a process that a call started. */
    } else {
        for (int fd = 0; r == 0 && fd < BOXED_DESCRIPTORS; fd++)
            if (fcntl(fd, F_GETFD) >= 0)
                r = add_identity(found, fd);
    }
    if (r < 0)
        Py_CLEAR(found);
    return found;
}

PyDoc_STRVAR(
    has_children_doc,
    "has_children()\n--\n\n"
    "Return whether this process has a child, dead or alive. For a subreaper: whether a descendant is left.");

static PyObject *has_children(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(unused))
{
    siginfo_t info;
    return PyBool_FromLong(RETRY_EINTR(waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT)) == 0);
}

PyDoc_STRVAR(
    sweep_doc,
    "sweep(seconds, trackers)\n--\n\n"
    "Kill and reap every descendant; if `trackers`, resource trackers last. Returns False if time ran out with\n"
    "some left.");

static PyObject *sweep(PyObject *Py_UNUSED(module), PyObject *arguments)
{
    double seconds;
    int trackers, result;
    if (!PyArg_ParseTuple(arguments, "dp", &seconds, &trackers))
        return NULL;
    Py_BEGIN_ALLOW_THREADS
    sweep_spare_trackers(trackers ? SWEEP_TRACKER_NS : 0);
    result = sweep_all((long long)(seconds * (double)NS_PER_S));
    Py_END_ALLOW_THREADS
    return PyBool_FromLong(result == 0);
}

PyDoc_STRVAR(peak_doc, "peak_kb()\n--\n\n"
                       "Return the largest resident size so far, in KiB (getrusage(2)).");

static PyObject *peak_kb(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(unused))
{
    struct rusage usage = {0};
    getrusage(RUSAGE_SELF, &usage);
    return PyLong_FromLong(usage.ru_maxrss);
}

/* Remove the signals that are never blocked: those of a crash, and the request for the stack (runtime.h). */
static void keep_heard(sigset_t *set)
{
    static const int heard[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP, SIGSYS};
    for (size_t i = 0; i < COUNT_OF(heard); i++)
        sigdelset(set, heard[i]);
    sigdelset(set, PINFOLD_ASK_SIGNAL);
}

/* sys.monitoring, since Python 3.12: a tool's callbacks may raise at any line of ours. */
#define TOOLS 6
static PyObject *get_tool, *set_events; /* NULL before Python 3.12 */

static void find_monitoring(void)
{
    PyObject *monitoring = PySys_GetObject("monitoring");
    if (!monitoring)
        return;
    get_tool = PyObject_GetAttrString(monitoring, "get_tool");
    set_events = PyObject_GetAttrString(monitoring, "set_events");
    PyErr_Clear();
}

static void end_monitoring(void)
{
    for (int tool = 0; get_tool && set_events && tool < TOOLS; tool++) {
        PyObject *name = PyObject_CallFunction(get_tool, "i", tool);
        if (name && name != Py_None)
            Py_XDECREF(PyObject_CallFunction(set_events, "ii", tool, 0));
        Py_XDECREF(name);
        PyErr_Clear();
    }
}

PyDoc_STRVAR(
    shield_doc,
    "shield(function, *args) -> (value, error)\n--\n\n"
    "Call the function; one of the two results is None. From its return on, none of the program's signal\n"
    "handlers runs, because signals are blocked; no trace or profile function is set; and no tool of\n"
    "sys.monitoring has events.");

/* Written in C, because a handler that raises can do so between any two instructions of Python. */
static PyObject *shield(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t n_args)
{
    if (n_args < 1) {
        PyErr_SetString(PyExc_TypeError, "shield() takes a function");
        return NULL;
    }
    PyObject *value = PyObject_Vectorcall(args[0], args + 1, (size_t)n_args - 1, NULL);
    PyObject *type = NULL, *error = NULL, *trace = NULL;
    if (!value) {
        PyErr_Fetch(&type, &error, &trace);
        PyErr_NormalizeException(&type, &error, &trace);
        if (trace)
            PyException_SetTraceback(error, trace);
    }
    sigset_t set;
    sigfillset(&set);
    keep_heard(&set);
    pthread_sigmask(SIG_SETMASK, &set, NULL);
    PyThreadState *thread = PyThreadState_Get();
    if (thread->c_tracefunc)
        PyEval_SetTrace(NULL, NULL);
    if (thread->c_profilefunc)
        PyEval_SetProfile(NULL, NULL);
    end_monitoring();
    while (PyErr_CheckSignals() < 0) /* for signals that arrived before the block */
        PyErr_Clear();
    PyObject *pair = PyTuple_Pack(2, value ? value : Py_None, error ? error : Py_None);
    Py_XDECREF(value);
    Py_XDECREF(type);
    Py_XDECREF(error);
    Py_XDECREF(trace);
    return pair;
}

static PyMethodDef functions[] = {
    {"changed", changed, METH_O, changed_doc},
    {"version", version, METH_O, version_doc},
    {"rebind", rebind, METH_O, rebind_doc},
    {"descriptors", descriptors, METH_O, descriptors_doc},
    {"identities", identities, METH_NOARGS, identities_doc},
    {"has_children", has_children, METH_NOARGS, has_children_doc},
    {"sweep", sweep, METH_VARARGS, sweep_doc},
    {"shield", (PyCFunction)(void (*)(void))shield, METH_FASTCALL, shield_doc},
    {"peak_kb", peak_kb, METH_NOARGS, peak_doc},
    {NULL, NULL, 0, NULL},
};

static int state_module_exec(PyObject *module)
{
    find_monitoring();
    PyObject *type = PyType_FromModuleAndSpec(module, &state_spec, NULL);
    int result = type ? PyModule_AddType(module, (PyTypeObject *)type) : -1;
    Py_XDECREF(type);
    return result;
}

static PyModuleDef_Slot module_slots[] = {
    {Py_mod_exec, (void *)state_module_exec},
    {0, NULL},
};

static PyModuleDef definition = {
    .m_base = PyModuleDef_HEAD_INIT,
    .m_name = "pinfold._worker.reset._state",
    .m_doc = "Finds what a call changed, and shields later code from what the call left.",
    .m_methods = functions,
    .m_slots = module_slots,
};

PyMODINIT_FUNC PyInit__state(void)
{
    return PyModuleDef_Init(&definition);
}

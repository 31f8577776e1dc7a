/* SPDX-License-Identifier: Apache-2.0 */
/* claim.c - Pool.claimed: gives one thread at a time the claim on a call, wherever an exception is raised.
 *
 * A `with` block in Python is not enough: a signal handler may raise before it is entered, or while it is left.
 */
#include "binding.h"

/* Return the current thread's identity, or the current greenlet's if identify() set a function. */
PyObject *py_here(PyObject *type, PyObject *Py_UNUSED(ignored))
{
    PyObject *identity = ((struct binding *)PyType_GetModuleState((PyTypeObject *)type))->identity;
    if (!identity)
        return PyLong_FromUnsignedLong(PyThread_get_thread_ident());
    PyObject *given = PyObject_CallNoArgs(identity);
    unsigned long here = given ? PyLong_AsUnsignedLongMask(given) : 0;
    Py_XDECREF(given);
    return PyErr_Occurred() ? NULL : PyLong_FromUnsignedLong(here); /* a new object each time: see py_claimed */
}

PyObject *py_identify(PyObject *type, PyObject *identity)
{
    struct binding *binding = PyType_GetModuleState((PyTypeObject *)type);
    Py_XSETREF(binding->identity, Py_NewRef(identity));
    Py_RETURN_NONE;
}

PyObject *py_claimed(PyObject *type, PyObject *const *args, Py_ssize_t n)
{
    if (n < 3 || !PyDict_CheckExact(args[0])) {
        PyErr_SetString(PyExc_TypeError, "claimed() takes a dict, a key and a function");
        return NULL;
    }
    PyObject *claims = args[0];
    PyObject *key = args[1];
    PyObject *mine = py_here(type, NULL);
    PyObject *holder = mine ? PyDict_SetDefault(claims, key, mine) : NULL;
    PyObject *value = NULL;
    if (holder && holder == mine) { /* identity, not equality: this thread may have the claim already */
        value = PyObject_Vectorcall(args[2], args + 3, (size_t)n - 3, NULL);
        PyObject *kind;
        PyObject *error;
        PyObject *traceback;
        PyErr_Fetch(&kind, &error, &traceback);
        if (PyDict_DelItem(claims, key) < 0)
            PyErr_Clear();
        PyErr_Restore(kind, error, traceback);
    } else if (holder) {
        value = Py_NewRef(Py_None);
    }
    Py_XDECREF(mine);
    return value;
}

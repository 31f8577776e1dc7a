/* Pool.claimed: one thread at a time has a call, whatever is raised, and wherever.
 *
 * A `with` in Python would not do: a signal handler may raise before it is entered, or while it is left.
 */
#include "binding.h"

PyObject *py_claimed(PyObject *Py_UNUSED(ignored), PyObject *const *args, Py_ssize_t n)
{
    if (n < 3 || !PyDict_CheckExact(args[0])) {
        PyErr_SetString(PyExc_TypeError, "claimed() takes a dict, a key and a function");
        return NULL;
    }
    PyObject *claims = args[0];
    PyObject *key = args[1];
    PyObject *mine = PyLong_FromUnsignedLong(PyThread_get_thread_ident());
    PyObject *holder = mine ? PyDict_SetDefault(claims, key, mine) : NULL;
    PyObject *value = NULL;
    if (holder && holder == mine) { /* the very object: this thread may have the call already */
        value = PyObject_Vectorcall(args[2], args + 3, (size_t)n - 3, NULL);
        PyObject *type;
        PyObject *error;
        PyObject *traceback;
        PyErr_Fetch(&type, &error, &traceback);
        if (PyDict_DelItem(claims, key) < 0)
            PyErr_Clear();
        PyErr_Restore(type, error, traceback);
    } else if (holder) {
        value = Py_NewRef(Py_None);
    }
    Py_XDECREF(mine);
    return value;
}

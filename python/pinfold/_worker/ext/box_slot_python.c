/* SPDX-License-Identifier: Apache-2.0 */
/* box_slot_python.c - a worker's box slot (box_slot.h) for Python. It runs as little Python as it can: each object
 * or cache first touched in a worker is a page copied for the call. */
#include "runtime.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "box_slot.h"

PyObject *py_use_box_slots(PyObject *module, PyObject *arguments)
{
    (void)module;
    PyObject *capsule, *rest;
    int abi, network;
    const char *scratch;
    if (!PyArg_ParseTuple(arguments, "OipzO", &capsule, &abi, &network, &scratch, &rest))
        return NULL;
    const struct held *held = PyCapsule_GetPointer(capsule, "held");
    const struct filter *filter = rest == Py_None ? NULL : PyCapsule_GetPointer(rest, "filter");
    if (PyErr_Occurred())
        return NULL;
    Py_INCREF(capsule); /* both live as long as this template */
    Py_INCREF(rest);
    box_slots_use(held, abi, network, scratch, filter);
    Py_RETURN_NONE;
}

PyObject *py_own_box_slot(PyObject *module, PyObject *unused)
{
    (void)module, (void)unused;
    char name[16];
    int ruleset = box_slot_own(name);
    if (ruleset < 0)
        Py_RETURN_NONE;
    return Py_BuildValue("(is)", ruleset, name);
}

PyObject *py_draft_box_slot(PyObject *module, PyObject *unused)
{
    (void)module, (void)unused;
    int r = box_slot_draft();
    return r < 0 ? raise_errno(r, "cannot make a Landlock rule") : PyBool_FromLong(r);
}

/* Set the variables as `environ[name] = value` does, but putenv(3) gets no copy: `room` is its for good. */
static int point(PyObject *data, const char *directory)
{
    static const char *const names[] = {"HOME=", "TMPDIR=", "TEMP=", "TMP="};
    static char room[4 * (BOX_SLOT_PATH + sizeof("TMPDIR="))];
    char *at = room;
    PyObject *value = PyBytes_FromString(directory);
    int r = value ? 0 : -1;
    for (size_t i = 0; r == 0 && i < COUNT_OF(names); i++) {
        char *text = at;
        at += sprintf(at, "%s%s", names[i], directory) + 1;
        PyObject *name = PyBytes_FromStringAndSize(names[i], (Py_ssize_t)strlen(names[i]) - 1);
        r = name && putenv(text) == 0 ? PyDict_SetItem(data, name, value) : -1;
        Py_XDECREF(name);
    }
    Py_XDECREF(value);
    return r;
}

PyObject *py_enter_box_slot(PyObject *module, PyObject *data)
{
    (void)module;
    if (!PyDict_Check(data))
        return PyErr_Format(PyExc_TypeError, "a dict of bytes");
    char directory[BOX_SLOT_PATH];
    int r = box_slot_enter(directory);
    if (r < 0)
        return raise_errno(r, "cannot close the box");
    if (r > 0 && point(data, directory) < 0)
        return PyErr_Occurred() ? NULL : PyErr_NoMemory();
    return PyBool_FromLong(r);
}

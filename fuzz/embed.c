/* SPDX-License-Identifier: Apache-2.0 */
/* embed.c - a target in Python: an interpreter inside the fuzzer, which calls one_input(data) of the module
 * TARGET. An uncaught exception is a crash. Each pair of successive Python lines is a counter of libFuzzer's,
 * as a branch in C is. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "fuzz.h"

#define COUNTERS (1 << 16)

__attribute__((section("__libfuzzer_extra_counters"))) static uint8_t counters[COUNTERS];

static PyObject *one_input;

static int trace(PyObject *unused, PyFrameObject *frame, int what, PyObject *argument)
{
    (void)unused, (void)argument;
    static size_t last;
    if (what != PyTrace_LINE)
        return 0;
    PyCodeObject *code = PyFrame_GetCode(frame);
    size_t place = (size_t)PyObject_Hash(code->co_filename) + 0x9E3779B1u * (size_t)PyFrame_GetLineNumber(frame);
    Py_DECREF(code);
    uint8_t *counter = &counters[(place ^ last >> 1) % COUNTERS];
    *counter = (uint8_t)(*counter + (*counter < 255));
    last = place;
    return 0;
}

static void prepare(void)
{
    Py_Initialize();
    PyRun_SimpleString("import sys; sys.path.insert(0, '" HERE "')");
    PyObject *module = PyImport_ImportModule(TARGET);
    one_input = module ? PyObject_GetAttrString(module, "one_input") : NULL;
    if (!one_input) {
        PyErr_Print();
        exit(1);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!one_input)
        prepare();
    PyEval_SetTrace(trace, NULL); /* repeated: a target that measures time removes it */
    PyObject *bytes = PyBytes_FromStringAndSize((const char *)data, (Py_ssize_t)size);
    PyObject *nothing = PyObject_CallOneArg(one_input, bytes);
    if (!nothing) {
        PyErr_Print();
        abort();
    }
    Py_DECREF(nothing);
    Py_DECREF(bytes);
    return 0;
}

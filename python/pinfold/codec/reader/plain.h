/* plain.h - a look at a pickle. */
#ifndef PINFOLD_PLAIN_H
#define PINFOLD_PLAIN_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdbool.h>

#define IS_PLAIN_PICKLE_DOC                                                                                       \
    "is_plain_pickle(buffer)\n--\n\nWhether a pickle makes nothing but plain data: to read it calls nothing."

PyObject *is_plain_pickle(PyObject *module, PyObject *buffer);

#endif

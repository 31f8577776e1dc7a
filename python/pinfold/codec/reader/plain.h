/* SPDX-License-Identifier: Apache-2.0 */
/* plain.h - checks that reading a pickle runs no code. */
#ifndef PINFOLD_PLAIN_H
#define PINFOLD_PLAIN_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdbool.h>

#define IS_PLAIN_PICKLE_DOC                                                                                       \
    "is_plain_pickle(buffer)\n--\n\nReturn whether a pickle makes plain data only, and so calls nothing."

PyObject *is_plain_pickle(PyObject *module, PyObject *buffer);

#endif

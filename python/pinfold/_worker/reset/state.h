/* SPDX-License-Identifier: Apache-2.0 */
/* state.h - shared by the files of the extension _state, which finds and undoes a call's changes in a worker. */
#ifndef PINFOLD_STATE_H
#define PINFOLD_STATE_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

extern PyType_Spec state_spec; /* kernel.c */

#endif

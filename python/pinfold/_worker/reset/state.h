/* state.h - what the files of the extension share: it watches over what a call changes in a reused worker. */
#ifndef PINFOLD_STATE_H
#define PINFOLD_STATE_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

extern PyType_Spec state_spec; /* kernel.c */

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* functions.h - the functions of the example. */
#ifndef FUNCTIONS_H
#define FUNCTIONS_H

#include "runtime.h"

extern const struct function functions[];

#endif

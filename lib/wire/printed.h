/* SPDX-License-Identifier: Apache-2.0 */
/* printed.h - the printed buffer: memory shared by the pool and one worker for output not yet written to its
 * pipes.
 *
 * pinfold_worker.h has its layout and its rules. The pool treats what a worker writes here as its own output:
 * bytes, within these bounds. */
#ifndef PINFOLD_PRINTED_H
#define PINFOLD_PRINTED_H

#include <pinfold_worker.h>

#include "base/output.h"

/* Make a printed buffer that cannot shrink, and a descriptor for both sides. Return 0 or a negative errno. */
int printed_make(int *ret_fd);

/* Map the buffer for the worker. Return 0 or a negative errno. The caller keeps the descriptor. */
int printed_map(int fd, struct pinfold_printed **ret_printed);

/* Add what waits there to the outputs (PINFOLD_PRINTED_OUT, PINFOLD_PRINTED_ERR). The worker's pipes must have
 * been emptied into them before. */
void printed_take(int fd, struct output *outputs);

#endif

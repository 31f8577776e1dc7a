/* SPDX-License-Identifier: Apache-2.0 */
/* pages.h - prepares the page tables of workers, to spare them page faults. */
#ifndef PINFOLD_PAGES_H
#define PINFOLD_PAGES_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stddef.h>

/* Make forks find the code of the interpreter, of the C library and of these files in their page table, as far as
 * it is resident now. `files`: paths as in proc(5), /proc/[pid]/maps. Skips mappings that cannot be prepared. */
void pages_keep_code(const char *const *files, size_t n_files);

/* Call `play` in a fork, to learn which pages a worker writes to. A negative errno: it cannot fork. Learns nothing
 * if the child fails. */
int pages_learn(PyObject *play);

/* In a worker: copy those pages, once, until `channel` is readable. */
void pages_copy(int channel);

/* Gathers what large anonymous memory there is into huge pages. What cannot be had is left as it is. */
void pages_gather(void);

#endif

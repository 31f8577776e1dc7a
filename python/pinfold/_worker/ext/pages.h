/* pages.h - what a fork of the template finds in its page table. */
#ifndef PINFOLD_PAGES_H
#define PINFOLD_PAGES_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stddef.h>

/* From now on a fork finds the code of the interpreter, of the C library and of these files in its page table, as
 * far as it is there now. `files` are paths as proc(5), /proc/[pid]/maps, shows them. What cannot be had is left. */
void pages_keep_code(const char *const *files, size_t n_files);

/* Forks, and has the child call `play`, to learn which pages a worker writes to. A negative errno if it cannot fork;
 * what goes wrong in the child means that nothing is learned. */
int pages_learn(PyObject *play);

/* In a worker: makes copies of those pages, until there is something to read from `channel`. Once. */
void pages_copy(int channel);

/* Gathers what large anonymous memory there is into huge pages. What cannot be had is left as it is. */
void pages_gather(void);

#endif

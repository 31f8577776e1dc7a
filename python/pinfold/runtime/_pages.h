/* _pages.h - what a fork of the template finds in its page table. */
#ifndef PINFOLD_PAGES_H
#define PINFOLD_PAGES_H

#include <stddef.h>

/* From now on a fork finds the code of the interpreter, of the C library and of these files in its page table, as
 * far as it is there now. `files` are paths as proc(5), /proc/[pid]/maps, shows them. What cannot be had is left. */
void pages_keep_code(const char *const *files, size_t n_files);

#endif

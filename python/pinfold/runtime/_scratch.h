/* _scratch.h - directories that programs wrote to, and how they are emptied by somebody who outlives them. */
#ifndef PINFOLD_SCRATCH_H
#define PINFOLD_SCRATCH_H

#include <stdbool.h>
#include <sys/types.h>

/* Removes what is in the directory, at most `budget` entries of it. 1: more is left; 0: it is empty; a negative
 * errno: the rest cannot be removed. What lies deep is moved up first, so no depth is too deep. */
int scratch_clear(int directory, unsigned budget);

/* Removes a directory, or moves it out of the way. True: it has something in it, and lies in `trash`. */
bool scratch_drop(int parent, const char *name, int trash);

#endif

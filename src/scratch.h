/* scratch.h - directories that programs wrote to, and how they are emptied by somebody who outlives them.
 *
 * A template may keep such directories in a *base* of its own: a directory in the spill directory, named BASE_NAME and
 * BASE_DIGITS lower-case hexadecimal digits, that it holds by flock(2) for as long as it lives. Nothing here allocates
 * memory.
 */
#ifndef PINFOLD_SCRATCH_H
#define PINFOLD_SCRATCH_H

#include <stdbool.h>
#include <sys/types.h>

/* Removes what is in the directory, at most `budget` entries of it. 1: more is left; 0: it is empty; a negative
 * errno: the rest cannot be removed. What lies deep is moved up first, so no depth is too deep. */
int scratch_clear(int directory, unsigned budget);

#define BASE_NAME ".pinfold-box-"
#define BASE_DIGITS 12u

/* Removes the bases in the spill directory that nobody holds any more, and all that is in them. */
void scratch_clear_bases(int spill_dir);

/* Removes the base that this template, which is stopped and has no workers any more, holds. */
void scratch_clear_base_of(int spill_dir, pid_t template);

/* Removes a directory, or moves it out of the way. True: it has something in it, and lies in `trash`. */
bool scratch_drop(int parent, const char *name, int trash);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* scratch.h - empty directories that programs wrote to, from a process that outlives those programs.
 *
 * A template may keep such directories in its base directory. That is a directory in the spill directory, named
 * BASE_NAME and BASE_DIGITS lower-case hexadecimal digits, which the template locks (flock(2)) while it lives.
 * Nothing here allocates memory.
 */
#ifndef PINFOLD_SCRATCH_H
#define PINFOLD_SCRATCH_H

#include <stdbool.h>
#include <sys/types.h>

/* Remove at most `budget` entries of the directory. 1: more may be left; 0: it is empty; a negative errno: the
 * rest cannot be removed. Moves deep entries up first, so that no depth is too deep. */
int scratch_clear(int directory, unsigned budget);

#define BASE_NAME ".pinfold-box-"
#define BASE_DIGITS 12u

/* Remove the base directories in the spill directory that no template locks any more, with their contents. */
void scratch_clear_bases(int spill_dir);

/* Remove the base directory that this template holds, which is stopped, or the caller, and has no workers any
 * more. */
void scratch_clear_base_of(int spill_dir, pid_t template);

/* Remove a directory, or move it to `trash`. True: it was not empty and is in `trash` now. */
bool scratch_drop(int parent, const char *name, int trash);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* box_slot.h - Landlock rulesets and scratch directories that fresh boxed workers pass on to one another.
 *
 * A box slot is a Landlock ruleset with the rules common to all workers. Where the box has no mounts of its own,
 * the slot also has a scratch directory and the rule for it. One worker at a time owns a slot.
 *
 * The kernel copies the ruleset when a worker restricts itself with it, so the worker cannot change it later.
 * Before that, each worker adds its own rules (/proc/PID, or mounted scratch), which are void once it is dead.
 * After some workers the template makes the ruleset anew.
 *
 * The template passes the directory on only if nothing was done to it. Creating or removing an entry, or changing
 * the mode or attributes, moves the directory's ctime, which nobody can set. Listing it moves the atime, which the
 * template puts back. Two conditions make this check safe. No process that may write there is left. And a later
 * change gets a later ctime, on the file system's coarse clock too, so a slot lies still for a while before a
 * worker gets it. The template removes any other directory in the usual way.
 */
#ifndef PINFOLD_BOX_SLOT_H
#define PINFOLD_BOX_SLOT_H

#include <limits.h>
#include <stdbool.h>
#include <sys/types.h>

#include "../walls/walls.h"

/* Set the slots up. `scratch`: the path of the directory behind RESERVED_SCRATCH; NULL: the slots have no
 * directories. `filter`: NULL, or the filter that each worker loads above the template's. Keeps `held` and
 * `filter`. */
void box_slots_use(const struct held *held, int abi, bool network, const char *scratch,
                   const struct filter *filter);

#define BOX_SLOT_PATH (PATH_MAX + 16) /* the longest path of a slot's directory */

/* In the template: */
/* Before a fork: take a free slot for the worker, or make one, if possible. */
void box_slot_take(void);
/* After the fork, in the template: assign the slot to the worker. A negative `pid`: the fork failed. */
void box_slot_given(pid_t pid);
/* Give up the slot of a dead worker. False: it had none. */
bool box_slot_left(pid_t pid);
/* Free the slots of dead workers. `last`: no process that they started is left. True: there is new trash. */
bool box_slots_recycle(bool last);

/* In a worker: return its ruleset (owned), or -1, and its directory's name in `scratch`, or "". */
int box_slot_own(char ret_name[16]);

/* In a worker whose whole box is its slot: the template dropped its privileges and loaded most of the filter. */
/* Prepare box_slot_enter() ahead of the call. 0: no such slot, nothing was done; 1: done. */
int box_slot_draft(void);
/* Close the box for good and change to the slot's directory. Returns 0 or 1 as box_slot_draft(). */
int box_slot_enter(char ret_directory[BOX_SLOT_PATH]);

#endif

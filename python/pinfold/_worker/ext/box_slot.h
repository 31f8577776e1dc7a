/* box_slot.h - what a fresh worker in a box takes over from one before it, because it is as good as new.
 *
 * A *berth* is a Landlock ruleset with the rules that all workers have in common and, where the box has no mounts of
 * its own, a scratch directory with the rule for it. It belongs to one worker at a time, and then to the next.
 *
 * The ruleset is copied when a worker restricts itself by it: nothing that the worker does later changes it. Before,
 * each adds what is its own (/proc/PID, or mounted scratch), which names nothing any more when it is dead; after some of
 * them the ruleset is made anew.
 *
 * The directory is passed on only if nothing was done to it. What makes or removes an entry in it, or changes its mode
 * or attributes, moves the time of its last change, which nobody can set; what lists it moves the time of the last
 * access, which is put back. Two things are seen to: that a change is at a later time than the one that is known, to
 * the clock of file systems as well (a berth has to lie still for a while before a worker gets it); and that no
 * process that may write there is left. Otherwise the directory goes as any other does.
 */
#ifndef PINFOLD_BOX_SLOT_H
#define PINFOLD_BOX_SLOT_H

#include <limits.h>
#include <stdbool.h>
#include <sys/types.h>

#include "../walls/walls.h"

/* `scratch`: the path of the directory that RESERVED_SCRATCH is; NULL: the berths have no directories. Keeps `held`.
 * `filter`, NULL or kept: what each worker loads besides the template's. */
void box_slots_use(const struct held *held, int abi, bool network, const char *scratch,
                   const struct filter *filter);

#define BOX_SLOT_PATH (PATH_MAX + 16) /* room for the path of a directory */

/* In the template. */
void box_slot_take(void);       /* before a fork: one for the worker, if there is one */
void box_slot_given(pid_t pid); /* after it; not in the worker. Negative: the fork failed */
bool box_slot_left(pid_t pid);  /* that worker is dead; false: it had none */
bool box_slots_settle(
    bool last); /* of dead ones; `last`: nothing they started is left. True: there is more trash */

/* In a worker: its ruleset (owned), or -1; and the name of its directory in `scratch`, "" without. */
int box_slot_own(char ret_name[16]);

/* In a worker whose berth is all of its box, for the template has given up its privileges and loaded most of the filter. */
int box_slot_draft(void); /* ahead of its call. 0: there is no such berth, nothing was done; 1 */
int box_slot_enter(
    char ret_directory[BOX_SLOT_PATH]); /* closes the box for good, and goes to the directory. 0 or 1 as above */

#endif

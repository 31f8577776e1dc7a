/* slate.h - the slate: a page that says which of the calls handed ahead the worker may begin.
 *
 * A call handed ahead lies in the worker's socket while the worker runs another, and cannot be taken out again. So
 * the slate, not the socket, decides who has the call. Each call has a turn, which its frame carries. The worker
 * begins the call of the next turn; the pool recalls all turns that have not begun. Each is one atomic step on one
 * word, so that exactly one of the two has the call. The worker drops a frame whose turn is over.
 *
 *        next             end
 *     ----|----------------|----      turns: begun | handed ahead, may be recalled | not given yet
 *
 * A worker does not begin the next call while output of the last one may wait in its pipes. It closes the slate
 * before it sends the result, and the pool recalls all that was handed ahead. The pool does not trust what a
 * worker writes here; a worker that lies harms only the calls that it was handed.
 */
#ifndef PINFOLD_SLATE_H
#define PINFOLD_SLATE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define SLATE_TURNS 16u /* most turns that are not over; a power of two */

struct slate {
    _Atomic uint64_t word;              /* next, end, closed */
    _Atomic uint32_t reads;             /* 2 x the pool's reads of the worker's pipes; odd: a read is under way */
    _Atomic uint32_t taken;             /* calls not handed ahead that the worker began */
    _Atomic int64_t begun[SLATE_TURNS]; /* time of the begin, by turn; CLOCK_MONOTONIC */
};

/* Make a slate, and a descriptor for the worker, which cannot shrink it. Return 0 or a negative errno. */
int slate_make(struct slate **ret_slate, int *ret_fd);
/* Map the slate for the worker. Return 0 or a negative errno. The caller keeps the descriptor. */
int slate_map(int fd, struct slate **ret_slate);
void slate_unmap(struct slate **slate);

/* The pool's side. slate_open empties the slate; the worker must not hold a call handed ahead. slate_offer
 * gives one more turn; false: the slate is closed or full. slate_retract takes back the last turn, which the
 * worker must not have been sent yet. slate_recall takes back every turn from the returned one on.
 * slate_begun_at is 0 until the worker has written the time. The pool calls slate_reading before and after each
 * read of the worker's pipes. slate_taken counts slate_take. */
void slate_open(struct slate *slate);
bool slate_offer(struct slate *slate, uint32_t *ret_turn);
void slate_retract(struct slate *slate);
uint32_t slate_recall(struct slate *slate);
bool slate_has_begun(const struct slate *slate, uint32_t turn);
int64_t slate_begun_at(const struct slate *slate, uint32_t turn);
bool slate_is_before(uint32_t turn, uint32_t other);
void slate_reading(struct slate *slate);
uint32_t slate_taken(const struct slate *slate);

/* The worker's side. slate_begin returns false for a turn that was recalled. slate_take begins a call that has
 * no turn. slate_is_quiet: the pool has not read from the worker's pipes since slate_reads returned `reads`. */
void slate_take(struct slate *slate);
bool slate_begin(struct slate *slate, uint32_t turn);
void slate_close(struct slate *slate);
uint32_t slate_reads(const struct slate *slate);
bool slate_is_quiet(const struct slate *slate, uint32_t reads);

#endif

/* slate.h - a page that the pool shares with one worker: which of the calls that it was handed ahead it may begin.
 *
 * A call that is handed ahead lies in the worker's socket while the worker is at another one, and cannot be taken out
 * of there again. So the slate, and not the socket, says whose it is. Each has a turn, which its frame tells: the worker
 * begins the call whose turn is the next one, the pool takes back all turns that have not come, and each is one atomic
 * step on one word, so that just one of the two has the call. A frame whose turn is over is dropped.
 *
 *        next             end
 *     ----|----------------|----      turns: begun | handed ahead, may be taken back | not given yet
 *
 * A worker does not begin the next call while what the last one printed may wait in its pipes: it closes the slate
 * before it answers, and the pool takes back all that was handed ahead. What is written here by a worker is its word
 * alone; a worker that lies harms the calls that it was handed.
 */
#ifndef PINFOLD_SLATE_H
#define PINFOLD_SLATE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define SLATE_TURNS 16u /* that are not over at most; a power of two */

struct slate {
    _Atomic uint64_t word;              /* next, end, and whether it is closed */
    _Atomic uint32_t reads;             /* of the worker's pipes by the pool, twice; odd: one is under way */
    _Atomic uint32_t taken;             /* calls that the worker began and that were not handed ahead */
    _Atomic int64_t begun[SLATE_TURNS]; /* when, by turn; CLOCK_MONOTONIC */
};

/* Makes one, and a descriptor for the worker, which cannot shrink it. 0 or a negative errno. */
int slate_make(struct slate **ret_slate, int *ret_fd);
/* The worker's view of it. 0 or a negative errno; the descriptor stays the caller's. */
int slate_map(int fd, struct slate **ret_slate);
void slate_unmap(struct slate **slate);

/* The pool's side. slate_open: no call is ahead; not while the worker can have one. slate_offer gives one more turn;
 * false: it is closed, or full. slate_retract takes the turn back that was given last, of which the worker does not
 * know. slate_recall takes back every turn from the one that it returns. slate_begun_at is 0 until the worker has said
 * when. slate_reading stands before and after each read of the worker's pipes. slate_taken counts slate_take. */
void slate_open(struct slate *slate);
bool slate_offer(struct slate *slate, uint32_t *ret_turn);
void slate_retract(struct slate *slate);
uint32_t slate_recall(struct slate *slate);
bool slate_has_begun(const struct slate *slate, uint32_t turn);
int64_t slate_begun_at(const struct slate *slate, uint32_t turn);
bool slate_is_before(uint32_t turn, uint32_t other);
void slate_reading(struct slate *slate);
uint32_t slate_taken(const struct slate *slate);

/* The worker's side. slate_begin is false for a turn that was taken back; slate_take begins a call that has none.
 * slate_is_quiet: nobody has read from the worker's pipes since slate_reads returned `reads`. */
void slate_take(struct slate *slate);
bool slate_begin(struct slate *slate, uint32_t turn);
void slate_close(struct slate *slate);
uint32_t slate_reads(const struct slate *slate);
bool slate_is_quiet(const struct slate *slate, uint32_t reads);

#endif

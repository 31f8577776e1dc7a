/* SPDX-License-Identifier: Apache-2.0 */
/* slate.h - the slate: a page that says which of the calls handed ahead the worker may begin.
 *
 * pinfold_worker.h has its layout and its rules. Each step on it is one atomic step on one word, so that exactly
 * one of the pool and the worker has a call. The pool does not trust what a worker writes here. A worker that lies
 * harms only the calls that it was handed. */
#ifndef PINFOLD_SLATE_H
#define PINFOLD_SLATE_H

#include <pinfold_worker.h>
#include <stdbool.h>
#include <stdint.h>

/* Make a slate, and a descriptor for the worker, which cannot shrink it. Return 0 or a negative errno. */
int slate_make(struct pinfold_slate **ret_slate, int *ret_fd);
/* Map the slate for the worker. Return 0 or a negative errno. The caller keeps the descriptor. */
int slate_map(int fd, struct pinfold_slate **ret_slate);
void slate_unmap(struct pinfold_slate **slate);

/* The pool's side. slate_open empties the slate; the worker must not hold a call handed ahead. slate_offer
 * gives one more turn; false: the slate is closed or full. slate_retract takes back the last turn, which the
 * worker must not have been sent yet. slate_recall takes back every turn from the returned one on.
 * slate_begun_at is 0 until the worker has written the time. The pool calls slate_reading before and after each
 * read of the worker's pipes. slate_taken counts slate_take. */
void slate_open(struct pinfold_slate *slate);
bool slate_offer(struct pinfold_slate *slate, uint32_t *ret_turn);
void slate_retract(struct pinfold_slate *slate);
uint32_t slate_recall(struct pinfold_slate *slate);
bool slate_has_begun(const struct pinfold_slate *slate, uint32_t turn);
int64_t slate_begun_at(const struct pinfold_slate *slate, uint32_t turn);
bool slate_is_before(uint32_t turn, uint32_t other);
void slate_reading(struct pinfold_slate *slate);
uint32_t slate_taken(const struct pinfold_slate *slate);

/* The worker's side. slate_begin returns false for a turn that was recalled. slate_take begins a call that has
 * no turn. slate_is_quiet: the pool has not read from the worker's pipes since slate_reads returned `reads`. */
void slate_take(struct pinfold_slate *slate);
bool slate_begin(struct pinfold_slate *slate, uint32_t turn);
void slate_close(struct pinfold_slate *slate);
uint32_t slate_reads(const struct pinfold_slate *slate);
bool slate_is_quiet(const struct pinfold_slate *slate, uint32_t reads);

#endif

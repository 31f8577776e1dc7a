/* SPDX-License-Identifier: Apache-2.0 */
/* rig.h - a pool under test, and the count of what is left after it. */
#ifndef RIG_H
#define RIG_H

#include <pinfold.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/types.h>

#include "check.h"

#define SECOND INT64_C(1000000000)
#define BOUND (120 * SECOND) /* for what comes at once, unless it never comes */

/* The setup and teardown of every test of a pool. The setup makes the spill directory and counts the process's
 * descriptors, threads, children and mappings of spills. The teardown closes the pool, if the test left it
 * open, and fails if anything is left. */
int rig_setup(void **state);
int rig_teardown(void **state);
#define POOL_TEST(test) cmocka_unit_test_setup_teardown(test, rig_setup, rig_teardown)

/* The pool under test, and its spill directory. */
extern pinfold_pool *pool;
extern char *spill_dir;

/* Return a valid config: the hostile runtime, fresh, 4 workers, events, spares never let go. `argument` is NULL
 * or the mode of a template that does not serve. */
pinfold_config rig_config(const char *argument);

/* Open `pool`. */
void rig_open(const pinfold_config *config);
void rig_open_plain(uint32_t isolation, uint32_t max_workers);

/* Submit `function` with one text argument. PINFOLD_FOREVER is a valid deadline. */
uint64_t submit(const char *function, const char *argument, int64_t deadline_ns);
int try_submit(pinfold_queue *queue, const char *function, const char *argument, int64_t deadline_ns,
               uint64_t *ret_id, pinfold_error *error);

/* Call pinfold_pool_wait, again if interrupted, which may be without any signal that a test sent. */
int wait_for(pinfold_pool *of, uint64_t id, int64_t timeout_ns, pinfold_result **ret_result);

/* Wait for the call and take its result, which the test frees. */
pinfold_result *take(uint64_t id);

/* Wait for the call, check that it has this outcome, and free the result. */
void ends(uint64_t id, uint32_t outcome);
#define runs(function, argument, outcome) ends(submit(function, argument, BOUND), outcome)

/* Check the result's outcome, and print what it is instead. */
void assert_outcome(const pinfold_result *result, uint32_t outcome);

/* Check that the result's first segment is this text. */
void assert_value(const pinfold_result *result, const char *text);

/* Return the next event of this kind and skip those before it. Needs PINFOLD_EVENTS. */
pinfold_event next_event(uint32_t kind);

pinfold_stats stats(void);

/* cmocka's assertions work in the main thread only; other threads count failures. */
extern atomic_int failures;
#define EXPECT(condition)                                                                                         \
    do {                                                                                                          \
        if (!(condition)) {                                                                                       \
            failures++;                                                                                           \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                                       \
        }                                                                                                         \
    } while (0)

/* Wait until the pool has handed the call to a worker, and return that worker's pid. Needs PINFOLD_EVENTS. */
pid_t wait_for_hand(uint64_t id);
/* As wait_for_hand, and wait until the worker has received the call. */
pid_t wait_for_start(uint64_t id);
/* Return the peer of the worker that has the call; -1: no worker has it. Called with the pool's lock. */
int peer_of(uint64_t id);

/* Cancel the call and take its result. */
void cancel(uint64_t id);

/* Submit a call that leaves a daemon behind and runs for ever; wait until it has. Return the daemon's pid. */
pid_t submit_with_daemon(uint64_t *ret_id);

/* make_fifo makes a named pipe beside the spill directory. open_gate lets its waiting reader continue, and
 * removes it. */
char *make_fifo(const char *name);
void open_gate(char *path);

/* Return the process's parent, from proc(5). */
pid_t parent_of(pid_t pid);

/* Send SIGSTOP, and wait until the process has stopped. */
void stop_process(pid_t pid);

/* Wait until a process is dead. Call open_process while it is known to live, wait_for_end later. */
int open_process(pid_t pid);
void wait_for_end(int pidfd);
bool exists(pid_t pid);

/* Return the highest open descriptor's number plus one. */
rlim_t descriptors_used(void);

/* scarce_descriptors leaves this process `free` descriptors, the pool's thread included. plenty_descriptors
 * restores the limit; the teardown calls it, too. */
void scarce_descriptors(int free);
void plenty_descriptors(void);

#endif

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

/* Every test of a pool has these as its setup and teardown. The setup makes the spill directory and counts the
 * process's descriptors, threads, children and mappings of spills; the teardown closes the pool, if the test left it
 * open, and fails if anything is left. */
int rig_setup(void **state);
int rig_teardown(void **state);
#define POOL_TEST(test) cmocka_unit_test_setup_teardown(test, rig_setup, rig_teardown)

/* The pool under test, and its spill directory. */
extern pinfold_pool *pool;
extern char *spill_dir;

/* A config that works: the hostile runtime, fresh, 4 workers, events, no spares let go. `argument` is NULL or the mode
 * of a template that does not serve. */
pinfold_config rig_config(const char *argument);

/* Opens `pool`. */
void rig_open(const pinfold_config *config);
void rig_open_plain(uint32_t isolation, uint32_t max_workers);

/* Submits `function` with one text argument; PINFOLD_FOREVER is a deadline too. */
uint64_t submit(const char *function, const char *argument, int64_t deadline_ns);
int try_submit(pinfold_queue *queue, const char *function, const char *argument, int64_t deadline_ns,
               uint64_t *ret_id, pinfold_error *error);

/* pinfold_pool_wait, and again when it was interrupted, which may be without any signal that a test has sent. */
int wait_for(pinfold_pool *of, uint64_t id, int64_t timeout_ns, pinfold_result **ret_result);

/* Waits for the call and takes its result, which the test frees. */
pinfold_result *take(uint64_t id);

/* Waits for the call, and wants this outcome of it; frees the result. */
void ends(uint64_t id, uint32_t outcome);
#define runs(function, argument, outcome) ends(submit(function, argument, BOUND), outcome)

/* The result has this outcome; says what it has instead. */
void assert_outcome(const pinfold_result *result, uint32_t outcome);

/* Its first segment is this text. */
void assert_value(const pinfold_result *result, const char *text);

/* The next event of this kind; those before it are passed over. Needs PINFOLD_EVENTS. */
pinfold_event next_event(uint32_t kind);

pinfold_stats stats(void);

/* cmocka's assertions are for the main thread; the others count what went wrong. */
extern atomic_int failures;
#define EXPECT(condition)                                                                                         \
    do {                                                                                                          \
        if (!(condition)) {                                                                                       \
            failures++;                                                                                           \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                                       \
        }                                                                                                         \
    } while (0)

/* Waits until the pool has handed the call to a worker; that worker's pid. Needs PINFOLD_EVENTS. */
pid_t wait_for_hand(uint64_t id);
/* The same, and until that has received it. */
pid_t wait_for_start(uint64_t id);
/* The pool's end of the channel to the worker that has the call; -1: none has. With the pool's lock. */
int channel_of(uint64_t id);

/* Cancels the call and takes its result. */
void cancel(uint64_t id);

/* Submits a call that leaves a daemon behind and goes on for ever; waits until it has. The daemon's pid. */
pid_t submit_with_daemon(uint64_t *ret_id);

/* A named pipe beside the spill directory. open_gate lets the one who waits to read from it go on, and removes it. */
char *make_fifo(const char *name);
void open_gate(char *path);

/* The process's parent, as proc(5) tells. */
pid_t parent_of(pid_t pid);

/* Waits until the process is dead. It must be known to live: open_process before, wait_for_end after. */
int open_process(pid_t pid);
void wait_for_end(int pidfd);
bool exists(pid_t pid);

/* The highest open descriptor's number, plus one. */
rlim_t descriptors_used(void);

/* From now on this process has so many free descriptors, for itself and for the pool's thread; and as many as before
 * again, which the teardown sees to as well. */
void scarce_descriptors(int free);
void plenty_descriptors(void);

#endif

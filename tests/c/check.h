/* SPDX-License-Identifier: Apache-2.0 */
/* check.h - cmocka, and what else every test file needs. */
#ifndef CHECK_H
#define CHECK_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/util.h"

/* Return the next number of a stream that is the same on every machine (xorshift64*). The state is the seed,
 * not 0. */
static inline uint64_t random_next(uint64_t *state)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * UINT64_C(0x2545F4914F6CDD1D);
}

static inline uint32_t random_below(uint64_t *state, uint32_t bound)
{
    return (uint32_t)((random_next(state) >> 32) % bound);
}

/* Count the entries of a directory. "/proc/self/fd" always includes the descriptor that reads it. */
int count_entries(const char *path);

/* make_directory returns a new, empty directory in TMPDIR or /tmp. remove_directory removes it with its files. */
char *make_directory(void);
void remove_directory(char *path);

/* Move this process into its own mount namespace, as root or as root of a user namespace, where it may mount
 * anything. False: not allowed here. */
bool own_mounts(void);

#define assert_same_fds(before) assert_int_equal(count_entries("/proc/self/fd"), before)

#endif

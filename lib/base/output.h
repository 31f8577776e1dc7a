/* SPDX-License-Identifier: Apache-2.0 */
/* output.h - what a call prints, bounded: the head and the tail are kept. */
#ifndef PINFOLD_OUTPUT_H
#define PINFOLD_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct output {
    char *bytes;     /* grows on demand; the part from `head_size` on becomes a ring */
    size_t limit;    /* the most bytes kept */
    size_t capacity; /* of `bytes` */
    uint64_t total;  /* bytes received, kept or not */
};

/* Empty the output and set its limit (at least 1). */
void output_reset(struct output *output, size_t limit);

/* Add bytes. They count as dropped if memory is short. */
void output_add(struct output *output, const char *bytes, size_t n);

/* Return whether the output ends with these bytes, as far as its end is kept. */
bool output_ends_with(const struct output *output, const char *bytes, size_t n);

/* Read what the pipe holds now, and stop once `most` bytes or more were read. 1: more may be there; 0:
 * end-of-file; -EAGAIN: the pipe is empty; another negative errno: the pipe is broken. */
int output_read(struct output *output, int pipe, size_t most);

/* Return what was kept, *ret_size bytes and a NUL, and leave the output empty. The caller frees it. NULL: no
 * memory.
 *
 * If more than the limit came, *ret_truncated is true. The text is then a head, a notice that says how many bytes
 * were left out, and a tail as long as the head. Together they stay within the limit, and no UTF-8 character is
 * cut. If the limit is too small for the notice, the text is the head alone.
 */
char *output_take(struct output *output, size_t *ret_size, bool *ret_truncated);

#endif

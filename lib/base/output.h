/* output.h - what a call prints: bounded, its head and its tail kept. */
#ifndef PINFOLD_OUTPUT_H
#define PINFOLD_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct output {
    char *bytes;     /* grows with it; from `head_size` on it becomes a ring when more comes */
    size_t limit;    /* the most that is kept */
    size_t capacity; /* of `bytes` */
    uint64_t total;  /* all that came */
};

/* Empties it and sets its limit (at least 1). */
void output_reset(struct output *output, size_t limit);

/* Adds bytes. Without memory they are counted as dropped. */
void output_add(struct output *output, const char *bytes, size_t n);

/* Whether these bytes came last, as far as the end is kept. */
bool output_ends_with(const struct output *output, const char *bytes, size_t n);

/* Reads what the pipe holds now, at most `most` bytes. 1: more may be there; 0: end-of-file; -EAGAIN: it is empty;
 * another negative errno: it is broken. */
int output_read(struct output *output, int pipe, size_t most);

/* Hands over what was kept, *ret_size bytes and a NUL; the caller frees it. If more than the limit came, *ret_truncated
 * is true, and it is a head, a line that says how many bytes were left out, and a tail as long as the head: together no
 * more than the limit, and with no character of UTF-8 cut. Where the limit is too small for that line, it is the head
 * alone. NULL without memory. Leaves the output empty. */
char *output_take(struct output *output, size_t *ret_size, bool *ret_truncated);

#endif

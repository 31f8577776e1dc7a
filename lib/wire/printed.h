/* printed.h - a memory that the pool shares with one worker: what was printed and is not written to its pipes yet.
 *
 * Output waits in a buffer until that is full, or flushed. The runtime keeps those buffers here, so that the pool finds
 * what they hold when the worker dies, whatever it dies of: SIGKILL and _exit(2) run no handler.
 *
 *        begin              end
 *     ----|------------------|----      bytes of one stream: written | waiting | free
 *
 * A flush writes at most PRINTED_PIECE bytes at a time, which a pipe takes whole or not at all (pipe(7), PIPE_BUF), or all
 * to a pipe that is empty, and `writing` says so meanwhile. If the worker dies then, the pool looks at the end of what came through the pipe to see
 * whether the piece is there.
 *
 * C's stdio keeps its buffer to itself; what waits in it is copied to `c` before a death that can be seen coming.
 *
 * What a worker writes here is its own output, and taken as such: bytes, within these bounds.
 */
#ifndef PINFOLD_PRINTED_H
#define PINFOLD_PRINTED_H

#include <stdatomic.h>
#include <stdint.h>

#include "base/output.h"

#define PRINTED_BYTES 32768u
#define PRINTED_PIECE 4096u
#define PRINTED_C_BYTES 65536u

enum { PRINTED_OUT, PRINTED_ERR, PRINTED_STREAMS };

struct printed_stream {
    _Atomic uint32_t begin, end;
    _Atomic uint32_t writing; /* from `begin` on; 0: no write is under way */
};

struct printed {
    struct printed_stream streams[PRINTED_STREAMS];
    _Atomic uint32_t c_size;
    uint32_t reserved;
    char bytes[PRINTED_STREAMS][PRINTED_BYTES];
    char c[PRINTED_C_BYTES]; /* of stdout, which comes after Python's own */
};

/* Makes one, which cannot be made smaller, and a descriptor for both sides. 0 or a negative errno. */
int printed_make(int *ret_fd);

/* The worker's view of it. 0 or a negative errno; the descriptor stays the caller's. */
int printed_map(int fd, struct printed **ret_printed);

/* Adds what waits there to the outputs (PRINTED_OUT, PRINTED_ERR), into which the worker's pipes have been emptied. */
void printed_take(int fd, struct output *outputs);

#endif

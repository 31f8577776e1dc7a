/* printed.h - the printed buffer: memory shared by the pool and one worker for output not yet written to its
 * pipes.
 *
 * Output waits in a buffer until that is full or flushed. The runtime keeps its buffers here, so that the pool
 * finds their contents however the worker dies: SIGKILL and _exit(2) run no handler.
 *
 *        begin              end
 *     ----|------------------|----      bytes of one stream: written | waiting | free
 *
 * A flush writes at most PRINTED_PIECE bytes at a time, which a pipe takes whole or not at all (pipe(7),
 * PIPE_BUF). To an empty pipe it writes everything at once. `writing` holds the size meanwhile. If the worker dies
 * then, the pool looks for the piece at the end of what came through the pipe.
 *
 * C's stdio does not share its buffer. Before a death that can be foreseen, the runtime copies that buffer to `c`.
 *
 * What a worker writes here is treated as its own output: bytes, within these bounds.
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
    _Atomic uint32_t writing; /* bytes from `begin` on that are being written; 0: no write is under way */
};

struct printed {
    struct printed_stream streams[PRINTED_STREAMS];
    _Atomic uint32_t c_size;
    uint32_t reserved;
    char bytes[PRINTED_STREAMS][PRINTED_BYTES];
    char c[PRINTED_C_BYTES]; /* stdout, to be added after Python's own */
};

/* Make a printed buffer that cannot shrink, and a descriptor for both sides. Return 0 or a negative errno. */
int printed_make(int *ret_fd);

/* Map the buffer for the worker. Return 0 or a negative errno. The caller keeps the descriptor. */
int printed_map(int fd, struct printed **ret_printed);

/* Add what waits there to the outputs (PRINTED_OUT, PRINTED_ERR). The worker's pipes must have been emptied
 * into them before. */
void printed_take(int fd, struct output *outputs);

#endif

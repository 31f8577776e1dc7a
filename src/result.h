/* result.h - the result of a call while it is put together, and after somebody took it. */
#ifndef PINFOLD_RESULT_H
#define PINFOLD_RESULT_H

#include <pinfold.h>
#include <stdbool.h>

#include "frame.h"
#include "output.h"
#include "spill.h"

struct result {
    pinfold_result told; /* first: what the caller holds is a pointer to it */
    void *map;           /* the mapped spill, or NULL */
    uint64_t map_size;
    void *memory; /* an inline payload, aligned to 64, or NULL */
    struct iovec *segments;
    char *reason, *stack, *note, *out, *err;
};

struct result *result_new(void);

/* Takes over the payload of a RESULT frame, whose descriptor stays the frame's. `spills`: where its spill may lie; NULL: it
 * must be a sealed memfd, which its worker held.
 * -EBADMSG, -EPROTO: damaged; -ETXTBSY: its spill can still be written; the sentence says more. */
int result_payload(struct result *result, const struct frame *frame, const struct spill_dir *spills,
                   pinfold_error *error);

/* Whether a result that could not be taken, for this reason (a negative errno), is this process's failure, and not the
 * program's. */
bool result_failed_here(int code);

/* Forgets the payload. */
void result_drop(struct result *result);

/* Keeps a text, size bytes of any content. A later one replaces it. */
int result_text(char **text, const char *bytes, size_t size);

/* Takes over what was captured. */
void result_output(struct result *result, struct output *out, struct output *err);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* result.h - the result of a call, while it is assembled and after it was delivered. */
#ifndef PINFOLD_RESULT_H
#define PINFOLD_RESULT_H

#include <pinfold.h>
#include <stdbool.h>

#include "base/output.h"
#include "wire/frame.h"
#include "wire/spill.h"

struct result {
    pinfold_result public; /* must be first: callers hold a pointer to it */
    void *map;             /* the mapped spill, or NULL */
    uint64_t map_size;
    void *memory; /* an inline payload, aligned to 64, or NULL */
    struct iovec *segments;
    char *reason, *stack, *note, *out, *err;
};

struct result *result_new(void);

/* Take over the payload of a RESULT frame; its descriptor stays the frame's. `spills` says where the spill may
 * lie; NULL: it must be a sealed memfd that its worker held. -EBADMSG: damaged, or not a spill; -ETXTBSY: the
 * spill can still be written; others: see result_failed_here. *error says more. */
int result_payload(struct result *result, const struct frame *frame, const struct spill_dir *spills,
                   pinfold_error *error);

/* Return whether this reason (a negative errno) for not taking a result is a failure of this process, not of
 * the program. */
bool result_failed_here(int code);

/* Drop the payload. */
void result_drop(struct result *result);

/* Keep a text of `size` bytes of any content. It replaces an earlier one. */
int result_text(char **text, const char *bytes, size_t size);

/* Take over the captured output. */
void result_output(struct result *result, struct output *out, struct output *err);

#endif

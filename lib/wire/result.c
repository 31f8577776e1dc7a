/* SPDX-License-Identifier: Apache-2.0 */
/* result.c - takes over payloads and frees results (result.h). */
#include "wire/result.h"

#include <sys/mman.h>

#include "base/error.h"
#include "base/util.h"
#include "wire/payload.h"

struct result *result_new(void)
{
    struct result *result = calloc(1, sizeof(*result));
    if (result) {
        result->public.exit_code = -1;
        result->public.reason = result->public.stack = result->public.note = result->public.out =
            result->public.err = "";
    }
    return result;
}

void pinfold_result_free(pinfold_result *public)
{
    if (!public)
        return;
    struct result *result = (struct result *)public;
    if (result->map)
        munmap(result->map, result->map_size);
    free(result->memory);
    free(result->segments);
    free(result->reason);
    free(result->stack);
    free(result->note);
    free(result->out);
    free(result->err);
    free(result);
}

static int payload_inline(struct result *result, const struct frame *frame)
{
    /* aligned_alloc requires whole multiples of the alignment. */
    size_t size = (frame->tail_size + PINFOLD_PAYLOAD_ALIGN - 1) & ~(size_t)(PINFOLD_PAYLOAD_ALIGN - 1);
    result->memory = aligned_alloc(PINFOLD_PAYLOAD_ALIGN, size ? size : PINFOLD_PAYLOAD_ALIGN);
    if (!result->memory)
        return -ENOMEM;
    memcpy(result->memory, frame->tail, frame->tail_size);
    return 0;
}

bool result_failed_here(int code)
{
    return error_is_ours(code) || code == -EPERM;
}

static int payload_spilled(struct result *result, int fd, uint64_t size, const struct spill_dir *spills,
                           pinfold_error *error)
{
    void *map = NULL;
    int r = spills ? spill_prove(fd, spills->device) : spill_prove_sealed(fd);
    if (r == -ETXTBSY)
        return error_set(error, r, "the spill of the result is still open for writing");
    if (r == -EBADMSG && !spills)
        return error_set(error, r, "the spill of the result is no sealed memfd");
    if (r == 0 && (r = spill_map(fd, size, &map)) == 0)
        r = spill_check_whole(fd, size);
    else if (r == -EOPNOTSUPP)
        r = spill_copy(fd, size, &map);
    if (r < 0 && map)
        munmap(map, size);
    if (result_failed_here(r))
        return error_errno(error, r, "cannot look at the spill of the result");
    if (r < 0)
        return error_errno(error, r, "the descriptor that came as the spill of the result is none");
    result->map = map;
    result->map_size = size;
    return 0;
}

int result_payload(struct result *result, const struct frame *frame, const struct spill_dir *spills,
                   pinfold_error *error)
{
    const struct pinfold_frame_result *body = frame->body;
    int r;
    if (body->flags & (PINFOLD_RESULT_SPILLED | PINFOLD_RESULT_HELD))
        r = payload_spilled(result, frame->fds[0], body->payload_size, spills, error);
    else if ((r = payload_inline(result, frame)) < 0)
        error_errno(error, r, "cannot hold the result");
    if (r < 0)
        return r;
    r = payload_parse(result->map ? result->map : result->memory, body->payload_size, &result->segments,
                      &result->public.n_segments);
    if (r < 0)
        return error_errno(error, r,
                           r == -ENOMEM ? "cannot hold the result" : "the payload of the result is damaged");
    result->public.segments = result->segments;
    result->public.metrics.result_bytes = body->payload_size;
    return 0;
}

void result_drop(struct result *result)
{
    result->public.segments = NULL;
    result->public.n_segments = 0;
    result->public.metrics.result_bytes = 0;
}

int result_text(char **text, const char *bytes, size_t size)
{
    char *copy = malloc(size + 1);
    if (!copy)
        return -ENOMEM;
    memcpy(copy, bytes, size);
    copy[size] = '\0';
    free(*text);
    *text = copy;
    return 0;
}

void result_output(struct result *result, struct output *out, struct output *err)
{
    bool truncated = false;
    result->out = output_take(out, &result->public.out_size, &truncated);
    if (truncated)
        result->public.flags |= PINFOLD_STDOUT_TRUNCATED;
    truncated = false;
    result->err = output_take(err, &result->public.err_size, &truncated);
    if (truncated)
        result->public.flags |= PINFOLD_STDERR_TRUNCATED;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* caller.c - opens a pool, calls functions of all kinds, and prints how each call ended.
 *
 *     caller TEMPLATE [GUARD]
 *
 * It includes pinfold.h and nothing else of Pinfold. TEMPLATE is the absolute path of the runtime beside this
 * file. GUARD is the path of pinfold-guard, if that is not installed. Exit with 0 if every call ended as expected.
 */
#include <errno.h>
#include <pinfold.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SECOND INT64_C(1000000000)
#define MIB "1048576"

static const struct {
    const char *function, *argument;
    double deadline_s;
    uint32_t outcome; /* expected */
} calls[] = {
    {"upper", "warm processes", 10, PINFOLD_OK},
    {"big", MIB, 10, PINFOLD_OK},
    {"print", "100", 10, PINFOLD_OK},
    {"fail", "", 10, PINFOLD_EXCEPTION},
    {"missing", "", 10, PINFOLD_EXCEPTION},
    {"exit", "3", 10, PINFOLD_EXITED},
    {"crash", "11", 10, PINFOLD_SIGNALLED},
    {"spin", "", 0.25, PINFOLD_TIMEOUT},
    {"daemon", "", 10, PINFOLD_OK},
    {"close", "", 10, PINFOLD_EXITED},
};

static int submit(pinfold_pool *pool, size_t i, uint64_t *ret_id)
{
    const struct iovec segments[] = {
        {(void *)calls[i].function, strlen(calls[i].function)},
        {(void *)calls[i].argument, strlen(calls[i].argument)},
    };
    pinfold_call call = {
        .size = sizeof(call),
        .segments = segments,
        .n_segments = 2,
        .deadline_ns = (int64_t)(calls[i].deadline_s * SECOND),
    };
    pinfold_error error;
    int r = pinfold_pool_submit(pool, &call, ret_id, &error);
    if (r < 0)
        fprintf(stderr, "%s: %s\n", calls[i].function, error.text);
    return r;
}

static void print(size_t i, const pinfold_result *result)
{
    printf("%-8s %-10s %7.2f ms  ", calls[i].function, pinfold_outcome_name(result->outcome),
           (double)result->metrics.wall_ns / 1e6);
    if (result->n_segments > 0 && result->segments[0].iov_len < 80)
        printf("%.*s", (int)result->segments[0].iov_len, (const char *)result->segments[0].iov_base);
    else if (result->n_segments > 0)
        printf("%zu bytes", result->segments[0].iov_len);
    printf("%s%s%s\n", result->reason, result->stack[0] ? ", in " : "", result->stack);
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        fprintf(stderr, "usage: %s TEMPLATE [GUARD]\n", argv[0]);
        return 2;
    }
    pinfold_config config = {
        .size = sizeof(config),
        .argv = (const char *const[]){argv[1], NULL},
        .guard = argc > 2 ? argv[2] : NULL,
        .spill_dir = getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp",
        .isolation = PINFOLD_FRESH,
        .max_workers = 4,
        .idle_timeout_ns = 60 * SECOND,
        .open_timeout_ns = 60 * SECOND,
    };
    pinfold_pool *pool;
    pinfold_error error;
    if (pinfold_pool_open(&config, &pool, &error) < 0) {
        fprintf(stderr, "%s\n", error.text);
        return 1;
    }

    enum { N = sizeof(calls) / sizeof(calls[0]) };
    uint64_t ids[N];
    int failures = 0;
    for (size_t i = 0; i < N; i++)
        if (submit(pool, i, &ids[i]) < 0)
            ids[i] = 0;
    for (size_t i = 0; i < N; i++) {
        pinfold_result *result;
        int r = ids[i] ? -EINTR : -ENOENT;
        while (r == -EINTR)
            r = pinfold_pool_wait(pool, ids[i], PINFOLD_FOREVER, &result);
        if (r < 0) {
            failures++;
            continue;
        }
        print(i, result);
        failures += result->outcome != calls[i].outcome;
        pinfold_result_free(result);
    }
    pinfold_pool_close(pool);
    return failures > 0;
}

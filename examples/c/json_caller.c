/* SPDX-License-Identifier: Apache-2.0 */
/* json_caller.c - calls Python functions with JSON alone: it knows neither marshal nor pickle nor CBOR.
 *
 *     json_caller PYTHON PACKAGE
 *
 * PYTHON is the absolute path of the interpreter for which Pinfold is installed, PACKAGE that of its package:
 *
 *     python -c 'import pinfold; print(pinfold.__path__[0])'
 *
 * A request has two segments: the head, a JSON object, and the arguments, a JSON array of an array and an object.
 * The value is one segment of JSON, and so is the account of a failure. docs/design.md, "Payloads", has the fields.
 * Print the outcome of each call and its JSON. Exit with 0 if every call ended as expected. */
#include <errno.h>
#include <pinfold.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SECOND INT64_C(1000000000)

static const struct {
    const char *code, *function, *arguments;
    uint32_t outcome; /* expected */
} calls[] = {
    {"def squares(n):\n    return [i * i for i in range(n)]\n", "squares", "[[5], {}]", PINFOLD_OK},
    {"def greet(name, *, mark):\n"
     "    print('greeting', name)\n"
     "    return {'text': f'hello, {name}{mark}', 'octets': name.encode()}\n",
     "greet", "[[\"w\\u00f6rld\"], {\"mark\": \"!\"}]", PINFOLD_OK},
    {"class Solution:\n"
     "    def numbers(self):\n"
     "        return 2 ** 70, 1e300, float('nan'), -float('inf'), None, True\n",
     "Solution.numbers", "[[], {}]", PINFOLD_OK},
    {"def fail(x):\n    return 1 / x\n", "fail", "[[0], {}]", PINFOLD_EXCEPTION},
    {"def fail(:\n", "fail", "[[], {}]", PINFOLD_EXCEPTION},
    {"def keys():\n    return {1: 'one'}\n", "keys", "[[], {}]", PINFOLD_BAD_RESULT},
    {"def broken():\n    pass\n", "broken", "[[}", PINFOLD_EXCEPTION},
    {"", "no name?..", "[[], {}]", PINFOLD_INTERNAL},
    {"def spin():\n    while True:\n        pass\n", "spin", "[[], {}]", PINFOLD_TIMEOUT},
};

/* Write a text as a JSON string. */
static void put_string(FILE *to, const char *text)
{
    putc('"', to);
    for (; *text; text++) {
        if ((unsigned char)*text < 0x20)
            fprintf(to, "\\u%04x", (unsigned)*text);
        else
            fprintf(to, *text == '"' || *text == '\\' ? "\\%c" : "%c", *text);
    }
    putc('"', to);
}

/* Return a JSON object, which the caller frees, of `n` names and texts. `rest` ends it. */
static char *object_of(const char *rest, int n, ...)
{
    char *text = NULL;
    size_t size;
    FILE *to = open_memstream(&text, &size);
    if (!to)
        return NULL;
    va_list members;
    va_start(members, n);
    putc('{', to);
    for (int i = 0; i < n; i++) {
        put_string(to, va_arg(members, const char *));
        putc(':', to);
        put_string(to, va_arg(members, const char *));
        putc(',', to);
    }
    va_end(members);
    fprintf(to, "%s}", rest);
    return fclose(to) == 0 ? text : NULL;
}

/* Open a pool of the package's template. */
static int open_pool(const char *python, const char *package, pinfold_pool **ret_pool, pinfold_error *error)
{
    char script[4096], guard[4096], *parent = strdup(package), *settings = NULL;
    int r = -ENOMEM;
    snprintf(script, sizeof(script), "%s/_worker/boot/template.py", package);
    snprintf(guard, sizeof(guard), "%s/pinfold-guard", package);
    if (parent && strrchr(parent, '/')) {
        *strrchr(parent, '/') = '\0';
        settings = object_of("\"preload\":[],\"setup\":null,\"path\":[],\"identity\":[]", 2, "package", parent,
                             "node_id", "json_caller");
    }
    if (settings) {
        pinfold_config config = {
            .size = sizeof(config),
            .argv = (const char *const[]){python, script, "1", settings, NULL},
            .guard = guard,
            .spill_dir = getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp",
            .isolation = PINFOLD_FRESH,
            .max_workers = 2,
            .idle_timeout_ns = 60 * SECOND,
            .open_timeout_ns = 60 * SECOND,
            .flags = PINFOLD_PRINTED,
        };
        r = pinfold_pool_open(&config, ret_pool, error);
    } else {
        snprintf(error->text, sizeof(error->text), "out of memory");
    }
    free(settings);
    free(parent);
    return r;
}

static int submit(pinfold_pool *pool, size_t i, uint64_t *ret_id)
{
    char *head = object_of("\"codec\":\"json\"", 2, "code", calls[i].code, "function", calls[i].function);
    if (!head)
        return -ENOMEM;
    const struct iovec segments[] = {
        {head, strlen(head)},
        {(void *)calls[i].arguments, strlen(calls[i].arguments)},
    };
    pinfold_call call = {
        .size = sizeof(call),
        .segments = segments,
        .n_segments = 2,
        .deadline_ns = 60 * SECOND,
        .wall_ns = calls[i].outcome == PINFOLD_TIMEOUT ? SECOND / 4 : 0,
    };
    pinfold_error error;
    int r = pinfold_pool_submit(pool, &call, ret_id, &error);
    if (r < 0)
        fprintf(stderr, "%s: %s\n", calls[i].function, error.text);
    free(head);
    return r;
}

static void print(const pinfold_result *result)
{
    printf("%s\t", pinfold_outcome_name(result->outcome));
    if (result->n_segments > 0)
        fwrite(result->segments[0].iov_base, 1, result->segments[0].iov_len, stdout);
    else
        put_string(stdout, result->reason); /* the pool's own sentence */
    putchar('\n');
}

/* Make one call, and return whether it ended as expected. */
static int call(pinfold_pool *pool, size_t i)
{
    uint64_t id;
    pinfold_result *result;
    if (submit(pool, i, &id) < 0)
        return 0;
    int r = -EINTR;
    while (r == -EINTR)
        r = pinfold_pool_wait(pool, id, PINFOLD_FOREVER, &result);
    if (r < 0)
        return 0;
    print(result);
    int expected = result->outcome == calls[i].outcome;
    pinfold_result_free(result);
    return expected;
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: %s PYTHON PACKAGE\n", argv[0]);
        return 2;
    }
    pinfold_pool *pool;
    pinfold_error error;
    if (open_pool(argv[1], argv[2], &pool, &error) < 0) {
        fprintf(stderr, "%s\n", error.text);
        return 1;
    }
    int failures = 0;
    for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
        failures += !call(pool, i);
    pinfold_pool_close(pool);
    return failures > 0;
}

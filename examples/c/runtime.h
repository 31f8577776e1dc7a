/* runtime.h - what a function sees of the worker that runs it. */
#ifndef RUNTIME_H
#define RUNTIME_H

#include "protocol.h"

/* Segment 0 of a request is the function's name; the others are its arguments. */
struct request {
    uint64_t id;
    uint64_t result_max; /* bytes; 0: no bound */
    uint32_t n;
    uint32_t place; /* the worker's, from 1; 0: none */
    struct iovec *segments;
};

/* A function answers its request, once, by one of the three below; then it returns. */
struct function {
    const char *name;
    void (*run)(const struct request *request);
};

void answer(const struct request *request, enum status status, const struct iovec *segments, uint32_t n);
void answer_bytes(const struct request *request, const void *bytes, size_t size);
void answer_error(const struct request *request, enum status status, const char *text);

/* Argument `at` (1 is the first) as the decimal number that it spells; 0 if it is missing. */
long long argument(const struct request *request, uint32_t at);

/* Descriptors of a worker. */
enum { CONTROL = 3, CHANNEL = 3 };

/* Of this worker: where it puts its spills, the call it runs, or 0, and that call's function. */
extern const char *spill_directory;
extern volatile uint64_t running;
extern const char *volatile running_name;

/* The template: answers the pool until it hangs up. `tables`, ended by NULL, hold the functions of its workers; each
 * table ends with an entry without a name. */
int template_serve(char **argv, const struct function *const *tables);

/* A worker: runs calls that come in by CHANNEL; one, or until its end-of-file. Does not return. */
_Noreturn void worker_serve(int isolation, const char *directory, const struct function *const *tables);

/* A line of /proc/self/status that counts kB. */
uint64_t status_kb(const char *name);

#endif

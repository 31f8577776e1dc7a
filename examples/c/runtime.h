/* SPDX-License-Identifier: Apache-2.0 */
/* runtime.h - the functions' view of the worker that runs them. */
#ifndef RUNTIME_H
#define RUNTIME_H

#include "protocol.h"

/* Segment 0 of a request is the function's name; the others are its arguments. */
struct request {
    uint64_t id;
    uint64_t result_max; /* bytes; 0: no bound */
    uint32_t n;
    uint32_t cpu_slot; /* the worker's, from 1; 0: none */
    struct iovec *segments;
};

/* A function answers its request once, by one of the three functions below, and returns. */
struct function {
    const char *name;
    void (*run)(const struct request *request);
};

void answer(const struct request *request, enum pinfold_status status, const struct iovec *segments, uint32_t n);
void answer_bytes(const struct request *request, const void *bytes, size_t size);
void answer_error(const struct request *request, enum pinfold_status status, const char *text);

/* Return argument `at` (1 is the first) read as a decimal number; 0 if it is missing. */
long long argument(const struct request *request, uint32_t at);

/* The descriptor that a worker of this runtime has its channel at. */
enum { CHANNEL = 3 };

/* This worker's spill directory, the id of the call that it runs (or 0), and that call's function. */
extern const char *spill_directory;
extern volatile uint64_t running;
extern const char *volatile running_name;

/* Serve as the template until the pool hangs up. `tables`, ended by NULL, hold the functions of its workers. Each
 * table ends with an entry without a name. */
int template_serve(char **argv, const struct function *const *tables);

/* Serve as a worker: run the calls that CHANNEL brings, one or until its end-of-file. Does not return. */
_Noreturn void worker_serve(int isolation, const char *directory, const struct function *const *tables);

/* Return the value of a line of /proc/self/status that counts kB. */
uint64_t status_kb(const char *name);

#endif

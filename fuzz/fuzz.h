/* fuzz.h - what the fuzz targets share. Each defines one function, which libFuzzer calls with bytes of its making
 * (https://llvm.org/docs/LibFuzzer.html), and replay.c with the files of a corpus. */
#ifndef FUZZ_H
#define FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* segments.c: reads every byte, for a sanitizer to see. */
void look_at(const void *bytes, size_t size);

/* Has payload_parse read a payload: it refuses it, or every segment lies inside, aligned, in order, and the segments
 * laid out again are the same payload. */
void check_payload(const void *bytes, size_t size);

/* A broken rule is a crash, which libFuzzer keeps the input of. */
#define CHECK(condition)                                                                                          \
    do {                                                                                                          \
        if (!(condition)) {                                                                                       \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                                       \
            abort();                                                                                              \
        }                                                                                                         \
    } while (0)

#endif

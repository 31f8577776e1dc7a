/* SPDX-License-Identifier: Apache-2.0 */
/* faults.h - the page that the library, the guard and the runtime of a build with -Dfaults=enabled share with who
 * tests them: where they call the kernel or the allocator, and which of these calls shall fail. every_fault.py has
 * the same layout. */
#ifndef FAULTS_H
#define FAULTS_H

#include <stdint.h>

#define FAULTS_FILE "PINFOLD_FAULTS" /* the environment variable that names the file; without it nothing fails */
#define FAULTS_SITES 1024

/* One place in the code that calls something which may fail. */
struct fault_site {
    _Atomic uint64_t key;   /* 0: nobody's yet */
    uint64_t offset;        /* of the return address, in its file */
    _Atomic uint32_t calls; /* by whatever processes */
    uint32_t errors;        /* in how many ways it can fail; 0: it cannot */
    char file[48];
    char function[32];
};

struct faults {
    uint64_t site;  /* the key of the one that shall fail; 0: none */
    uint32_t call;  /* at which of its calls, from 1 */
    uint32_t error; /* in which of its ways */
    _Atomic uint64_t hits;
    struct fault_site sites[FAULTS_SITES];
};

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* kernel.h - a simulated kernel: the linker replaces the C library's functions by the __wrap_* of kernel.c. No
 * guard is spawned; its descriptors are kept instead. A pidfd is an eventfd, which polls readable once its
 * process is to be dead. Time passes only by command. The pool's thread is not started. */
#ifndef KERNEL_H
#define KERNEL_H

#include <stdbool.h>
#include <stdint.h>

#define TEMPLATES 4
#define PROCESSES 64
#define NOBODY (1 << 22) /* a pid of no process: above the kernel's highest */

/* The ends of a guard and its template; -1: closed. */
struct far_template {
    int lifeline, control, log;
};

extern struct kernel {
    bool open; /* calls are simulated; otherwise passed on */
    int64_t now;
    void *(*reactor)(void *); /* the thread's function */
    int given[5];             /* the next guard's descriptors, by the guard's numbers */
    struct far_template templates[TEMPLATES];
    uint32_t n_templates, n_processes;
    int processes[PROCESSES]; /* the other ends of all pidfds */
} kernel;

void kernel_begin(void);
void kernel_end(void); /* close what is left */

/* Return a pidfd of a living process; -1 with EMFILE: there are too many. */
int kernel_new_process(void);
void kernel_end_process(uint32_t which);
void kernel_end_template(struct far_template *template);

#endif

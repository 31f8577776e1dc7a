/* kernel.h - the kernel's part, played: the linker puts the functions __wrap_* of kernel.c in the place of the C
 * library's. No guard is spawned, its descriptors are kept instead; a pidfd is an eventfd, which polls readable once
 * its process shall be dead; time passes when it is told to; the pool's thread is not started. */
#ifndef KERNEL_H
#define KERNEL_H

#include <stdbool.h>
#include <stdint.h>

#define TEMPLATES 4
#define PROCESSES 64
#define NOBODY (1 << 22) /* a pid that no process has: above the kernel's highest */

/* The ends of a guard and its template; -1: closed. */
struct far_template {
    int lifeline, control, log;
};

extern struct kernel {
    bool open; /* calls are answered here, else passed on */
    int64_t now;
    void *(*reactor)(void *); /* what the thread would run */
    int given[5];             /* to the next guard, by its own number for it */
    struct far_template templates[TEMPLATES];
    uint32_t n_templates, n_processes;
    int processes[PROCESSES]; /* the other ends of all pidfds */
} kernel;

void kernel_begin(void);
void kernel_end(void); /* closes what is left */

/* A pidfd of a process that lives; -1 with EMFILE: there are too many. */
int kernel_new_process(void);
void kernel_end_process(uint32_t which);
void kernel_end_template(struct far_template *template);

#endif

/* huge.h - moves a template's large memory into huge pages, which need few page-table entries. */
#ifndef PINFOLD_HUGE_H
#define PINFOLD_HUGE_H

/* Gather large anonymous memory into huge pages. Leaves a mapping as it is where the kernel cannot. */
void huge_gather(void);

#endif

/* huge.h - the large memory of a template, in few page-table entries. */
#ifndef PINFOLD_HUGE_H
#define PINFOLD_HUGE_H

/* Gathers what large anonymous memory there is into huge pages. What cannot be had is left as it is. */
void huge_gather(void);

#endif

/* usage.h - what a process that lives has used so far, as proc(5) tells. */
#ifndef PINFOLD_USAGE_H
#define PINFOLD_USAGE_H

#include <stdint.h>
#include <sys/types.h>

struct usage {
    uint64_t user_us; /* of the process and the children it waited for; steps of a clock tick */
    uint64_t sys_us;
    uint64_t peak_kb; /* VmHWM */
};

/* -ESRCH, -ENOENT: no such process; -EBADMSG: /proc does not look as it should. */
int usage_read(pid_t pid, struct usage *ret_usage);

#endif

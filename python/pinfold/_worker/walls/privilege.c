/* SPDX-License-Identifier: Apache-2.0 */
/* privilege.c - drops, for good, privileges, and the capabilities that root has by being root. */
#include "walls.h"

#include <errno.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/util.h"

#define SIGNALS_MAX 1024
#define DESCRIPTORS_MIN 256 /* above the reserved descriptors (reserved_fd.c) */

int privilege_none_new(void)
{
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ? -errno : 0;
}

/* Lower the bounding set, a second barrier behind no_new_privs. It costs a system call per capability, so the
 * template does it for its workers. Without CAP_SETPCAP it fails, but then there was nothing to drop. */
static void drop_bounding(void)
{
    for (int capability = 0; prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) == 0; capability++)
        ;
}

int privilege_drop(bool bounding)
{
    if (bounding)
        drop_bounding();
    prctl(PR_SET_SECUREBITS, SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_SETUID_FIXUP_LOCKED |
                                 SECBIT_KEEP_CAPS_LOCKED | SECBIT_NO_CAP_AMBIENT_RAISE |
                                 SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED);
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct none[2] = {{0}, {0}};
    return syscall(SYS_capset, &header, none) < 0 ? -errno : 0;
}

static int lower(int which, rlim_t most)
{
    struct rlimit limit;
    if (getrlimit((__rlimit_resource_t)which, &limit) < 0)
        return -errno;
    if (limit.rlim_cur > most)
        limit.rlim_cur = most;
    limit.rlim_max = limit.rlim_cur;
    return setrlimit((__rlimit_resource_t)which, &limit) < 0 ? -errno : 0;
}

/* Return half of the soft limit, under which the caller itself runs: the other half is the caller's. */
static rlim_t half(int which)
{
    struct rlimit limit;
    return getrlimit((__rlimit_resource_t)which, &limit) < 0 ? 0 : limit.rlim_cur / 2;
}

int privilege_bound(unsigned descriptors)
{
    rlim_t files = half(RLIMIT_NOFILE), signals = half(RLIMIT_SIGPENDING), tasks = half(RLIMIT_NPROC);
    if (files > descriptors)
        files = descriptors;
    if (files < DESCRIPTORS_MIN)
        files = DESCRIPTORS_MIN;
    const struct {
        int which;
        rlim_t most;
    } bounds[] = {
        {RLIMIT_NOFILE, files}, /* also bounds descriptors in flight (unix(7)) and pages in pipes (pipe(7)) */
        {RLIMIT_SIGPENDING, signals < SIGNALS_MAX ? signals : SIGNALS_MAX}, /* also bounds timers */
        {RLIMIT_NPROC, tasks + tasks / 2},
        {RLIMIT_RTPRIO, 0},
        {RLIMIT_NICE, 0},
    };
    int r = 0;
    for (size_t i = 0; r == 0 && i < COUNT_OF(bounds); i++)
        r = lower(bounds[i].which, bounds[i].most);
    return r;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* kernel.c - the simulated kernel of the pool's fuzz target (kernel.h). */
#include "kernel.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <spawn.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>

#include "base/util.h"
#include "fuzz.h"

struct kernel kernel;

void kernel_begin(void)
{
    kernel = (struct kernel){.open = true, .now = 1000 * NS_PER_S};
    memset(kernel.given, -1, sizeof(kernel.given));
}

void kernel_end(void)
{
    for (uint32_t i = 0; i < kernel.n_templates; i++)
        kernel_end_template(&kernel.templates[i]);
    for (uint32_t i = 0; i < kernel.n_processes; i++)
        close(kernel.processes[i]);
    for (size_t i = 0; i < COUNT_OF(kernel.given); i++)
        close_fd(&kernel.given[i]);
    kernel.open = false;
}

void kernel_end_template(struct far_template *template)
{
    close_fd(&template->lifeline);
    close_fd(&template->control);
    close_fd(&template->log);
}

int kernel_new_process(void)
{
    int pidfd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    CHECK(pidfd >= 0);
    if (kernel.n_processes == PROCESSES) {
        close(pidfd);
        errno = EMFILE;
        return -1;
    }
    kernel.processes[kernel.n_processes++] = fcntl(pidfd, F_DUPFD_CLOEXEC, 0);
    return pidfd;
}

void kernel_end_process(uint32_t which)
{
    uint64_t one = 1;
    if (kernel.n_processes > 0)
        CHECK(write(kernel.processes[which % kernel.n_processes], &one, sizeof(one)) == sizeof(one));
}

/* Unlike syscall(2), not variadic: takes all arguments that travel in registers, given or not. Does not sleep
 * on a futex: no other thread could wake the sleeper. */
long __real_syscall(long number, long a, long b, long c, long d, long e);
long __wrap_syscall(long number, long a, long b, long c, long d, long e);
long __wrap_syscall(long number, long a, long b, long c, long d, long e)
{
    switch (number) {
    case SYS_pidfd_open:
        return kernel_new_process();
    case SYS_futex:
        errno = ETIMEDOUT;
        return -1;
    default:
        return __real_syscall(number, a, b, c, d, e);
    }
}

int __wrap_posix_spawn_file_actions_adddup2(posix_spawn_file_actions_t *actions, int fd, int as);
int __wrap_posix_spawn_file_actions_adddup2(posix_spawn_file_actions_t *actions, int fd, int as)
{
    (void)actions;
    close_fd(&kernel.given[as]);
    kernel.given[as] = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    return 0;
}

int __wrap_posix_spawn(pid_t *pid, const char *path, const posix_spawn_file_actions_t *actions,
                       const posix_spawnattr_t *attributes, char *const *argv, char *const *envp);
int __wrap_posix_spawn(pid_t *pid, const char *path, const posix_spawn_file_actions_t *actions,
                       const posix_spawnattr_t *attributes, char *const *argv, char *const *envp)
{
    (void)path, (void)actions, (void)attributes, (void)argv, (void)envp;
    if (kernel.n_templates == TEMPLATES)
        return EAGAIN;
    kernel.templates[kernel.n_templates++] = (struct far_template){.lifeline = TAKE_FD(kernel.given[3]),
                                                                   .control = TAKE_FD(kernel.given[4]),
                                                                   .log = TAKE_FD(kernel.given[1])};
    *pid = NOBODY;
    return 0;
}

int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *), void *data);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *), void *data);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *), void *data)
{
    if (!kernel.open)
        return __real_pthread_create(thread, attributes, run, data);
    kernel.reactor = run;
    return 0;
}

int __wrap_pthread_setname_np(pthread_t thread, const char *name);
int __wrap_pthread_setname_np(pthread_t thread, const char *name)
{
    (void)thread, (void)name;
    return 0;
}

int __real_pthread_join(pthread_t thread, void **ret);
int __wrap_pthread_join(pthread_t thread, void **ret);
int __wrap_pthread_join(pthread_t thread, void **ret)
{
    return kernel.open ? 0 : __real_pthread_join(thread, ret);
}

int __real_clock_gettime(clockid_t clock, struct timespec *ret_time);
int __wrap_clock_gettime(clockid_t clock, struct timespec *ret_time);
int __wrap_clock_gettime(clockid_t clock, struct timespec *ret_time)
{
    if (!kernel.open)
        return __real_clock_gettime(clock, ret_time);
    *ret_time = (struct timespec){kernel.now / NS_PER_S, kernel.now % NS_PER_S};
    return 0;
}

int __wrap_timerfd_settime(int fd, int flags, const struct itimerspec *at, struct itimerspec *ret_before);
int __wrap_timerfd_settime(int fd, int flags, const struct itimerspec *at, struct itimerspec *ret_before)
{
    (void)fd, (void)flags, (void)at, (void)ret_before;
    return 0; /* the pool has recorded the time, where the loop below reads it */
}

/* SPDX-License-Identifier: Apache-2.0 */
/* util.h - ownership by attribute, and the few helpers that every file needs. */
#ifndef PINFOLD_UTIL_H
#define PINFOLD_UTIL_H

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* The object in which a struct is embedded as `member`. */
#define CONTAINER_OF(pointer, type, member) ((type *)(void *)((char *)(pointer)-offsetof(type, member)))
#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

/* Repeat `call` as long as a signal interrupts it. */
#define RETRY_EINTR(call)                                                                                         \
    __extension__({                                                                                               \
        __typeof__(call) result_;                                                                                 \
        do                                                                                                        \
            result_ = (call);                                                                                     \
        while (result_ == -1 && errno == EINTR);                                                                  \
        result_;                                                                                                  \
    })

static inline void cleanup_close(int *fd)
{
    if (*fd >= 0) {
        int saved = errno;
        close(*fd);
        errno = saved;
    }
}

static inline void cleanup_free(void *pointer)
{
    free(*(void **)pointer);
}

#define _cleanup_close_ __attribute__((cleanup(cleanup_close)))
#define _cleanup_free_ __attribute__((cleanup(cleanup_free)))

/* Hand the descriptor or pointer to its next owner and clear the variable. */
static inline int take_fd(int *fd)
{
    int taken = *fd;
    *fd = -1;
    return taken;
}

#define TAKE_FD(fd) take_fd(&(fd))
#define TAKE_PTR(pointer)                                                                                         \
    __extension__({                                                                                               \
        __typeof__(pointer) taken_ = (pointer);                                                                   \
        (pointer) = NULL;                                                                                         \
        taken_;                                                                                                   \
    })

static inline int close_fd(int *fd)
{
    cleanup_close(fd);
    *fd = -1;
    return -1;
}

/* Return whether the process behind the pidfd has ended. A pidfd polls readable from then on. */
static inline bool pidfd_ended(int pidfd)
{
    struct pollfd watched = {.fd = pidfd, .events = POLLIN};
    return poll(&watched, 1, 0) == 1;
}

#define NS_PER_S INT64_C(1000000000)
#define NS_PER_MS INT64_C(1000000)
#define NS_PER_US INT64_C(1000)

static inline int64_t clock_ns(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * NS_PER_S + now.tv_nsec;
}

static inline int64_t now_ns(void)
{
    return clock_ns(CLOCK_MONOTONIC);
}

static inline struct timespec timespec_of(int64_t ns)
{
    return (struct timespec){.tv_sec = ns / NS_PER_S, .tv_nsec = ns % NS_PER_S};
}

/* Add two times. A sum that would overflow becomes INT64_MAX, which is never reached. */
static inline int64_t time_add(int64_t a, int64_t b)
{
    int64_t sum;
    return __builtin_add_overflow(a, b, &sum) ? INT64_MAX : sum;
}

#endif

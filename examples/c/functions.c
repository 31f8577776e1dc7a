/* SPDX-License-Identifier: Apache-2.0 */
/* functions.c - the functions of the example: a few that work, and one for each way in which a call can fail. */
#include <ctype.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "functions.h"

static void upper(const struct request *request)
{
    struct iovec text = request->n > 1 ? request->segments[1] : (struct iovec){"", 0};
    for (size_t i = 0; i < text.iov_len; i++)
        ((char *)text.iov_base)[i] = (char)toupper(((unsigned char *)text.iov_base)[i]);
    answer(request, PINFOLD_STATUS_OK, &text, 1);
}

static void sum(const struct request *request)
{
    double total = 0;
    for (uint32_t i = 1; i < request->n; i++)
        for (size_t k = 0; k < request->segments[i].iov_len / sizeof(double); k++)
            total += ((const double *)request->segments[i].iov_base)[k];
    answer_bytes(request, &total, sizeof(total));
}

/* Answer N bytes, the i-th of which is i modulo 251. */
static void big(const struct request *request)
{
    size_t size = (size_t)argument(request, 1);
    uint8_t *bytes = malloc(size + 1);
    if (!bytes) {
        answer_error(request, PINFOLD_STATUS_EXCEPTION, "out of memory");
        return;
    }
    for (size_t i = 0; i < size; i++)
        bytes[i] = (uint8_t)(i % 251);
    answer_bytes(request, bytes, size);
    free(bytes);
}

/* Print N bytes to stdout, in lines. */
static void print(const struct request *request)
{
    static const char line[] = "all work and no play makes jack a dull boy all work and no play\n";
    for (long long left = argument(request, 1); left > 0;) {
        size_t n = left < (long long)sizeof(line) - 1 ? (size_t)left : sizeof(line) - 1;
        left -= (long long)fwrite(line, 1, n, stdout);
    }
    fputs("printed\n", stderr);
    answer_bytes(request, "", 0);
}

static void sleep_ms(const struct request *request)
{
    long long ms = argument(request, 1);
    struct timespec left = {ms / 1000, ms % 1000 * 1000000};
    while (nanosleep(&left, &left) < 0)
        ;
    answer_bytes(request, "slept", 5);
}

static void fail(const struct request *request)
{
    answer_error(request, PINFOLD_STATUS_EXCEPTION, "it failed, as it was told to");
}

static void exit_by_itself(const struct request *request)
{
    _exit((int)argument(request, 1));
}

static void crash(const struct request *request)
{
    raise((int)argument(request, 1));
}

static void spin(const struct request *request)
{
    (void)request;
    for (volatile unsigned i = 0;; i++)
        ;
}

/* Leave a process behind, in another session and with another parent, and answer its pid. */
static void leave_daemon(const struct request *request)
{
    int ends[2];
    pid_t pid = 0;
    if (pipe(ends) == 0) {
        if (fork() == 0) {
            setsid();
            if (fork() == 0) {
                pid = getpid();
                if (write(ends[1], &pid, sizeof(pid)) == sizeof(pid))
                    for (;;)
                        pause();
            }
            _exit(0);
        }
        if (read(ends[0], &pid, sizeof(pid)) != sizeof(pid))
            pid = 0;
    }
    char text[16];
    answer_bytes(request, text, (size_t)snprintf(text, sizeof(text), "%d", pid));
}

/* Close the descriptor of the result, and live on. */
static void close_channel(const struct request *request)
{
    (void)request;
    close(CHANNEL);
    for (;;)
        pause();
}

const struct function functions[] = {
    {"upper", upper},
    {"sum", sum},
    {"big", big},
    {"print", print},
    {"sleep", sleep_ms},
    {"fail", fail},
    {"exit", exit_by_itself},
    {"crash", crash},
    {"spin", spin},
    {"daemon", leave_daemon},
    {"close", close_channel},
    {NULL, NULL},
};

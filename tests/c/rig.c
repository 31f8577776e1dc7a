/* SPDX-License-Identifier: Apache-2.0 */
/* rig.c - opens the pool under test and counts what is left (rig.h). */
#include "rig.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

atomic_int failures;
pinfold_pool *pool;
char *spill_dir;

static struct census {
    int fds, threads, children, mappings, files;
} before;

/* Count the lines of a file that contain the word, or all of them if it is NULL. */
static int count_lines(const char *path, const char *word)
{
    FILE *file = fopen(path, "re");
    char line[4096];
    int n = 0;
    while (file && fgets(line, sizeof(line), file))
        n += !word || strstr(line, word);
    if (file)
        fclose(file);
    return n;
}

static void show_process(int pid)
{
    char path[32], line[512];
    snprintf(path, sizeof(path), "/proc/%d/stat", pid);
    FILE *file = fopen(path, "re");
    if (file && fgets(line, sizeof(line), file))
        print_error("  %.60s\n", line);
    if (file)
        fclose(file);
}

static int count_children(bool show)
{
    DIR *tasks = opendir("/proc/self/task");
    int n = 0, pid;
    for (struct dirent *entry; tasks && (entry = readdir(tasks));) {
        char path[300];
        snprintf(path, sizeof(path), "/proc/self/task/%s/children", entry->d_name);
        FILE *list = entry->d_name[0] == '.' ? NULL : fopen(path, "re");
        while (list && fscanf(list, "%d", &pid) == 1) {
            n++;
            if (show)
                show_process(pid);
        }
        if (list)
            fclose(list);
    }
    if (tasks)
        closedir(tasks);
    return n;
}

static struct census take_census(void)
{
    return (struct census){
        .fds = count_entries("/proc/self/fd"),
        .threads = count_entries("/proc/self/task"),
        .children = count_children(false),
        .mappings = count_lines("/proc/self/maps", "pinfold-"),
        .files = count_entries(spill_dir),
    };
}

static void show_descriptors(void)
{
    for (int fd = 0; fd < 1024; fd++) {
        char path[32], target[256];
        snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        ssize_t size = readlink(path, target, sizeof(target) - 1);
        if (size > 0)
            print_error("  %d -> %.*s\n", fd, (int)size, target);
    }
}

static void *nothing(void *data)
{
    return data;
}

int rig_setup(void **state)
{
    (void)state;
    /* ThreadSanitizer starts its own thread together with the first one of the program. */
    pthread_t thread;
    if (pthread_create(&thread, NULL, nothing, NULL) == 0)
        pthread_join(thread, NULL);
    /* Processes that escape the guard become our children, and are counted. */
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    spill_dir = make_directory();
    pool = NULL;
    before = take_census();
    return 0;
}

int rig_teardown(void **state)
{
    (void)state;
    plenty_descriptors();
    pinfold_pool_close(pool);
    pool = NULL;
    struct census after = take_census();
    /* A joined thread may be listed for a moment more: now, or when the first count was made. */
    for (int64_t end = now_ns() + BOUND; after.threads > before.threads && now_ns() < end;) {
        sched_yield();
        after = take_census();
    }
    if (after.threads < before.threads)
        before.threads = after.threads;
    remove_directory(spill_dir);
    if (memcmp(&before, &after, sizeof(before)) == 0)
        return 0;
    print_error("left behind: %+d descriptors, %+d threads, %+d children, %+d mappings, %+d files\n",
                after.fds - before.fds, after.threads - before.threads, after.children - before.children,
                after.mappings - before.mappings, after.files - before.files);
    if (after.fds != before.fds)
        show_descriptors();
    if (after.children != before.children)
        count_children(true);
    return -1;
}

pinfold_config rig_config(const char *argument)
{
    static const char *argv[3] = {RUNTIME};
    argv[1] = argument;
    return (pinfold_config){
        .size = sizeof(pinfold_config),
        .argv = argv,
        .envp = (const char *const *)environ,
        .guard = GUARD,
        .spill_dir = spill_dir,
        .max_workers = 4,
        .idle_timeout_ns = PINFOLD_FOREVER,
        .open_timeout_ns = BOUND,
        .flags = PINFOLD_EVENTS,
    };
}

void rig_open(const pinfold_config *config)
{
    pinfold_error error;
    if (pinfold_pool_open(config, &pool, &error) < 0)
        fail_msg("%s", error.text);
}

void rig_open_plain(uint32_t isolation, uint32_t max_workers)
{
    pinfold_config config = rig_config(NULL);
    config.isolation = isolation;
    config.max_workers = max_workers;
    rig_open(&config);
}

int try_submit(pinfold_queue *queue, const char *function, const char *argument, int64_t deadline_ns,
               uint64_t *ret_id, pinfold_error *error)
{
    const struct iovec segments[] = {
        {(void *)function, strlen(function)},
        {(void *)argument, strlen(argument)},
    };
    pinfold_call call = {
        .size = sizeof(call),
        .segments = segments,
        .n_segments = 2,
        .deadline_ns = deadline_ns,
        .queue = queue,
    };
    return pinfold_pool_submit(pool, &call, ret_id, error);
}

uint64_t submit(const char *function, const char *argument, int64_t deadline_ns)
{
    uint64_t id = 0;
    pinfold_error error;
    if (try_submit(NULL, function, argument, deadline_ns, &id, &error) < 0)
        fail_msg("%s: %s", function, error.text);
    assert_true(id != 0);
    return id;
}

int wait_for(pinfold_pool *of, uint64_t id, int64_t timeout_ns, pinfold_result **ret_result)
{
    int r;
    while ((r = pinfold_pool_wait(of, id, timeout_ns, ret_result)) == -EINTR)
        ;
    return r;
}

pinfold_result *take(uint64_t id)
{
    pinfold_result *result = NULL;
    int r = wait_for(pool, id, BOUND, &result);
    if (r < 0)
        fail_msg("waiting for a call: %s", strerror(-r));
    assert_int_equal(result->call_id, id);
    return result;
}

void assert_outcome(const pinfold_result *result, uint32_t outcome)
{
    if (result->outcome != outcome)
        fail_msg("%s, not %s: %s", pinfold_outcome_name(result->outcome), pinfold_outcome_name(outcome),
                 result->reason);
}

void assert_value(const pinfold_result *result, const char *text)
{
    assert_true(result->n_segments >= 1);
    assert_int_equal(result->segments[0].iov_len, strlen(text));
    assert_memory_equal(result->segments[0].iov_base, text, strlen(text));
}

void ends(uint64_t id, uint32_t outcome)
{
    pinfold_result *result = take(id);
    assert_outcome(result, outcome);
    pinfold_result_free(result);
}

pinfold_event next_event(uint32_t kind)
{
    pinfold_event event;
    for (int64_t end = now_ns() + BOUND; now_ns() < end;) {
        int r = pinfold_pool_next_event(pool, &event);
        if (r == 0 && event.kind == kind)
            return event;
        struct pollfd watched = {.fd = pinfold_pool_notify_fd(pool), .events = POLLIN};
        if (r == -EAGAIN)
            poll(&watched, 1, 1000);
    }
    fail_msg("no event of kind %u came", kind);
    return event;
}

pid_t wait_for_hand(uint64_t id)
{
    pinfold_event event;
    do
        event = next_event(PINFOLD_EVENT_CALL_START);
    while (event.call_id != id);
    return event.worker_pid;
}

void cancel(uint64_t id)
{
    assert_int_equal(pinfold_pool_cancel(pool, id), 0);
    ends(id, PINFOLD_CANCELLED);
}

pid_t submit_with_daemon(uint64_t *ret_id)
{
    _cleanup_free_ char *path = NULL;
    int pid = 0;
    if (asprintf(&path, "%s.fifo", spill_dir) < 0)
        path = NULL;
    assert_int_equal(mkfifo(path, 0600), 0);
    *ret_id = submit("leave_and_report", path, PINFOLD_FOREVER);
    FILE *fifo = fopen(path, "re");
    assert_int_equal(fscanf(fifo, "%d", &pid), 1);
    fclose(fifo);
    unlink(path);
    return pid;
}

char *make_fifo(const char *name)
{
    char *path = NULL;
    if (asprintf(&path, "%s.%s", spill_dir, name) < 0)
        fail_msg("no memory");
    assert_int_equal(mkfifo(path, 0600), 0);
    return path;
}

void open_gate(char *path)
{
    int fd;
    for (int64_t end = now_ns() + BOUND; (fd = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC)) < 0;) {
        assert_int_equal(errno, ENXIO);
        if (now_ns() > end)
            fail_msg("nobody waits at %s", path);
        poll(NULL, 0, 1);
    }
    close(fd);
    unlink(path);
    free(path);
}

pid_t parent_of(pid_t pid)
{
    char path[32];
    int parent = 0;
    snprintf(path, sizeof(path), "/proc/%d/stat", pid);
    FILE *file = fopen(path, "re");
    if (!file || fscanf(file, "%*d %*s %*c %d", &parent) != 1)
        fail_msg("%s: %s", path, strerror(errno));
    fclose(file);
    return parent;
}

void stop_process(pid_t pid)
{
    char path[32], state = 0;
    snprintf(path, sizeof(path), "/proc/%d/stat", pid);
    assert_int_equal(kill(pid, SIGSTOP), 0);
    while (state != 'T') {
        FILE *file = fopen(path, "re");
        if (!file || fscanf(file, "%*d %*s %c", &state) != 1)
            fail_msg("%s: %s", path, strerror(errno));
        fclose(file);
    }
}

pinfold_stats stats(void)
{
    pinfold_stats now = {.size = sizeof(now)};
    assert_int_equal(pinfold_pool_stats(pool, &now), 0);
    return now;
}

int open_process(pid_t pid)
{
    int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    assert_true(pidfd >= 0);
    return pidfd;
}

void wait_for_end(int pidfd)
{
    struct pollfd watched = {.fd = pidfd, .events = POLLIN};
    assert_int_equal(RETRY_EINTR(poll(&watched, 1, (int)(BOUND / NS_PER_MS))), 1);
    close(pidfd);
}

bool exists(pid_t pid)
{
    return kill(pid, 0) == 0;
}

rlim_t descriptors_used(void)
{
    rlim_t highest = 0;
    DIR *directory = opendir("/proc/self/fd");
    for (struct dirent *entry; directory && (entry = readdir(directory));) {
        rlim_t fd = strtoul(entry->d_name, NULL, 10);
        if ((int)fd != dirfd(directory) && fd + 1 > highest)
            highest = fd + 1;
    }
    closedir(directory);
    return highest;
}

static struct rlimit usual;
static int fillers[4096], n_fillers;

void scarce_descriptors(int free)
{
    getrlimit(RLIMIT_NOFILE, &usual);
    struct rlimit low = {descriptors_used() + (rlim_t)free, usual.rlim_max};
    setrlimit(RLIMIT_NOFILE, &low);
    /* Some numbers below the limit may be free, too. */
    int fd;
    while (n_fillers < (int)COUNT_OF(fillers) && (fd = fcntl(0, F_DUPFD_CLOEXEC, 0)) >= 0)
        fillers[n_fillers++] = fd;
    while (free-- > 0 && n_fillers > 0)
        close(fillers[--n_fillers]);
}

void plenty_descriptors(void)
{
    while (n_fillers > 0)
        close(fillers[--n_fillers]);
    if (usual.rlim_cur)
        setrlimit(RLIMIT_NOFILE, &usual);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* limit.c - measures the processes of a call against its limits (limit.h). */
#include "process/limit.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "base/error.h"
#include "base/util.h"
#include "process/sweep.h"

#define TREE_MAX 4096u
#define FILES_MAX 1024u /* files in memory that are counted once each */
#define DEVICES_MAX 16u

/* One process, as seen by one look. */
struct limit_seen {
    pid_t pid;
    uint64_t started;
    uint64_t counted_us, waited_us;
};

struct tree {
    struct limit_use use;
    uint64_t anonymous_bytes, shared_bytes;
    int failure; /* our own negative errno that kept something from being seen */
    uint32_t n;
    pid_t found[TREE_MAX + 1]; /* parents before children; one more than the most, to detect more */
};

/* Files in memory that a tree holds open. */
struct files {
    uint64_t bytes;
    uint32_t n, n_devices;
    struct file {
        dev_t device;
        ino_t inode;
    } seen[FILES_MAX];
    struct device {
        dev_t device;
        bool is_memory;
    } devices[DEVICES_MAX];
};

bool limit_any(const struct limits *limits)
{
    return limits->memory_bytes || limits->cpu_ns || limits->processes;
}

void limit_forget(struct limit_watch *watch)
{
    if (watch->looked && watch->scratch >= 0)
        close(watch->scratch);
    free(watch->seen);
    *watch = (struct limit_watch){0};
}

static uint32_t most_processes(const struct limits *limits)
{
    return limits->processes && limits->processes < TREE_MAX ? limits->processes : TREE_MAX;
}

static void tree_add(pid_t pid, void *data)
{
    struct tree *tree = data;
    if (tree->n < COUNT_OF(tree->found))
        tree->found[tree->n++] = pid;
}

/* Add one process. `shared`: divide shared memory among its users, which is exact among forks of one another,
 * but slow. A process that may not be examined so closely (prctl(2), PR_SET_DUMPABLE) counts whole. */
static void add(struct tree *tree, pid_t pid, const struct limits *limits, bool shared,
                struct limit_seen *ret_seen)
{
    struct usage usage;
    int r = usage_read_now(pid, limits->memory_bytes > 0, &usage);
    if (r == 0) {
        tree->use.processes++;
        tree->use.cpu_ns += (usage.user_us + usage.sys_us) * 1000;
        *ret_seen = (struct limit_seen){pid, usage.started, usage.counted_us, usage.waited_us};
        if (shared)
            r = usage_read_share(pid, &usage.anonymous_kb, &usage.shared_kb);
        if (r == -EACCES || r == -EPERM)
            r = 0;
        else if (r < 0)
            usage.anonymous_kb = usage.shared_kb = 0;
        if (pid != tree->found[0] && usage.peak_kb > tree->use.below_peak_kb)
            tree->use.below_peak_kb = usage.peak_kb;
        tree->anonymous_bytes += (usage.anonymous_kb + usage.tables_kb) * 1024;
        tree->shared_bytes += usage.shared_kb * 1024;
    }
    if (r == 0)
        r = sweep_children_of(pid, tree_add, tree);
    /* After any other error the process is gone. Its parent's times contain its own if the parent waited for
     * it. */
    if (error_is_ours(r))
        tree->failure = r;
}

/* Examine the tree without recursion: a program decides how deep it is, and the stack may be a small one of the
 * caller's. The caller frees *ret_seen, if asked for; it ends with a pid of 0. */
static void tree_look(struct tree *tree, pid_t worker, const struct limits *limits, bool shared,
                      struct limit_seen **ret_seen)
{
    *tree = (struct tree){.n = 0};
    tree_add(worker, tree);
    struct limit_seen *all = NULL;
    uint32_t n = 0, capacity = 0;
    for (uint32_t i = 0; i < tree->n && tree->use.processes <= most_processes(limits); i++) {
        struct limit_seen one = {.pid = 0};
        add(tree, tree->found[i], limits, shared, &one);
        if (!ret_seen || !one.pid)
            continue;
        if (n + 1 >= capacity) {
            struct limit_seen *more = reallocarray(all, capacity ? 2 * capacity : 8, sizeof(*all));
            if (!more)
                continue;
            capacity = capacity ? 2 * capacity : 8;
            all = more;
        }
        all[n++] = one;
        all[n] = (struct limit_seen){.pid = 0};
    }
    if (ret_seen)
        *ret_seen = all;
}

void limit_add_below(pid_t worker, struct usage *usage)
{
    struct tree tree = {.n = 0};
    sweep_children_of(worker, tree_add, &tree);
    for (uint32_t i = 0; i < tree.n && i < TREE_MAX; i++) {
        struct usage below;
        if (usage_read_now(tree.found[i], true, &below) < 0)
            continue;
        usage->user_us += below.user_us;
        usage->sys_us += below.sys_us;
        if (below.peak_kb > usage->peak_kb)
            usage->peak_kb = below.peak_kb;
        sweep_children_of(tree.found[i], tree_add, &tree);
    }
}

static int by_pid(const void *a, const void *b)
{
    const pid_t one = ((const struct limit_seen *)a)->pid, other = ((const struct limit_seen *)b)->pid;
    return (one > other) - (one < other);
}

/* Compute the processor time of the processes gone since the last look, minus the part that their parents got
 * by waiting. That part is in the parents' use now. The two halves of one wait may fall into two looks. */
static void account(struct limit_watch *watch, struct limit_seen *now)
{
    uint32_t n = 0;
    while (now && now[n].pid)
        n++;
    if (n)
        qsort(now, n, sizeof(*now), by_pid);
    uint64_t gone_us = 0, waited_us = 0;
    for (uint32_t old = 0, new = 0; old < watch->n_seen || new < n;) {
        const struct limit_seen *was = old < watch->n_seen ? &watch->seen[old] : NULL;
        const struct limit_seen *is = new < n ? &now[new] : NULL;
        if (!is || (was && (was->pid < is->pid || (was->pid == is->pid && was->started != is->started)))) {
            gone_us += was->counted_us;
            old++;
        } else if (!was || is->pid < was->pid) {
            /* A process older than the last look was being reparented then, and taken to be gone. */
            waited_us += is->started < watch->last_started ? is->counted_us : is->waited_us;
            new ++;
        } else {
            waited_us += is->waited_us > was->waited_us ? is->waited_us - was->waited_us : 0;
            old++;
            new ++;
        }
    }
    uint64_t reported_us = watch->spare_us + waited_us;
    const uint64_t late = reported_us < watch->owed_us ? reported_us : watch->owed_us;
    watch->lost_us += watch->owed_us - late;
    reported_us -= late;
    watch->owed_us = gone_us > reported_us ? gone_us - reported_us : 0;
    watch->spare_us = reported_us > gone_us ? reported_us - gone_us : 0;
    watch->spare_us = watch->spare_us < waited_us ? watch->spare_us : waited_us;
    free(watch->seen);
    watch->seen = now;
    watch->n_seen = n;
    watch->last_started = (uint64_t)(clock_ns(CLOCK_BOOTTIME) / (NS_PER_S / sysconf(_SC_CLK_TCK)));
}

static bool is_memory(struct files *files, dev_t device, const char *path)
{
    for (uint32_t i = 0; i < files->n_devices; i++)
        if (files->devices[i].device == device)
            return files->devices[i].is_memory;
    struct statfs status;
    if (statfs(path, &status) < 0)
        return false;
    const bool memory = status.f_type == TMPFS_MAGIC || status.f_type == HUGETLBFS_MAGIC;
    if (files->n_devices < DEVICES_MAX)
        files->devices[files->n_devices++] = (struct device){device, memory};
    return memory;
}

static void add_file(struct files *files, const char *path)
{
    struct stat status;
    if (stat(path, &status) < 0 || !S_ISREG(status.st_mode) || !is_memory(files, status.st_dev, path))
        return;
    for (uint32_t i = 0; i < files->n; i++)
        if (files->seen[i].device == status.st_dev && files->seen[i].inode == status.st_ino)
            return;
    if (files->n < FILES_MAX)
        files->seen[files->n++] = (struct file){status.st_dev, status.st_ino};
    files->bytes += (uint64_t)status.st_blocks * 512;
}

/* Add what a process holds open. Nothing of a process that may not be examined. */
static void add_open(struct files *files, pid_t pid)
{
    char path[64], target[16];
    snprintf(path, sizeof(path), "/proc/%d/fd", pid);
    DIR *open = opendir(path);
    if (!open)
        return;
    for (struct dirent *entry; (entry = readdir(open));) {
        /* Sockets, pipes and the like have no path. Most other descriptors are those of files on a disk. */
        if (readlinkat(dirfd(open), entry->d_name, target, sizeof(target)) > 0 && target[0] == '/') {
            snprintf(path, sizeof(path), "/proc/%d/fd/%.20s", pid, entry->d_name);
            add_file(files, path);
        }
    }
    closedir(open);
}

/* Open the scratch directory's mount in the worker's own namespace: its last entry in proc(5),
 * /proc/[pid]/mountinfo. */
static int open_scratch(pid_t worker)
{
    char path[32 + 4096], line[8192];
    snprintf(path, sizeof(path), "/proc/%d/mountinfo", worker);
    FILE *mounts = fopen(path, "re");
    int fd = -1;
    while (mounts && fgets(line, sizeof(line), mounts)) {
        char point[4096];
        if (!strstr(line, " - tmpfs scratch ") || sscanf(line, "%*d %*d %*s %*s %4095s", point) != 1)
            continue;
        close_fd(&fd);
        snprintf(path, sizeof(path), "/proc/%d/root%.4095s", worker, point);
        fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    }
    if (mounts)
        fclose(mounts);
    return fd;
}

static uint64_t scratch_bytes(struct limit_watch *watch, pid_t worker)
{
    if (!watch->in_view)
        return 0;
    if (!watch->looked)
        watch->scratch = open_scratch(worker);
    watch->looked = true;
    struct statfs status;
    if (watch->scratch < 0 || fstatfs(watch->scratch, &status) < 0)
        return 0;
    return (uint64_t)(status.f_blocks - status.f_bfree) * (uint64_t)status.f_bsize;
}

/* A page of such a file may be mapped, too: the larger of the two sums counts. */
static void add_files(struct tree *tree, struct limit_watch *watch, pid_t worker)
{
    struct files *files = calloc(1, sizeof(*files));
    if (!files) {
        tree->failure = -ENOMEM;
        return;
    }
    const uint64_t scratch = scratch_bytes(watch, worker);
    struct stat status;
    if (scratch > 0 && fstat(watch->scratch, &status) == 0) /* files open there count with the rest of it */
        files->devices[files->n_devices++] = (struct device){status.st_dev, false};
    for (uint32_t i = 0; i < tree->n; i++)
        add_open(files, tree->found[i]);
    const uint64_t bytes = files->bytes + scratch;
    free(files);
    tree->use.memory_bytes = tree->anonymous_bytes + (tree->shared_bytes > bytes ? tree->shared_bytes : bytes);
}

enum limit_hit limit_look(pid_t worker, const struct limits *limits, struct limit_watch *watch,
                          uint64_t inherited_bytes, uint64_t cpu_before_ns, struct limit_use *ret_use)
{
    struct tree tree;
    struct limit_seen *seen = NULL;
    tree_look(&tree, worker, limits, false, limits->cpu_ns ? &seen : NULL);
    if (limits->cpu_ns) {
        account(watch, seen);
        tree.use.cpu_ns += watch->lost_us * 1000;
    }
    if (limits->memory_bytes)
        add_files(&tree, watch, worker);
    /* Forks share the pages that neither has written to, and each counts them: look closer before that hits
     * anybody. */
    if (limits->memory_bytes && tree.use.processes > 1 && tree.use.memory_bytes > limits->memory_bytes) {
        const uint64_t cpu_ns = tree.use.cpu_ns;
        inherited_bytes = 0;
        tree_look(&tree, worker, limits, true, NULL);
        add_files(&tree, watch, worker);
        tree.use.cpu_ns = cpu_ns;
    }
    struct limit_use use = tree.use;
    use.memory_bytes -= use.memory_bytes < inherited_bytes ? use.memory_bytes : inherited_bytes;
    use.cpu_ns -= use.cpu_ns < cpu_before_ns ? use.cpu_ns : cpu_before_ns;
    *ret_use = use;
    if (limits->memory_bytes && use.memory_bytes > limits->memory_bytes)
        return LIMIT_MEMORY;
    if (limits->cpu_ns && use.cpu_ns > limits->cpu_ns)
        return LIMIT_CPU;
    if (limits->processes && use.processes > limits->processes)
        return LIMIT_PROCESSES;
    ret_use->failure = tree.failure;
    return tree.failure < 0 ? LIMIT_UNSEEN : LIMIT_NONE;
}

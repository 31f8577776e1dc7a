/* SPDX-License-Identifier: Apache-2.0 */
/* pages.c - spares a worker page faults, of which a call in a new fork has some five hundred.
 *
 * A fork copies the page table of anonymous memory, but not that of file mappings. The child therefore faults the
 * code that it runs in again, some eighty times before its first call is done. The kernel makes one exception
 * (mm/memory.c, vma_needs_copy()): a mapping of which any page was ever written to privately. So this file
 * rewrites one byte of each with its own value. It does so only for code that every call runs, because each
 * page-table entry costs time at a fork and at an exit.
 *
 * The other four hundred faults are on pages that a call writes to, mostly reference counts, and they are the same
 * for every worker. So the template forks a child that runs a rehearsal and reports which pages became its own.
 * Each worker has the kernel copy these pages while it waits for a call. */
#include "pages.h"

#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/util.h"
#include "runtime.h"

#ifndef MADV_POPULATE_WRITE /* Linux 5.14; glibc 2.35 */
#define MADV_POPULATE_WRITE 23
#endif

#define PAGES_MOST 1024 /* copied per worker: 4 MiB */
#define RANGES_MOST 512
#define PAGEMAP_OWN (UINT64_C(1) << 56)  /* mapped by this process alone; proc(5), /proc/[pid]/pagemap */
#define MAPPING_MOST (UINT64_C(4) << 30) /* a larger mapping is reserved, not used, and slow to read */

struct mapping {
    uintptr_t start, end;
    char rights[5];
    char file[4096];
};

typedef bool visit_mapping(const struct mapping *mapping, void *data);

/* Call visit for each private mapping, until it returns false. */
static void each_mapping(visit_mapping *visit, void *data)
{
    FILE *maps = fopen("/proc/self/maps", "re");
    char line[4352];
    bool more = true;
    while (maps && more && fgets(line, sizeof(line), maps)) {
        struct mapping mapping;
        mapping.file[0] = '\0';
        if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " %4s %*x %*s %*u %4095[^\n]", &mapping.start, &mapping.end,
                   mapping.rights, mapping.file) >= 3 &&
            mapping.rights[3] == 'p')
            more = visit(&mapping, data);
    }
    if (maps)
        fclose(maps);
}

static bool is_of_file(const struct mapping *mapping)
{
    return mapping->file[0] == '/' && mapping->rights[0] == 'r' && mapping->rights[1] == '-';
}

struct search {
    uintptr_t address;
    char file[4096];
};

static bool holds(const struct mapping *mapping, void *data)
{
    struct search *search = data;
    if (!is_of_file(mapping) || search->address < mapping->start || search->address >= mapping->end)
        return true;
    memcpy(search->file, mapping->file, sizeof(search->file));
    return false;
}

static bool keep(const struct mapping *mapping, void *data)
{
    if (!is_of_file(mapping) || strcmp(mapping->file, data) != 0)
        return true;
    void *start = (void *)mapping->start;
    size_t size = mapping->end - mapping->start;
    int rights = mapping->rights[2] == 'x' ? PROT_READ | PROT_EXEC : PROT_READ;
    /* Keep it executable while it is writable, because it may hold the running code. Where that is forbidden (by
     * SELinux) the mapping stays as it is. */
    if (mprotect(start, size, rights | PROT_WRITE) == 0) {
        volatile char *byte = start;
        *byte = *byte;
        mprotect(start, size, rights);
    }
    return true;
}

static void keep_file_at(uintptr_t address)
{
    struct search search = {.address = address};
    each_mapping(holds, &search);
    if (search.file[0])
        each_mapping(keep, search.file);
}

void pages_keep_code(const char *const *files, size_t n_files)
{
    keep_file_at((uintptr_t)&PyObject_Malloc);
    keep_file_at((uintptr_t)&getpid);
    for (size_t i = 0; i < n_files; i++)
        each_mapping(keep, (void *)files[i]);
}

struct range {
    uintptr_t start, end;
};

static struct range written[RANGES_MOST];
static size_t n_written;

struct written_pages {
    struct range ranges[RANGES_MOST];
    size_t n, pages;
    int pagemap;
};

static bool add_page(struct written_pages *pages, uintptr_t page, size_t page_size)
{
    struct range *last = &pages->ranges[pages->n];
    if (pages->n > 0 && last[-1].end == page) {
        last[-1].end += page_size;
    } else {
        if (pages->n == RANGES_MOST)
            return false;
        *last = (struct range){page, page + page_size};
        pages->n++;
    }
    return ++pages->pages < PAGES_MOST;
}

static bool add_own(const struct mapping *mapping, void *data)
{
    struct written_pages *pages = data;
    if (mapping->rights[0] != 'r' || mapping->rights[1] != 'w' || mapping->end - mapping->start > MAPPING_MOST)
        return true;
    size_t page_size = (size_t)sysconf(_SC_PAGESIZE);
    uint64_t entries[512];
    for (uintptr_t page = mapping->start; page < mapping->end;) {
        ssize_t size =
            pread(pages->pagemap, entries, sizeof(entries), (off_t)(page / page_size * sizeof(uint64_t)));
        if (size <= 0)
            return true;
        for (size_t i = 0; i < (size_t)size / sizeof(uint64_t) && page < mapping->end; i++, page += page_size)
            if (entries[i] & PAGEMAP_OWN && !add_page(pages, page, page_size))
                return false;
    }
    return true;
}

/* In the child: run a worker's code, and report which pages it wrote to. */
static void report_written(PyObject *play, int to)
{
    static struct written_pages pages;
    PyObject *result = PyObject_CallNoArgs(play);
    pages.pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    if (!result || pages.pagemap < 0)
        _exit(1);
    each_mapping(add_own, &pages);
    size_t size = pages.n * sizeof(pages.ranges[0]);
    _exit(write(to, pages.ranges, size) != (ssize_t)size);
}

int pages_learn(PyObject *play)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0)
        return -errno;
    pid_t pid = child_fork();
    if (pid == 0) {
        PyOS_AfterFork_Child();
        report_written(play, ends[1]);
    }
    close(ends[1]);
    size_t size = 0;
    for (ssize_t got = 1; pid > 0 && got > 0 && size<sizeof(written); size += got> 0 ? (size_t)got : 0)
        got = RETRY_EINTR(read(ends[0], (char *)written + size, sizeof(written) - size));
    close(ends[0]);
    if (pid < 0)
        return pid;
    int status;
    if (RETRY_EINTR(waitpid(pid, &status, 0)) == pid && status == 0)
        n_written = size / sizeof(written[0]);
    return 0;
}

void pages_copy(int channel)
{
    struct pollfd call = {.fd = channel, .events = POLLIN};
    /* EINVAL: the kernel lacks MADV_POPULATE_WRITE. ENOMEM: only the child had that mapping. */
    for (size_t i = 0; i < n_written; i++) {
        if (i % 16 == 0 && poll(&call, 1, 0) != 0)
            break;
        if (madvise((void *)written[i].start, written[i].end - written[i].start, MADV_POPULATE_WRITE) < 0 &&
            errno == EINVAL)
            break;
    }
    n_written = 0;
}

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

/* A fork copies the page table of anonymous memory, and an exit tears it down. 1 GiB in pages of 4 KiB has 262,144
 * entries, tens of milliseconds for every call; in pages of 2 MiB it has 512. numpy asks the kernel for huge pages.
 * Other large memory of the preloads and the set-up is moved into them once, when all is loaded (madvise(2),
 * MADV_COLLAPSE, since Linux 6.1). The mappings get no lasting advice, which would affect what a call allocates. */
#define HUGE_PAGE (UINT64_C(2) << 20)
#define LEAST (4 * HUGE_PAGE) /* smaller mappings are not worth it */

struct area {
    uint64_t start, end, resident_kb, huge_kb;
    bool anonymous; /* private and writable, too */
};

static void gather(const struct area *area)
{
    /* What is hardly touched would cost the memory that it does not have yet. */
    uint64_t size_kb = (area->end - area->start) / 1024;
    if (!area->anonymous || area->end - area->start < LEAST || area->resident_kb < size_kb - size_kb / 8 ||
        area->huge_kb > area->resident_kb / 2)
        return;
    uint64_t start = (area->start + HUGE_PAGE - 1) & ~(HUGE_PAGE - 1), end = area->end & ~(HUGE_PAGE - 1);
    (void)madvise((void *)(uintptr_t)start, end - start, MADV_COLLAPSE);
}

void pages_gather(void)
{
    FILE *maps = fopen("/proc/self/smaps", "re");
    char line[4352], rights[5];
    struct area area = {0};
    while (maps && fgets(line, sizeof(line), maps)) {
        uint64_t start, end, inode;
        if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %4s %*x %*s %" SCNu64, &start, &end, rights, &inode) == 4)
            area = (struct area){start, end, .anonymous = inode == 0 && strcmp(rights, "rw-p") == 0};
        else if (sscanf(line, "Rss: %" SCNu64, &area.resident_kb) == 1)
            continue;
        else if (sscanf(line, "AnonHugePages: %" SCNu64, &area.huge_kb) == 1)
            continue;
        else if (strncmp(line, "VmFlags:", 8) == 0) /* the last of an area */
            gather(&area);
    }
    if (maps)
        fclose(maps);
}

/* huge.c - moves a template's large memory into huge pages.
 *
 * A fork copies the page table of anonymous memory, and an exit tears it down. 1 GiB in pages of 4 KiB has 262,144
 * entries, tens of milliseconds for every call; in pages of 2 MiB it has 512. numpy asks the kernel for huge
 * pages. This file moves other large memory of the preloads and the set-up into them once, when all is loaded
 * (madvise(2), MADV_COLLAPSE, since Linux 6.1). The mappings get no lasting advice, which would affect what a call
 * allocates.
 */
#include "huge.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

#define HUGE_PAGE (UINT64_C(2) << 20)
#define LEAST (4 * HUGE_PAGE) /* smaller mappings are not worth it */

struct area {
    uint64_t start, end, resident_kb, huge_kb;
    bool anonymous; /* also private and writable */
};

static void gather(const struct area *area)
{
    /* A sparsely touched mapping would grow by the memory that it does not have yet. */
    uint64_t size_kb = (area->end - area->start) / 1024;
    if (!area->anonymous || area->end - area->start < LEAST || area->resident_kb < size_kb - size_kb / 8 ||
        area->huge_kb > area->resident_kb / 2)
        return;
    uint64_t start = (area->start + HUGE_PAGE - 1) & ~(HUGE_PAGE - 1), end = area->end & ~(HUGE_PAGE - 1);
    (void)madvise((void *)(uintptr_t)start, end - start, MADV_COLLAPSE);
}

void huge_gather(void)
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
        else if (strncmp(line, "VmFlags:", 8) == 0) /* the last line of a mapping */
            gather(&area);
    }
    if (maps)
        fclose(maps);
}

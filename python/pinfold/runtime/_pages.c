/* A fork copies the page table of anonymous memory, but not that of a file's mapping: the child faults the code that
 * it runs in again, some eighty times before its first call is done. The kernel makes one exception (mm/memory.c,
 * vma_needs_copy()): a mapping of which any page was ever written to privately. So one byte of each is written here,
 * with what it holds already. Only for what every call runs: each page in the table costs a fork and an exit, too. */
#include "_pages.h"

#include <Python.h>

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct mapping {
    uintptr_t start, end;
    char rights[5];
    char file[4096];
};

typedef bool visit_mapping(const struct mapping *mapping, void *data);

/* Calls visit for the private, read-only mappings of files, until it returns false. */
static void each_mapping(visit_mapping *visit, void *data)
{
    FILE *maps = fopen("/proc/self/maps", "re");
    char line[4352];
    bool more = true;
    while (maps && more && fgets(line, sizeof(line), maps)) {
        struct mapping mapping;
        if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " %4s %*x %*s %*u %4095[^\n]", &mapping.start, &mapping.end,
                   mapping.rights, mapping.file) != 4 ||
            mapping.file[0] != '/')
            continue;
        if (strcmp(mapping.rights, "r-xp") == 0 || strcmp(mapping.rights, "r--p") == 0)
            more = visit(&mapping, data);
    }
    if (maps)
        fclose(maps);
}

struct search {
    uintptr_t address;
    char file[4096];
};

static bool holds(const struct mapping *mapping, void *data)
{
    struct search *search = data;
    if (search->address < mapping->start || search->address >= mapping->end)
        return true;
    memcpy(search->file, mapping->file, sizeof(search->file));
    return false;
}

static bool keep(const struct mapping *mapping, void *data)
{
    if (strcmp(mapping->file, data) != 0)
        return true;
    void *start = (void *)mapping->start;
    size_t size = mapping->end - mapping->start;
    int rights = mapping->rights[2] == 'x' ? PROT_READ | PROT_EXEC : PROT_READ;
    /* Still executable while it is writable, for this may be the page that runs. Where that is forbidden (SELinux
     * does it) the mapping stays as it is. */
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

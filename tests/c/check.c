/* SPDX-License-Identifier: Apache-2.0 */
/* check.c - helpers of every test file (check.h). */
#include "check.h"

#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <sys/mount.h>

/* Let PINFOLD_TEST='test_a_pool_*' run only some tests of a program. */
__attribute__((constructor)) static void choose_tests(void)
{
    cmocka_set_test_filter(getenv("PINFOLD_TEST"));
}

int count_entries(const char *path)
{
    DIR *directory = opendir(path);
    if (!directory)
        return -1;
    int n = 0;
    for (struct dirent *entry; (entry = readdir(directory));)
        n += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
    closedir(directory);
    return n;
}

char *make_directory(void)
{
    const char *parent = getenv("TMPDIR");
    char *path = NULL;
    if (asprintf(&path, "%s/pinfold-test-XXXXXX", parent ? parent : "/tmp") < 0 || !mkdtemp(path))
        fail_msg("cannot make a directory: %s", strerror(errno));
    return path;
}

void remove_directory(char *path)
{
    DIR *directory = opendir(path);
    for (struct dirent *entry; directory && (entry = readdir(directory));)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            unlinkat(dirfd(directory), entry->d_name, 0);
    if (directory)
        closedir(directory);
    rmdir(path);
    free(path);
}

static bool write_file(const char *path, const char *text)
{
    _cleanup_close_ int fd = open(path, O_WRONLY | O_CLOEXEC);
    return fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
}

bool own_mounts(void)
{
    char map[32];
    snprintf(map, sizeof(map), "0 %u 1", getuid());
    if (unshare(CLONE_NEWNS) < 0 &&
        (unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0 || !write_file("/proc/self/uid_map", map)))
        return false;
    return mount("none", "/", "none", MS_REC | MS_PRIVATE, "") == 0;
}

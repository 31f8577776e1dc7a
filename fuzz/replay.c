/* SPDX-License-Identifier: Apache-2.0 */
/* replay.c - runs a target over the files of directories: an unpacked corpus as a test, for compilers without
 * libFuzzer. */
#include "fuzz.h"

#include <dirent.h>

static void replay(const char *path)
{
    FILE *file = fopen(path, "re");
    CHECK(file);
    static uint8_t bytes[1 << 20];
    size_t size = fread(bytes, 1, sizeof(bytes), file);
    fclose(file);
    uint8_t *copy =
        malloc(size ? size : 1); /* ends where the input ends, so that a sanitizer sees a read beyond */
    CHECK(copy);
    memcpy(copy, bytes, size);
    fprintf(stderr, "%s\n", path);
    LLVMFuzzerTestOneInput(copy, size);
    free(copy);
}

int main(int argc, char **argv)
{
    int n = 0;
    for (int i = 1; i < argc; i++) {
        DIR *directory = opendir(argv[i]);
        CHECK(directory);
        for (struct dirent *entry; (entry = readdir(directory));) {
            char path[4096];
            if (entry->d_name[0] == '.')
                continue;
            snprintf(path, sizeof(path), "%s/%s", argv[i], entry->d_name);
            replay(path);
            n++;
        }
        closedir(directory);
    }
    printf("%d inputs\n", n);
    return n > 0 ? 0 : 1;
}

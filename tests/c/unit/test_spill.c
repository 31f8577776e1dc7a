/* SPDX-License-Identifier: Apache-2.0 */
/* Spills of every kind carry payloads whole. A file that can still be written to, or is not a spill, is not
 * mapped. */
#include "check.h"
#include "wire/payload.h"
#include "wire/spill.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>

static char *directory;
static struct spill_dir spills;
static int fds_before;

static int open_spills(void **state)
{
    (void)state;
    directory = make_directory();
    fds_before = count_entries("/proc/self/fd");
    return spill_dir_open(directory, &spills, NULL);
}

static int close_spills(void **state)
{
    (void)state;
    spill_dir_close(&spills);
    int left = count_entries(directory), fds_after = count_entries("/proc/self/fd");
    remove_directory(directory);
    return left == 0 && fds_after == fds_before ? 0 : -1;
}

/* Return a file on the spill directory's file system, with some bytes, open for writing. */
static int open_file(void)
{
    int fd = openat(spills.fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, "0123456789", 10, 0), 10);
    return fd;
}

static int open_again(int fd, int flags)
{
    char path[32];
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    return open(path, flags | O_CLOEXEC);
}

static int open_memfd(int seals)
{
    int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, "0123456789", 10, 0), 10);
    assert_int_equal(fcntl(fd, F_ADD_SEALS, seals), 0);
    return fd;
}

static void assert_segments(void *base, uint64_t size, const struct iovec *wanted, uint32_t n)
{
    struct iovec *got;
    uint32_t n_got;
    assert_int_equal(payload_parse(base, size, &got, &n_got), 0);
    assert_int_equal(n_got, n);
    for (uint32_t i = 0; i < n; i++) {
        assert_int_equal(got[i].iov_len, wanted[i].iov_len);
        assert_memory_equal(got[i].iov_base, wanted[i].iov_base, wanted[i].iov_len);
    }
    free(got);
}

static void test_every_kind_carries_segments_whole(void **state)
{
    (void)state;
    enum { N = 3000 }; /* more than one writev(2) takes */
    static char bytes[N];
    struct iovec segments[N];
    for (size_t i = 0; i < N; i++) {
        bytes[i] = (char)i;
        segments[i] = (struct iovec){bytes + i / 2, i % 5 == 0 || i > N - 10 ? 0 : i % 97};
    }
    for (int kind = SPILL_TMPFILE; kind <= SPILL_MEMFD; kind++) {
        spills.kind = (enum spill_kind)kind;
        int fd;
        uint64_t size, wanted_size;
        void *base, *copy;
        assert_int_equal(spill_write(&spills, segments, N, &fd, &size, NULL), 0);
        assert_int_equal(payload_size(segments, N, &wanted_size), 0);
        assert_int_equal(size, wanted_size);
        assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
        assert_int_equal(count_entries(directory), 0);
        assert_int_equal(spill_prove(fd, spills.device), 0);
        assert_int_equal(spill_map(fd, size, &base), 0);
        assert_int_equal(spill_copy(fd, size, &copy), 0);
        assert_segments(base, size, segments, N);
        assert_segments(copy, size, segments, N);

        memset(base, 'x', size); /* private: the file is as it was */
        munmap(base, size);
        assert_int_equal(spill_map(fd, size, &base), 0);
        assert_memory_equal(base, copy, size);
        munmap(base, size);
        munmap(copy, size);
        close(fd);
    }
}

static void test_a_spill_cannot_be_written_or_shrunk_by_who_gets_it(void **state)
{
    (void)state;
    const struct iovec segment = {"0123456789", 10};
    for (int kind = SPILL_TMPFILE; kind <= SPILL_MEMFD; kind++) {
        spills.kind = (enum spill_kind)kind;
        int fd;
        uint64_t size;
        assert_int_equal(spill_write(&spills, &segment, 1, &fd, &size, NULL), 0);
        assert_int_equal(pwrite(fd, "x", 1, 0), -1);
        assert_int_equal(ftruncate(fd, 0), -1);
        assert_int_equal(ftruncate(fd, 1 << 20), -1);
        close(fd);
    }
}

static void test_no_proof_while_a_writer_is_open(void **state)
{
    (void)state;
    int writer = open_file(), reader = open_again(writer, O_RDONLY);
    assert_int_equal(spill_prove(writer, spills.device), -ETXTBSY);
    assert_int_equal(spill_prove(reader, spills.device), -ETXTBSY);
    int second = dup(writer);
    close(writer);
    assert_int_equal(spill_prove(reader, spills.device), -ETXTBSY);
    close(second);
    assert_int_equal(spill_prove(reader, spills.device), 0);
    close(reader);
}

static void test_no_proof_while_a_writable_mapping_lives(void **state)
{
    (void)state;
    int writer = open_file(), reader = open_again(writer, O_RDONLY);
    void *base = mmap(NULL, 10, PROT_READ | PROT_WRITE, MAP_SHARED, writer, 0);
    assert_ptr_not_equal(base, MAP_FAILED);
    close(writer);
    assert_int_equal(spill_prove(reader, spills.device), -ETXTBSY);
    munmap(base, 10);
    assert_int_equal(spill_prove(reader, spills.device), 0);
    close(reader);
}

static void test_no_proof_while_a_writer_travels_in_a_socket(void **state)
{
    (void)state;
    int writer = open_file(), reader = open_again(writer, O_RDONLY), ends[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, ends), 0);
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = {.align = {CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS}};
    memcpy(CMSG_DATA(&control.align), &writer, sizeof(writer));
    struct iovec part = {"x", 1};
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
    assert_int_equal(sendmsg(ends[0], &message, 0), 1);
    close(writer);
    assert_int_equal(spill_prove(reader, spills.device), -ETXTBSY);
    close(ends[0]);
    close(ends[1]);
    close(reader);
}

static void test_the_lease_is_given_back_at_once(void **state)
{
    (void)state;
    int writer = open_file(), reader = open_again(writer, O_RDONLY);
    close(writer);
    for (int i = 0; i < 3; i++)
        assert_int_equal(spill_prove(reader, spills.device), 0);
    writer = open_again(reader, O_WRONLY | O_NONBLOCK); /* EWOULDBLOCK, and SIGIO for us, if a lease were held */
    assert_true(writer >= 0);
    close(writer);
    close(reader);
}

static void test_a_memfd_counts_with_all_its_seals_only(void **state)
{
    (void)state;
    const int all = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL;
    for (int seals = 0; seals <= all; seals++) {
        if (seals & ~all)
            continue;
        int fd = open_memfd(seals), reader = open_again(fd, O_RDONLY);
        int wanted = seals == all ? 0 : -EBADMSG;
        assert_int_equal(spill_prove(fd, spills.device), wanted);
        assert_int_equal(spill_prove(reader, spills.device), wanted);
        assert_int_equal(spill_prove_sealed(fd), wanted);
        assert_int_equal(spill_prove_sealed(reader), wanted);
        close(reader);
        close(fd);
    }
}

static void test_what_is_no_spill_is_refused(void **state)
{
    (void)state;
    int ends[2];
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    const int others[] = {
        ends[0],
        ends[1],
        open("/dev/null", O_RDONLY | O_CLOEXEC),
        open("/dev/zero", O_RDWR | O_CLOEXEC),
        open(directory, O_RDONLY | O_CLOEXEC),
        open(directory, O_PATH | O_CLOEXEC),
        open("/proc/self/status", O_RDONLY | O_CLOEXEC), /* a regular file on another file system */
        socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0),
    };
    for (size_t i = 0; i < COUNT_OF(others); i++) {
        void *base = NULL;
        assert_true(others[i] >= 0);
        assert_int_equal(spill_prove(others[i], spills.device), -EBADMSG);
        assert_int_equal(spill_prove_sealed(others[i]), -EBADMSG);
        assert_int_equal(spill_map(others[i], 10, &base), -EBADMSG);
        assert_int_equal(spill_copy(others[i], 10, &base), -EBADMSG);
        assert_null(base);
        close(others[i]);
    }
    assert_int_equal(spill_prove(-1, spills.device), -EBADF);
}

static void test_a_file_that_is_not_of_the_size_it_should_have_is_refused(void **state)
{
    (void)state;
    int fd = open_file();
    static const uint64_t sizes[] = {0, 9, 11, 4096, UINT64_MAX, UINT64_C(1) << 63};
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        void *base = NULL;
        assert_int_equal(spill_map(fd, sizes[i], &base), -EBADMSG);
        assert_int_equal(spill_copy(fd, sizes[i], &base), -EBADMSG);
        assert_null(base);
    }
    assert_int_equal(ftruncate(fd, 0), 0);
    void *base;
    assert_int_equal(spill_map(fd, 0, &base), -EBADMSG);
    close(fd);
}

static void test_a_directory_that_cannot_be_used_says_why(void **state)
{
    (void)state;
    struct spill_dir other = {.fd = 4242};
    pinfold_error error;
    char path[4200];
    snprintf(path, sizeof(path), "%s/none", directory);
    assert_int_equal(spill_dir_open(path, &other, &error), -ENOENT);
    assert_non_null(strstr(error.text, path));
    assert_int_equal(spill_dir_open("/dev/null", &other, &error), -ENOTDIR);
    memset(path, 'x', sizeof(path) - 1);
    path[sizeof(path) - 1] = '\0';
    assert_int_equal(spill_dir_open(path, &other, &error), -ENAMETOOLONG);
    int r = spill_dir_open("/proc", &other, &error); /* a file system on which nobody can make files */
    assert_true(r == -ENOENT || r == -EACCES || r == -EPERM || r == -EROFS);
    if (geteuid() != 0) {
        assert_int_equal(spill_dir_open("/", &other, &error), -EACCES);
        assert_non_null(strstr(error.text, "Permission denied"));
    }
    assert_int_equal(other.fd, 4242);
}

static void test_a_file_size_limit_is_an_error_and_leaves_nothing(void **state)
{
    (void)state;
    static char bytes[100000];
    const struct iovec segment = {bytes, sizeof(bytes)};
    struct rlimit before, low;
    getrlimit(RLIMIT_FSIZE, &before);
    low = (struct rlimit){50000, before.rlim_max}; /* in the middle of a write: that is cut short, then fails */
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &low);
    int fd = 4242;
    uint64_t size = 4242;
    pinfold_error error;
    int r = spill_write(&spills, &segment, 1, &fd, &size, &error);
    setrlimit(RLIMIT_FSIZE, &before);
    signal(SIGXFSZ, handler);
    assert_int_equal(r, -EFBIG);
    assert_non_null(strstr(error.text, "100064 bytes"));
    assert_true(fd == 4242 && size == 4242);
}

/* As an ordinary user: root may open anything. */
static void test_a_mask_that_lets_nobody_read_does_not_keep_a_spill_from_being_read(void **state)
{
    (void)state;
    pid_t child = fork();
    if (child == 0) {
        struct spill_dir dir;
        char segment[] = "value";
        int fd;
        uint64_t size;
        if (spill_dir_open(directory, &dir, NULL) < 0 || chmod(directory, 0777) < 0)
            _exit(1);
        if (geteuid() == 0 && (setgid(65534) < 0 || setuid(65534) < 0))
            _exit(2);
        umask(0777);
        _exit(spill_write(&dir, &(struct iovec){segment, 5}, 1, &fd, &size, NULL) == 0 ? 0 : 3);
    }
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static void test_a_file_in_memory_with_a_hole_is_no_spill(void **state)
{
    (void)state;
    _cleanup_close_ int fd = memfd_create("hole", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    assert_int_equal(write(fd, "begin", 5), 5);
    assert_int_equal(ftruncate(fd, 1 << 20), 0);
    assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL), 0);
    assert_int_equal(spill_prove_sealed(fd), 0);
    assert_int_equal(spill_check_whole(fd, 1 << 20), -EBADMSG);
    _cleanup_close_ int whole = open_memfd(0);
    struct stat status;
    assert_int_equal(fstat(whole, &status), 0);
    assert_int_equal(spill_check_whole(whole, (uint64_t)status.st_size), 0);
}

static void test_a_memfd_is_taken_from_who_holds_it_and_nothing_else_is(void **state)
{
    (void)state;
    const int seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL;
    int ends[2], fd = -1;
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    const int memfd = open_memfd(seals);
    const int others[] = {
        ends[0],
        ends[1],
        open("/dev/null", O_RDONLY | O_CLOEXEC),
        open(directory, O_RDONLY | O_CLOEXEC),
        open(directory, O_PATH | O_CLOEXEC),
        open_file(),
        socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0),
        eventfd(0, EFD_CLOEXEC),
    };
    pid_t holder = fork();
    if (holder == 0)
        for (;;)
            pause();
    for (size_t i = 0; i < COUNT_OF(others); i++) {
        assert_true(others[i] >= 0);
        assert_int_equal(spill_open_held(holder, others[i], &fd), -EBADMSG);
        close(others[i]);
    }
    static const int none[] = {-1, INT32_MIN, INT32_MAX, 1000000};
    for (size_t i = 0; i < COUNT_OF(none); i++)
        assert_int_equal(spill_open_held(holder, none[i], &fd), -EBADMSG);
    assert_int_equal(fd, -1);
    assert_int_equal(spill_open_held(holder, memfd, &fd), 0);
    assert_int_equal(spill_prove_sealed(fd), 0);
    assert_int_equal(fcntl(fd, F_GETFL) & O_ACCMODE, O_RDONLY);
    assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
    close_fd(&fd);
    kill(holder, SIGKILL);
    assert_int_equal(waitid(P_PID, (id_t)holder, &(siginfo_t){0}, WEXITED | WNOWAIT), 0);
    assert_true(spill_open_held(holder, memfd, &fd) < 0);
    assert_int_equal(waitpid(holder, NULL, 0), holder);
    assert_int_equal(spill_open_held(holder, memfd, &fd), -EPERM);
    close(memfd);
}

static void test_a_sealed_spill_needs_no_directory(void **state)
{
    (void)state;
    const struct iovec segment = {"0123456789", 10};
    struct spill_dir memory = spill_dir_in_memory();
    int fd;
    uint64_t size;
    void *base;
    assert_int_equal(spill_write(&memory, &segment, 1, &fd, &size, NULL), 0);
    assert_int_equal(spill_prove_sealed(fd), 0);
    int writer = open_again(fd, O_RDWR); /* granted, but useless */
    assert_true(writer >= 0);
    assert_int_equal(pwrite(writer, "x", 1, 0), -1);
    assert_int_equal(ftruncate(writer, 0), -1);
    assert_ptr_equal(mmap(NULL, 10, PROT_READ | PROT_WRITE, MAP_SHARED, writer, 0), MAP_FAILED);
    assert_int_equal(spill_map(fd, size, &base), 0);
    assert_segments(base, size, &segment, 1);
    munmap(base, size);
    close(writer);
    close(fd);
    assert_false(spill_dir_is_gone(&memory));
    spill_dir_close(&memory);
}

static void test_a_file_with_a_name_is_no_spill(void **state)
{
    (void)state;
    int writer = openat(spills.fd, "named", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_int_equal(write(writer, "0123456789", 10), 10);
    int reader = open_again(writer, O_RDONLY);
    close(writer);
    assert_int_equal(spill_prove(reader, spills.device), -EBADMSG);
    unlinkat(spills.fd, "named", 0);
    assert_int_equal(spill_prove(reader, spills.device), 0);
    close(reader);
}

/* Without O_NONBLOCK, open(2) would wait for the lease's holder, as long as lease-break-time says (proc(5)). */
static void test_no_proof_of_a_file_under_a_lease_and_no_waiting_for_it(void **state)
{
    (void)state;
    int writer = open_file(), reader = open_again(writer, O_RDONLY);
    close(writer);
    void (*handler)(int) = signal(SIGIO, SIG_IGN);
    assert_int_equal(fcntl(reader, F_SETLEASE, F_WRLCK), 0);
    assert_int_equal(spill_prove(reader, spills.device), -ETXTBSY);
    close(reader);
    signal(SIGIO, handler);
}

static void *open_for_writing(void *data)
{
    const int fd = *(const int *)data;
    for (int i = 0; i < 100000; i++)
        close(open_again(fd, O_RDWR | O_NONBLOCK));
    return NULL;
}

/* In a child, which a signal might end. */
static void test_a_proof_is_survived_while_others_open_the_file_for_writing(void **state)
{
    (void)state;
    pid_t child = fork();
    if (child == 0) {
        signal(SIGIO, SIG_DFL);
        int writer = open_file(), reader = open_again(writer, O_RDONLY), proven = 0;
        pthread_t thread;
        close(writer);
        if (pthread_create(&thread, NULL, open_for_writing, &reader))
            _exit(1);
        while (pthread_tryjoin_np(thread, NULL) == EBUSY) {
            int r = spill_prove(reader, spills.device);
            if (r != 0 && r != -ETXTBSY)
                _exit(2);
            proven += r == 0;
        }
        _exit(proven && spill_prove(reader, spills.device) == 0 ? 0 : 3);
    }
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static void test_without_descriptors_nothing_is_left(void **state)
{
    (void)state;
    const struct iovec segment = {"x", 1};
    struct rlimit before;
    getrlimit(RLIMIT_NOFILE, &before);
    for (int kind = SPILL_TMPFILE; kind <= SPILL_MEMFD; kind++) {
        spills.kind = (enum spill_kind)kind;
        for (int spare = 0; spare < 3; spare++) {
            int lowest = fcntl(0, F_DUPFD_CLOEXEC, 0), fd = -1;
            close(lowest);
            struct rlimit low = {(rlim_t)(lowest + spare), before.rlim_max};
            uint64_t size;
            setrlimit(RLIMIT_NOFILE, &low);
            int r = spill_write(&spills, &segment, 1, &fd, &size, NULL);
            setrlimit(RLIMIT_NOFILE, &before);
            assert_int_equal(r, spare >= (kind == SPILL_MEMFD ? 1 : 2) ? 0 : -EMFILE);
            if (r == 0)
                close(fd);
            assert_int_equal(count_entries(directory), 0);
        }
    }
}

/* Must be last: it changes the whole process. */
static void test_a_full_file_system_is_an_error_and_small_spills_go_on(void **state)
{
    (void)state;
    if (!own_mounts() || mount("none", directory, "tmpfs", 0, "size=256k,nr_inodes=16") < 0)
        skip();
    static char bytes[1 << 20];
    struct spill_dir full;
    assert_int_equal(spill_dir_open(directory, &full, NULL), 0);
    assert_true(full.in_memory);
    for (int kind = SPILL_TMPFILE; kind <= SPILL_UNLINKED; kind++) {
        full.kind = (enum spill_kind)kind;
        int fd;
        uint64_t size;
        void *base;
        pinfold_error error;
        const struct iovec large = {bytes, sizeof(bytes)}, small = {bytes, 100000};
        assert_int_equal(spill_write(&full, &large, 1, &fd, &size, &error), -ENOSPC);
        assert_non_null(strstr(error.text, "1048640 bytes"));
        assert_non_null(strstr(error.text, "No space left"));
        assert_int_equal(spill_write(&full, &small, 1, &fd, &size, &error), 0);
        assert_int_equal(spill_prove(fd, full.device), 0);
        assert_int_equal(spill_map(fd, size, &base), 0);
        assert_segments(base, size, &small, 1);
        munmap(base, size);
        close(fd);
    }
    spill_dir_close(&full);

    struct spill_dir other;
    assert_int_equal(mount("none", directory, "none", MS_REMOUNT | MS_RDONLY, ""), 0);
    assert_int_equal(spill_dir_open(directory, &other, NULL), -EROFS);
    assert_int_equal(umount2(directory, MNT_DETACH), 0);
}

int main(void)
{
#define SPILL_TEST(test) cmocka_unit_test_setup_teardown(test, open_spills, close_spills)
    const struct CMUnitTest tests[] = {
        SPILL_TEST(test_every_kind_carries_segments_whole),
        SPILL_TEST(test_a_spill_cannot_be_written_or_shrunk_by_who_gets_it),
        SPILL_TEST(test_no_proof_while_a_writer_is_open),
        SPILL_TEST(test_no_proof_while_a_writable_mapping_lives),
        SPILL_TEST(test_no_proof_while_a_writer_travels_in_a_socket),
        SPILL_TEST(test_the_lease_is_given_back_at_once),
        SPILL_TEST(test_a_memfd_counts_with_all_its_seals_only),
        SPILL_TEST(test_a_memfd_is_taken_from_who_holds_it_and_nothing_else_is),
        SPILL_TEST(test_what_is_no_spill_is_refused),
        SPILL_TEST(test_a_file_that_is_not_of_the_size_it_should_have_is_refused),
        SPILL_TEST(test_a_directory_that_cannot_be_used_says_why),
        SPILL_TEST(test_a_file_size_limit_is_an_error_and_leaves_nothing),
        SPILL_TEST(test_a_mask_that_lets_nobody_read_does_not_keep_a_spill_from_being_read),
        SPILL_TEST(test_a_file_in_memory_with_a_hole_is_no_spill),
        SPILL_TEST(test_a_sealed_spill_needs_no_directory),
        SPILL_TEST(test_a_file_with_a_name_is_no_spill),
        SPILL_TEST(test_no_proof_of_a_file_under_a_lease_and_no_waiting_for_it),
        SPILL_TEST(test_a_proof_is_survived_while_others_open_the_file_for_writing),
        SPILL_TEST(test_without_descriptors_nothing_is_left),
        SPILL_TEST(test_a_full_file_system_is_an_error_and_small_spills_go_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

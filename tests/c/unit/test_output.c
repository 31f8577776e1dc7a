/* SPDX-License-Identifier: Apache-2.0 */
/* What a call prints is kept whole up to its limit. Beyond that: the head, a notice of how much is missing, and
 * the tail, together never more than the limit. */
#include "base/output.h"
#include "check.h"

#include <fcntl.h>
#include <inttypes.h>
#include <locale.h>
#include <stdio.h>
#include <sys/resource.h>

#define MOST 40000

static char printed[MOST];
static char chunk[MOST];

static void fill(uint64_t *seed)
{
    for (size_t i = 0; i < MOST; i++)
        printed[i] = (char)('a' + random_below(seed, 26)); /* no character of the notice, which starts with '\n' */
}

/* Compare with what should have been kept of the first `n` bytes of `text`, which have no newline. A character
 * of at most `widest` bytes may be missing at the cuts. */
static void assert_kept_of(const char *text, size_t widest, const char *taken, size_t size, bool truncated,
                           size_t n, size_t limit)
{
    assert_non_null(taken);
    assert_int_equal(taken[size], 0);
    assert_true(size <= limit);
    assert_int_equal(truncated, n > limit);
    if (n <= limit) {
        assert_int_equal(size, n);
        assert_memory_equal(taken, text, n);
        return;
    }
    const size_t mark = (size_t)snprintf(NULL, 0, "\n[... %zu bytes left out ...]\n", n);
    if (mark > limit) {
        assert_in_range(size, limit < widest ? 0 : limit - (widest - 1), limit);
        assert_memory_equal(taken, text, size);
        return;
    }
    const char *found = memchr(taken, '\n', size);
    assert_non_null(found);
    size_t head = (size_t)(found - taken);
    assert_memory_equal(taken, text, head);
    uint64_t missing;
    int used = 0;
    assert_int_equal(sscanf(found, "\n[... %" SCNu64 " bytes left out ...]%n", &missing, &used), 1);
    assert_int_equal(found[used], '\n');
    size_t tail = size - head - (size_t)used - 1;
    const size_t room = limit - mark;
    assert_in_range(head, room / 2 < widest ? 0 : room / 2 - (widest - 1), room / 2);
    assert_in_range(tail, room - room / 2 < widest ? 0 : room - room / 2 - (widest - 1), room - room / 2);
    assert_memory_equal(taken + size - tail, text + n - tail, tail);
    assert_int_equal(head + missing + tail, n);
}

static void assert_kept(const char *taken, size_t size, bool truncated, size_t n, size_t limit)
{
    assert_kept_of(printed, 1, taken, size, truncated, n, limit);
}

static void test_random_chunks_and_limits_agree_with_the_whole_text(void **state)
{
    (void)state;
    uint64_t seed = 9;
    fill(&seed);
    struct output output = {0};
    for (int round = 0; round < 3000; round++) {
        size_t limit = 1 + random_below(&seed, round % 3 ? 300 : 20000);
        size_t n = random_below(&seed, random_below(&seed, 2) ? MOST : (uint32_t)limit + 200);
        size_t most = 1 + random_below(&seed, random_below(&seed, 2) ? 50 : MOST);
        output_reset(&output, limit);
        for (size_t done = 0; done < n;) {
            size_t step = 1 + random_below(&seed, (uint32_t)most);
            step = step < n - done ? step : n - done;
            memcpy(chunk, printed + done, step);
            output_add(&output, chunk, step);
            done += step;
            assert_true(output.capacity <= (limit < 48 ? 2 * limit : limit));
        }
        assert_int_equal(output.total, n);
        size_t size = 4242;
        bool truncated;
        char *taken = output_take(&output, &size, &truncated);
        assert_kept(taken, size, truncated, n, limit);
        free(taken);
        assert_int_equal(output.total, 0); /* the next call starts afresh */
    }
    output_reset(&output, 1);
    free(output.bytes);
}

static void test_the_exact_limit_is_not_truncated_and_one_more_byte_is(void **state)
{
    (void)state;
    uint64_t seed = 10;
    fill(&seed);
    static const size_t limits[] = {1, 2, 3, 27, 28, 29, 47, 48, 49, 64, 100, 129, 131, 4096, 4097, 8192};
    for (size_t i = 0; i < COUNT_OF(limits); i++) {
        for (size_t more = 0; more < 3; more++) {
            struct output output = {0};
            size_t size;
            bool truncated;
            output_reset(&output, limits[i]);
            output_add(&output, printed, limits[i] + more);
            char *taken = output_take(&output, &size, &truncated);
            assert_kept(taken, size, truncated, limits[i] + more, limits[i]);
            free(taken);
        }
    }
}

/* No cut splits a character, however wide the characters are and wherever the limit falls. */
static void test_characters_of_utf8_are_kept_whole(void **state)
{
    (void)state;
    static const char *const characters[] = {"\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x90\x91",
                                             "a\xf0\x9f\x90\x91\xc3\xa9"};
    for (size_t c = 0; c < COUNT_OF(characters); c++) {
        const size_t width = strlen(characters[c]), n = MOST - MOST % width;
        for (size_t i = 0; i < n; i++)
            printed[i] = characters[c][i % width];
        for (size_t limit = 1; limit < 200; limit++) {
            for (size_t less = 0; less < 2; less++) {
                struct output output = {0};
                size_t size;
                bool truncated;
                output_reset(&output, limit);
                for (size_t done = 0, step; done < n - less * width; done += step) {
                    step = n - less * width - done < 1000 ? n - less * width - done : 1000;
                    output_add(&output, printed + done, step);
                }
                char *taken = output_take(&output, &size, &truncated);
                assert_kept_of(printed, 4, taken, size, truncated, n - less * width, limit);
                assert_true(mbstowcs(NULL, taken, 0) != (size_t)-1);
                free(taken);
            }
        }
    }
}

/* Bytes that are not UTF-8 belong to no character. */
static void test_bytes_that_are_no_characters_are_kept(void **state)
{
    (void)state;
    for (int byte = 0x80; byte < 0x100; byte++) {
        memset(printed, byte, MOST);
        struct output output = {0};
        size_t size;
        bool truncated;
        output_reset(&output, 1000);
        output_add(&output, printed, MOST);
        char *taken = output_take(&output, &size, &truncated);
        assert_kept_of(printed, 4, taken, size, truncated, MOST, 1000);
        free(taken);
    }
}

static void test_nothing_printed_is_an_empty_text(void **state)
{
    (void)state;
    struct output output = {0};
    output_reset(&output, 0); /* as a limit of 1 */
    size_t size = 4242;
    bool truncated = true;
    char *taken = output_take(&output, &size, &truncated);
    assert_string_equal(taken, "");
    assert_int_equal(size, 0);
    assert_false(truncated);
    free(taken);
}

static void test_a_pipe_is_read_as_far_as_it_goes(void **state)
{
    (void)state;
    int ends[2];
    assert_int_equal(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
    struct output output = {0};
    output_reset(&output, MOST);
    assert_int_equal(output_read(&output, ends[0], 1000), -EAGAIN);
    assert_int_equal(write(ends[1], printed, 30000), 30000);
    assert_int_equal(output_read(&output, ends[0], 1000), 1); /* it may read more than asked for, but stops */
    assert_int_equal(output_read(&output, ends[0], 1 << 20), -EAGAIN);
    assert_int_equal(output.total, 30000);
    close(ends[1]);
    assert_int_equal(output_read(&output, ends[0], 1 << 20), 0);
    close(ends[0]);
    assert_int_equal(output_read(&output, ends[0], 1 << 20), -EBADF);
    output_reset(&output, 1);
}

/* Without memory, the result contains only bytes that were printed, and nothing else that lay in memory. */
static void test_without_memory_less_is_kept_and_nothing_else(void **state)
{
    (void)state;
#ifdef __SANITIZE_ADDRESS__
    skip(); /* ASan reserves more than the limit below */
#endif
    static char much[64 << 20];
    memset(much, 'b', sizeof(much));
    struct output output = {0};
    output_reset(&output, 2 * sizeof(much));
    output_add(&output, "aaaaaaaa", 8);
    struct rlimit before, none;
    getrlimit(RLIMIT_AS, &before);
    none = (struct rlimit){0, before.rlim_max};
    setrlimit(RLIMIT_AS, &none);
    output_add(&output, much, sizeof(much));
    setrlimit(RLIMIT_AS, &before);
    size_t size = 0;
    bool truncated = false;
    char *taken = output_take(&output, &size, &truncated);
    assert_true(truncated && size > 1000 && size < 10000);
    for (size_t i = 0; i < size && taken[i] != '\n'; i++)
        assert_int_equal(taken[i], i < 8 ? 'a' : 'b');
    assert_int_equal(taken[size - 1], 'b');
    free(taken);
}

int main(void)
{
    setlocale(LC_CTYPE, "C.UTF-8");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_chunks_and_limits_agree_with_the_whole_text),
        cmocka_unit_test(test_the_exact_limit_is_not_truncated_and_one_more_byte_is),
        cmocka_unit_test(test_characters_of_utf8_are_kept_whole),
        cmocka_unit_test(test_bytes_that_are_no_characters_are_kept),
        cmocka_unit_test(test_nothing_printed_is_an_empty_text),
        cmocka_unit_test(test_a_pipe_is_read_as_far_as_it_goes),
        cmocka_unit_test(test_without_memory_less_is_kept_and_nothing_else),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

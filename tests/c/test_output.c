/* What a call prints is kept whole up to its limit; beyond it, the head, a line that says how much is missing, and
 * the tail, never more than the limit together. */
#include "check.h"
#include "output.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/resource.h>

#define MOST 40000

static char printed[MOST];
static char chunk[MOST];

static void fill(uint64_t *seed)
{
    for (size_t i = 0; i < MOST; i++)
        printed[i] = (char)('a' + random_below(seed, 26)); /* no character of the mark, which starts with '\n' */
}

/* Compares with what should have been kept of the first `n` bytes of `printed`. */
static void assert_kept(const char *taken, size_t size, bool truncated, size_t n, size_t limit)
{
    assert_non_null(taken);
    assert_int_equal(taken[size], 0);
    assert_true(size <= limit);
    assert_int_equal(truncated, n > limit);
    if (n <= limit) {
        assert_int_equal(size, n);
        assert_memory_equal(taken, printed, n);
        return;
    }
    size_t head = limit / 2;
    assert_memory_equal(taken, printed, head);
    if (limit - head <= 64) { /* no room for a mark, and none for a tail */
        assert_int_equal(size, head);
        return;
    }
    uint64_t missing;
    int used = 0;
    assert_int_equal(sscanf(taken + head, "\n[... %" SCNu64 " bytes left out ...]%n", &missing, &used), 1);
    assert_int_equal(taken[head + (size_t)used], '\n');
    size_t tail = size - head - (size_t)used - 1;
    assert_int_equal(tail, limit - head - 64);
    assert_memory_equal(taken + size - tail, printed + n - tail, tail);
    assert_int_equal(head + missing + tail, n);
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
            assert_true(output.capacity <= limit);
        }
        assert_int_equal(output.total, n);
        size_t size = 4242;
        bool truncated;
        char *taken = output_take(&output, &size, &truncated);
        assert_kept(taken, size, truncated, n, limit);
        free(taken);
        assert_int_equal(output.total, 0); /* and the next call starts anew */
    }
    output_reset(&output, 1);
    free(output.bytes);
}

static void test_the_exact_limit_is_not_truncated_and_one_more_byte_is(void **state)
{
    (void)state;
    uint64_t seed = 10;
    fill(&seed);
    static const size_t limits[] = {1, 2, 3, 64, 127, 128, 129, 130, 131, 4096, 4097, 8192};
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
    assert_int_equal(output_read(&output, ends[0], 1000), 1); /* it may take more than asked, but stops */
    assert_int_equal(output_read(&output, ends[0], 1 << 20), -EAGAIN);
    assert_int_equal(output.total, 30000);
    close(ends[1]);
    assert_int_equal(output_read(&output, ends[0], 1 << 20), 0);
    close(ends[0]);
    assert_int_equal(output_read(&output, ends[0], 1 << 20), -EBADF);
    output_reset(&output, 1);
}

/* What is told of a text for which there was no memory is what was printed, and nothing that lay in memory. */
static void test_without_memory_less_is_kept_and_nothing_else(void **state)
{
    (void)state;
#ifdef __SANITIZE_ADDRESS__
    skip(); /* it reserves more than the limit below */
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
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_chunks_and_limits_agree_with_the_whole_text),
        cmocka_unit_test(test_the_exact_limit_is_not_truncated_and_one_more_byte_is),
        cmocka_unit_test(test_nothing_printed_is_an_empty_text),
        cmocka_unit_test(test_a_pipe_is_read_as_far_as_it_goes),
        cmocka_unit_test(test_without_memory_less_is_kept_and_nothing_else),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* A payload is read as it was written, and no damage to it makes the reader leave its bytes. */
#include "check.h"
#include "wire/payload.h"

#define ROUNDS 400

/* Return up to `most` random segments, of sizes around the alignment. The caller frees each and the array. */
static struct iovec *random_segments(uint64_t *seed, uint32_t most, uint32_t *ret_n)
{
    uint32_t n = 1 + random_below(seed, most);
    struct iovec *segments = calloc(n, sizeof(*segments));
    for (uint32_t i = 0; i < n; i++) {
        static const uint32_t sizes[] = {0, 1, 63, 64, 65, 127, 128, 1000};
        uint32_t size =
            random_below(seed, 3) ? sizes[random_below(seed, COUNT_OF(sizes))] : random_below(seed, 5000);
        uint8_t *bytes = malloc(size ? size : 1);
        for (uint32_t k = 0; k < size; k++)
            bytes[k] = (uint8_t)random_next(seed);
        segments[i] = (struct iovec){bytes, size};
    }
    *ret_n = n;
    return segments;
}

static void free_segments(struct iovec *segments, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        free(segments[i].iov_base);
    free(segments);
}

/* Return the payload in memory that ends with it, so that a sanitizer sees a read beyond it. */
static uint8_t *lay_out(const struct iovec *segments, uint32_t n, uint64_t *ret_size)
{
    assert_int_equal(payload_size(segments, n, ret_size), 0);
    uint8_t *bytes = malloc(*ret_size);
    memset(bytes, 0xAA, *ret_size);
    payload_copy(bytes, segments, n);
    return bytes;
}

static void assert_segments(const struct iovec *got, uint32_t n_got, const struct iovec *wanted, uint32_t n,
                            const uint8_t *base, uint64_t size)
{
    assert_int_equal(n_got, n);
    for (uint32_t i = 0; i < n; i++) {
        assert_int_equal(got[i].iov_len, wanted[i].iov_len);
        assert_int_equal(((uint8_t *)got[i].iov_base - base) % PINFOLD_PAYLOAD_ALIGN, 0);
        assert_in_range((uint64_t)((uint8_t *)got[i].iov_base - base) + got[i].iov_len, 0, size);
        if (wanted[i].iov_len)
            assert_memory_equal(got[i].iov_base, wanted[i].iov_base, wanted[i].iov_len);
    }
}

static void test_random_segments_come_out_as_they_went_in(void **state)
{
    (void)state;
    uint64_t seed = 1;
    for (int round = 0; round < ROUNDS; round++) {
        uint32_t n, n_got;
        uint64_t size;
        struct iovec *segments = random_segments(&seed, round % 8 ? 6 : 300, &n), *got;
        uint8_t *bytes = lay_out(segments, n, &size);
        assert_int_equal(payload_parse(bytes, size, &got, &n_got), 0);
        assert_segments(got, n_got, segments, n, bytes, size);
        free(got);
        free(bytes);
        free_segments(segments, n);
    }
}

static void test_the_layout_is_that_of_the_design(void **state)
{
    (void)state;
    const struct iovec segments[] = {{"abc", 3}, {"", 0}, {"defg", 4}};
    uint64_t size;
    uint8_t *bytes = lay_out(segments, 3, &size);
    uint8_t wanted[64 + 64 + 4] = {
        'P', 'F', 'P', 'L', 3, 0, 0, 0, 3, [24] = 4, [64] = 'a', 'b', 'c', [128] = 'd', 'e', 'f', 'g'};
    assert_int_equal(size, sizeof(wanted));
    assert_memory_equal(bytes, wanted, sizeof(wanted));
    free(bytes);
}

static void test_every_truncation_is_refused(void **state)
{
    (void)state;
    uint64_t seed = 2;
    for (int round = 0; round < 20; round++) {
        uint32_t n, n_got = 77;
        uint64_t size;
        struct iovec *segments = random_segments(&seed, 4, &n), *got = segments;
        uint8_t *bytes = lay_out(segments, n, &size);
        for (uint64_t cut = 0; cut < size; cut++) {
            uint8_t *part = malloc(cut ? cut : 1);
            memcpy(part, bytes, cut);
            assert_int_equal(payload_parse(part, cut, &got, &n_got), -EBADMSG);
            free(part);
        }
        assert_ptr_equal(got, segments); /* untouched on failure */
        assert_int_equal(n_got, 77);
        uint8_t *longer = calloc(1, size + 1);
        memcpy(longer, bytes, size);
        assert_int_equal(payload_parse(longer, size + 1, &got, &n_got), -EBADMSG);
        free(longer);
        free(bytes);
        free_segments(segments, n);
    }
}

/* Each byte of the table set to each value: refused, or the segments still lie inside and end at the end. */
static void test_damage_to_the_table_is_refused_or_harmless(void **state)
{
    (void)state;
    uint64_t seed = 3;
    for (int round = 0; round < 10; round++) {
        uint32_t n;
        uint64_t size;
        struct iovec *segments = random_segments(&seed, 20, &n);
        uint8_t *bytes = lay_out(segments, n, &size);
        uint64_t table = payload_table_size(n) < 256 ? payload_table_size(n) : 256;
        for (uint64_t at = 0; at < table && at < size; at++) {
            uint8_t right = bytes[at];
            for (unsigned value = 0; value < 256; value++) {
                struct iovec *got;
                uint32_t n_got;
                bytes[at] = (uint8_t)value;
                int r = payload_parse(bytes, size, &got, &n_got);
                if (r < 0) {
                    assert_int_equal(r, -EBADMSG);
                    assert_int_not_equal(value, right);
                    continue;
                }
                for (uint32_t i = 0; i < n_got; i++) {
                    uint8_t *begin = got[i].iov_base;
                    assert_true(begin >= bytes && got[i].iov_len <= size &&
                                begin + got[i].iov_len <= bytes + size);
                }
                free(got);
            }
            bytes[at] = right;
        }
        free(bytes);
        free_segments(segments, n);
    }
}

static void test_bytes_in_the_gaps_are_refused(void **state)
{
    (void)state;
    const struct iovec segments[] = {{"abc", 3}, {"defg", 4}};
    uint64_t size;
    uint8_t *bytes = lay_out(segments, 2, &size);
    struct iovec *got;
    uint32_t n;
    for (uint64_t at = 0; at < size; at++) {
        bool gap = (at >= 24 && at < 64) || (at >= 67 && at < 128);
        if (!gap)
            continue;
        bytes[at] = 1;
        assert_int_equal(payload_parse(bytes, size, &got, &n), -EBADMSG);
        bytes[at] = 0;
    }
    free(bytes);
}

static void test_lengths_that_overflow_are_refused(void **state)
{
    (void)state;
    static const uint64_t lengths[] = {
        UINT64_MAX, UINT64_MAX - 63, UINT64_MAX - 64, UINT64_MAX - 127, INT64_MAX, UINT64_C(1) << 63, 1,
        65,         UINT64_MAX - 191};
    const struct iovec segments[] = {{"abc", 3}, {"defg", 4}};
    uint64_t size;
    uint8_t *bytes = lay_out(segments, 2, &size);
    for (size_t i = 0; i < COUNT_OF(lengths); i++) {
        struct iovec *got;
        uint32_t n;
        memcpy(bytes + 8, &lengths[i], 8);
        assert_int_equal(payload_parse(bytes, size, &got, &n), -EBADMSG);
    }
    /* A length that wraps around 2^64: the second segment would end where the payload does. */
    const uint64_t around[] = {-(uint64_t)64, size};
    struct iovec *got;
    uint32_t n;
    memcpy(bytes + 8, around, sizeof(around));
    assert_int_equal(payload_parse(bytes, size, &got, &n), -EBADMSG);
    free(bytes);
}

static void test_a_number_of_segments_out_of_range_is_refused(void **state)
{
    (void)state;
    uint64_t size = 4242;
    const struct iovec one = {"", 0};
    assert_int_equal(payload_size(&one, 0, &size), -EINVAL);
    assert_int_equal(payload_size(&one, PINFOLD_PAYLOAD_SEGMENTS_MAX + 1, &size), -EINVAL);
    const struct iovec large[] = {{NULL, (size_t)1 << 62}, {NULL, SIZE_MAX}};
    assert_int_equal(payload_size(large, 1, &size), -EOVERFLOW);
    assert_int_equal(payload_size(large + 1, 1, &size), -EOVERFLOW);
    assert_int_equal(size, 4242);

    uint8_t *bytes = lay_out(&one, 1, &size);
    static const uint32_t counts[] = {
        0, 8, 9, PINFOLD_PAYLOAD_SEGMENTS_MAX, PINFOLD_PAYLOAD_SEGMENTS_MAX + 1, UINT32_MAX};
    for (size_t i = 0; i < COUNT_OF(counts); i++) {
        struct iovec *got;
        uint32_t n;
        memcpy(bytes + 4, &counts[i], 4);
        assert_int_equal(payload_parse(bytes, size, &got, &n), -EBADMSG);
    }
    free(bytes);
}

static void test_as_many_segments_as_allowed_fit(void **state)
{
    (void)state;
    const uint32_t n = PINFOLD_PAYLOAD_SEGMENTS_MAX;
    struct iovec *segments = calloc(n, sizeof(*segments)), *got;
    uint32_t n_got;
    uint64_t size;
    uint8_t *bytes = lay_out(segments, n, &size);
    assert_int_equal(payload_parse(bytes, size, &got, &n_got), 0);
    assert_int_equal(n_got, n);
    free(got);
    free(bytes);
    free(segments);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_segments_come_out_as_they_went_in),
        cmocka_unit_test(test_the_layout_is_that_of_the_design),
        cmocka_unit_test(test_every_truncation_is_refused),
        cmocka_unit_test(test_damage_to_the_table_is_refused_or_harmless),
        cmocka_unit_test(test_bytes_in_the_gaps_are_refused),
        cmocka_unit_test(test_lengths_that_overflow_are_refused),
        cmocka_unit_test(test_a_number_of_segments_out_of_range_is_refused),
        cmocka_unit_test(test_as_many_segments_as_allowed_fit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

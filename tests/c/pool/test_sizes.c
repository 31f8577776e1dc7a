/* SPDX-License-Identifier: Apache-2.0 */
/* A program that was compiled with an older header passes smaller structs. The library reads and writes no byte
 * beyond the size that such a struct says it has. */
#include "base/sized.h"
#include "rig.h"

#include <assert.h>
#include <sys/mman.h>

/* A copy of the first `size` bytes, which say that they are so many, right before a page that nobody may touch. */
static void *cut(const void *whole, size_t size)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    char *base = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(base != MAP_FAILED);
    assert_int_equal(mprotect(base + page, page, PROT_NONE), 0);
    /* As aligned as a caller's, so up to 7 bytes lie between its end and the page: they must not be 0. */
    char *copy = base + page - ((size + 7) & ~(size_t)7);
    memset(copy, 0xAA, (size_t)(base + page - copy));
    memcpy(copy, whole, size);
    memcpy(copy, &size, sizeof(size));
    return copy;
}

static void uncut(void *copy)
{
    const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    munmap((void *)((uintptr_t)copy & ~(page - 1)), 2 * page);
}

#define AT(type, field) offsetof(type, field)

static const size_t configs[] = {AT(pinfold_config, cgroup), sizeof(pinfold_config)};
static const size_t small_configs[] = {
    0,
    AT(pinfold_config, argv),
    AT(pinfold_config, envp),
    AT(pinfold_config, guard),
    AT(pinfold_config, spill_dir),
    AT(pinfold_config, isolation),
    AT(pinfold_config, max_workers),
    AT(pinfold_config, max_queue),
    AT(pinfold_config, max_calls_per_worker),
    AT(pinfold_config, idle_timeout_ns),
    AT(pinfold_config, open_timeout_ns),
    AT(pinfold_config, output_bytes),
    AT(pinfold_config, flags),
    AT(pinfold_config, namespaces),
};

static const size_t calls[] = {
    AT(pinfold_call, memory_bytes), AT(pinfold_call, cpu_ns),  AT(pinfold_call, processes),
    AT(pinfold_call, file_bytes),   AT(pinfold_call, wall_ns), sizeof(pinfold_call),
};
static const size_t small_calls[] = {
    0,
    AT(pinfold_call, segments),
    AT(pinfold_call, n_segments),
    AT(pinfold_call, deadline_ns),
    AT(pinfold_call, queue),
    AT(pinfold_call, tag),
    AT(pinfold_call, output_bytes),
    AT(pinfold_call, result_bytes),
};

static const size_t all_stats[] = {
    AT(pinfold_stats, template_start_ns),
    AT(pinfold_stats, spill_kind),
    sizeof(pinfold_stats),
};
static const size_t small_stats[] = {
    0,
    AT(pinfold_stats, submitted),
    AT(pinfold_stats, outcomes),
    AT(pinfold_stats, workers_started),
    AT(pinfold_stats, templates_started),
    AT(pinfold_stats, queued),
    AT(pinfold_stats, running),
    AT(pinfold_stats, idle),
    AT(pinfold_stats, starting),
    AT(pinfold_stats, ending),
    AT(pinfold_stats, template_pid),
    AT(pinfold_stats, spill_in_memory),
    AT(pinfold_stats, generation),
};

static const size_t memories[] = {sizeof(pinfold_memory)};
static const size_t small_memories[] = {0, AT(pinfold_memory, pss_kb), AT(pinfold_memory, private_kb),
                                        AT(pinfold_memory, private_most_kb), AT(pinfold_memory, workers)};

/* The arrays above have the offset of every field. A new field needs its line there. */
static_assert(sizeof(pinfold_config) == 96 && sizeof(pinfold_call) == 120 && sizeof(pinfold_stats) == 216 &&
                  sizeof(pinfold_memory) == 40,
              "a struct has grown: add its new boundary");

static void test_reading_keeps_what_is_there_and_zeroes_the_rest(void **state)
{
    (void)state;
    const size_t from[3] = {2 * sizeof(size_t), 7, 8};
    size_t to[3];
    memset(to, 0xAA, sizeof(to));
    sized_read(to, sizeof(to), from);
    assert_int_equal(to[0], 2 * sizeof(size_t));
    assert_int_equal(to[1], 7);
    assert_int_equal(to[2], 0);
}

static void test_writing_stops_at_the_size_which_stays(void **state)
{
    (void)state;
    const size_t from[3] = {0, 7, 8};
    size_t to[3] = {2 * sizeof(size_t), 1, 1};
    sized_write(to, from);
    assert_int_equal(to[0], 2 * sizeof(size_t));
    assert_int_equal(to[1], 7);
    assert_int_equal(to[2], 1);
}

static int open_of_size(const pinfold_config *whole, size_t size, pinfold_error *error)
{
    pinfold_config *config = cut(whole, size < sizeof(size) ? sizeof(size) : size);
    config->size = size;
    int r = pinfold_pool_open(config, &pool, error);
    uncut(config);
    return r;
}

static void test_a_config_of_every_size_since_the_first_opens_a_pool(void **state)
{
    (void)state;
    const pinfold_config config = rig_config(NULL);
    for (size_t i = 0; i < COUNT_OF(configs); i++) {
        assert_int_equal(open_of_size(&config, configs[i], NULL), 0);
        runs("upper", "x", PINFOLD_OK);
        pinfold_pool_close(pool);
        pool = NULL;
    }
}

static void test_a_config_that_is_too_small_or_too_large_is_refused(void **state)
{
    (void)state;
    const struct {
        pinfold_config config;
        uint64_t next;
    } larger = {.config = rig_config(NULL)};
    pinfold_error error;
    for (size_t i = 0; i < COUNT_OF(small_configs); i++) {
        assert_int_equal(open_of_size(&larger.config, small_configs[i], &error), -EINVAL);
        assert_non_null(strstr(error.text, "config.size"));
    }
    assert_int_equal(open_of_size(&larger.config, sizeof(larger), &error), -EINVAL);
    assert_non_null(strstr(error.text, "config.size"));
}

static int submit_of_size(const pinfold_call *whole, size_t size, uint64_t *ret_id, pinfold_error *error)
{
    pinfold_call *call = cut(whole, size < sizeof(size) ? sizeof(size) : size);
    call->size = size;
    int r = pinfold_pool_submit(pool, call, ret_id, error);
    uncut(call);
    return r;
}

static void test_a_call_of_every_size_since_the_first_runs_and_no_other(void **state)
{
    (void)state;
    rig_open_plain(PINFOLD_REUSE, 1);
    const struct iovec segments[] = {{"upper", 5}, {"x", 1}};
    const struct {
        pinfold_call call;
        uint64_t next;
    } larger = {.call = {.segments = segments, .n_segments = 2, .deadline_ns = BOUND}};
    pinfold_error error;
    uint64_t id;
    for (size_t i = 0; i < COUNT_OF(calls); i++) {
        assert_int_equal(submit_of_size(&larger.call, calls[i], &id, &error), 0);
        ends(id, PINFOLD_OK);
    }
    for (size_t i = 0; i < COUNT_OF(small_calls); i++) {
        assert_int_equal(submit_of_size(&larger.call, small_calls[i], &id, &error), -EINVAL);
        assert_non_null(strstr(error.text, "call.size"));
    }
    assert_int_equal(submit_of_size(&larger.call, sizeof(larger), &id, &error), -EINVAL);
    assert_int_equal(stats().submitted, COUNT_OF(calls));
}

static void test_stats_are_filled_up_to_the_callers_size(void **state)
{
    (void)state;
    rig_open_plain(PINFOLD_REUSE, 1);
    runs("upper", "x", PINFOLD_OK);
    const pinfold_stats now = stats();
    char blank[sizeof(pinfold_stats) + sizeof(uint64_t)];
    memset(blank, 0x55, sizeof(blank));
    for (size_t i = 0; i < COUNT_OF(all_stats); i++) {
        const size_t size = all_stats[i];
        pinfold_stats *some = cut(blank, size);
        assert_int_equal(pinfold_pool_stats(pool, some), 0);
        assert_int_equal(some->size, size);
        assert_memory_equal((char *)some + sizeof(size), (const char *)&now + sizeof(size), size - sizeof(size));
        uncut(some);
    }
    for (size_t i = 0; i < COUNT_OF(small_stats); i++) {
        pinfold_stats some = {.size = small_stats[i]};
        assert_int_equal(pinfold_pool_stats(pool, &some), -EINVAL);
        assert_int_equal(some.submitted, 0);
    }
    pinfold_stats *more = cut(blank, sizeof(blank));
    assert_int_equal(pinfold_pool_stats(pool, more), -EINVAL);
    uncut(more);
}

static void test_memory_is_filled_up_to_the_callers_size(void **state)
{
    (void)state;
    rig_open_plain(PINFOLD_REUSE, 1);
    runs("upper", "x", PINFOLD_OK);
    char blank[sizeof(pinfold_memory) + sizeof(uint64_t)];
    memset(blank, 0x55, sizeof(blank));
    for (size_t i = 0; i < COUNT_OF(memories); i++) {
        pinfold_memory *some = cut(blank, memories[i]);
        assert_int_equal(pinfold_pool_memory(pool, some), 0);
        assert_int_equal(some->size, memories[i]);
        assert_int_equal(some->workers, 1);
        uncut(some);
    }
    for (size_t i = 0; i < COUNT_OF(small_memories); i++) {
        pinfold_memory some = {.size = small_memories[i]};
        assert_int_equal(pinfold_pool_memory(pool, &some), -EINVAL);
    }
    pinfold_memory *more = cut(blank, sizeof(blank));
    assert_int_equal(pinfold_pool_memory(pool, more), -EINVAL);
    uncut(more);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reading_keeps_what_is_there_and_zeroes_the_rest),
        cmocka_unit_test(test_writing_stops_at_the_size_which_stays),
        POOL_TEST(test_a_config_of_every_size_since_the_first_opens_a_pool),
        POOL_TEST(test_a_config_that_is_too_small_or_too_large_is_refused),
        POOL_TEST(test_a_call_of_every_size_since_the_first_runs_and_no_other),
        POOL_TEST(test_stats_are_filled_up_to_the_callers_size),
        POOL_TEST(test_memory_is_filled_up_to_the_callers_size),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

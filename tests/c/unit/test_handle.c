/* SPDX-License-Identifier: Apache-2.0 */
/* Handles find their objects, and nothing after they were dropped. */
#include "base/handle.h"
#include "check.h"

#define MOST 2000
#define STALE 20000

static void test_random_use_agrees_with_a_list(void **state)
{
    (void)state;
    uint64_t seed = 7;
    static int objects[MOST];
    static uint64_t live[MOST], stale[STALE];
    struct handle_table table = {0};
    uint32_t n = 0, n_stale = 0;
    for (int step = 0; step < 100000; step++) {
        uint32_t i = random_below(&seed, MOST);
        if (!live[i]) {
            assert_int_equal(handle_new(&table, &objects[i], &live[i]), 0);
            assert_true(live[i] > 0 && live[i] >> HANDLE_BITS == 0);
            n++;
        } else if (random_below(&seed, 2)) {
            stale[n_stale++ % STALE] = live[i];
            handle_drop(&table, live[i]);
            handle_drop(&table, live[i]); /* a second time changes nothing */
            live[i] = 0;
            n--;
        }
        assert_int_equal(table.n, n);
        i = random_below(&seed, MOST);
        assert_ptr_equal(handle_get(&table, live[i]), live[i] ? &objects[i] : NULL);
        if (n_stale)
            assert_null(handle_get(&table, stale[random_below(&seed, n_stale < STALE ? n_stale : STALE)]));
    }
    assert_true(n_stale > STALE / 2);

    static bool seen[MOST];
    uint32_t at = 0, found = 0;
    for (int *object; (object = handle_each(&table, &at)); found++) {
        assert_true(live[object - objects] && !seen[object - objects]);
        seen[object - objects] = true;
    }
    assert_int_equal(found, n);
    handle_table_free(&table);
    assert_int_equal(table.n, 0);
}

static void test_a_slot_that_is_used_again_has_another_handle(void **state)
{
    (void)state;
    int object;
    struct handle_table table = {0};
    uint64_t last = 0;
    for (int i = 0; i < 1000; i++) {
        uint64_t handle;
        assert_int_equal(handle_new(&table, &object, &handle), 0);
        assert_true(handle > last);
        assert_null(handle_get(&table, last));
        assert_ptr_equal(handle_get(&table, handle), &object);
        handle_drop(&table, handle);
        last = handle;
    }
    assert_int_equal(table.used, 1);
    handle_table_free(&table);
}

static void test_numbers_that_were_never_given_out_find_nothing(void **state)
{
    (void)state;
    int object;
    struct handle_table table = {0};
    uint64_t handle;
    assert_null(handle_get(&table, 0));
    assert_int_equal(handle_new(&table, &object, &handle), 0);
    for (int bit = 0; bit < 64; bit++) {
        assert_null(handle_get(&table, handle ^ UINT64_C(1) << bit));
        handle_drop(&table, handle ^ UINT64_C(1) << bit);
    }
    assert_null(handle_get(&table, 0));
    assert_null(handle_get(&table, UINT64_MAX));
    assert_ptr_equal(handle_get(&table, handle), &object);
    handle_table_free(&table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_use_agrees_with_a_list),
        cmocka_unit_test(test_a_slot_that_is_used_again_has_another_handle),
        cmocka_unit_test(test_numbers_that_were_never_given_out_find_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

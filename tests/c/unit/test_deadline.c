/* SPDX-License-Identifier: Apache-2.0 */
/* The heap of deadlines agrees with a plain list, whatever is set, moved and dropped. */
#include "base/deadline.h"
#include "check.h"

#define MOST 300

static void assert_like_the_model(const struct deadline_heap *heap, const struct deadline *all)
{
    uint32_t n = 0;
    int64_t earliest = INT64_MAX;
    for (size_t i = 0; i < MOST; i++) {
        if (!all[i].slot)
            continue;
        n++;
        earliest = all[i].due < earliest ? all[i].due : earliest;
        assert_ptr_equal(heap->items[all[i].slot - 1], &all[i]);
    }
    assert_int_equal(heap->n, n);
    struct deadline *first = deadline_first(heap);
    assert_int_equal(first != NULL, n > 0);
    if (first)
        assert_int_equal(first->due, earliest);
}

static void test_random_operations_agree_with_a_list(void **state)
{
    (void)state;
    uint64_t seed = 5;
    struct deadline all[MOST] = {0};
    bool set[MOST] = {false};
    int64_t due[MOST] = {0};
    struct deadline_heap heap = {0};
    assert_int_equal(deadline_reserve(&heap, MOST), 0);
    for (int step = 0; step < 60000; step++) {
        /* The heap alternately grows and shrinks, so that it is full and empty at times. */
        uint32_t i = random_below(&seed, MOST), choice = random_below(&seed, 10);
        bool growing = step / 3000 % 2 == 0;
        if (choice < (growing ? 8 : 2)) {
            due[i] = (int64_t)random_below(&seed, 1000) - 500; /* few values: many ties */
            deadline_set(&heap, &all[i], due[i]);
            set[i] = true;
        } else if (choice < 9) {
            deadline_drop(&heap, &all[i]);
            set[i] = false;
        } else if (deadline_first(&heap)) {
            struct deadline *first = deadline_first(&heap);
            set[first - all] = false;
            deadline_drop(&heap, first);
        }
        assert_int_equal(all[i].slot != 0, set[i]);
        assert_int_equal(all[i].due, due[i]);
        if (step % 16 == 0)
            assert_like_the_model(&heap, all);
    }
    deadline_heap_free(&heap);
}

static void test_deadlines_come_out_in_order(void **state)
{
    (void)state;
    uint64_t seed = 6;
    struct deadline all[MOST] = {0};
    struct deadline_heap heap = {0};
    assert_int_equal(deadline_reserve(&heap, MOST), 0);
    for (size_t i = 0; i < MOST; i++)
        deadline_set(&heap, &all[i], (int64_t)random_next(&seed));
    int64_t last = INT64_MIN;
    for (size_t i = 0; i < MOST; i++) {
        struct deadline *first = deadline_first(&heap);
        assert_true(first->due >= last);
        last = first->due;
        deadline_drop(&heap, first);
        assert_int_equal(first->slot, 0);
    }
    assert_null(deadline_first(&heap));
    deadline_heap_free(&heap);
}

static void test_room_that_was_reserved_stays_when_more_is(void **state)
{
    (void)state;
    struct deadline all[MOST] = {0};
    struct deadline_heap heap = {0};
    for (uint32_t i = 0; i < MOST; i++) {
        assert_int_equal(deadline_reserve(&heap, i + 1), 0);
        assert_true(heap.capacity > i);
        deadline_set(&heap, &all[i], 1000 - (int64_t)i);
        assert_ptr_equal(deadline_first(&heap), &all[i]);
    }
    assert_int_equal(deadline_reserve(&heap, 1), 0);
    assert_int_equal(heap.n, MOST);
    deadline_heap_free(&heap);
}

static void test_dropping_what_is_not_set_changes_nothing(void **state)
{
    (void)state;
    struct deadline in = {0}, out = {0};
    struct deadline_heap heap = {0};
    deadline_drop(&heap, &out);
    assert_int_equal(deadline_reserve(&heap, 1), 0);
    deadline_set(&heap, &in, INT64_MAX);
    deadline_drop(&heap, &out);
    assert_ptr_equal(deadline_first(&heap), &in);
    deadline_heap_free(&heap);
    assert_null(deadline_first(&heap));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_operations_agree_with_a_list),
        cmocka_unit_test(test_deadlines_come_out_in_order),
        cmocka_unit_test(test_room_that_was_reserved_stays_when_more_is),
        cmocka_unit_test(test_dropping_what_is_not_set_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

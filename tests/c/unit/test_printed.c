/* SPDX-License-Identifier: Apache-2.0 */
/* The printed buffer's contents are added once to what came through the pipes. Whatever else a worker writes
 * there, the pool reads within the bounds. */
#include "check.h"
#include "wire/printed.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/util.h"

struct world {
    int fd;
    struct pinfold_printed *printed;
    struct output outputs[PINFOLD_PRINTED_STREAMS];
};

static void open_world(struct world *world, size_t limit)
{
    *world = (struct world){.fd = -1};
    assert_int_equal(printed_make(&world->fd), 0);
    assert_int_equal(printed_map(world->fd, &world->printed), 0);
    for (int i = 0; i < PINFOLD_PRINTED_STREAMS; i++)
        output_reset(&world->outputs[i], limit);
}

static void close_world(struct world *world)
{
    for (int i = 0; i < PINFOLD_PRINTED_STREAMS; i++)
        output_reset(&world->outputs[i], 1);
    munmap(world->printed, sizeof(*world->printed));
    close(world->fd);
}

static void wait_in(struct world *world, int stream, const char *text, uint32_t begin)
{
    struct pinfold_printed_stream *now = &world->printed->streams[stream];
    memcpy(world->printed->bytes[stream] + begin, text, strlen(text));
    now->begin = begin;
    now->end = begin + (uint32_t)strlen(text);
}

static void assert_output(struct world *world, int stream, const char *wanted)
{
    size_t size;
    bool truncated;
    _cleanup_free_ char *output = output_take(&world->outputs[stream], &size, &truncated);
    assert_string_equal(output, wanted);
    assert_int_equal(size, strlen(wanted));
    assert_false(truncated);
}

static void test_what_waits_comes_behind_what_came(void **state)
{
    (void)state;
    struct world world;
    open_world(&world, 1000);
    output_add(&world.outputs[PINFOLD_PRINTED_OUT], "came,", 5);
    wait_in(&world, PINFOLD_PRINTED_OUT, "waits,", 100);
    wait_in(&world, PINFOLD_PRINTED_ERR, "error", PINFOLD_PRINTED_BYTES - 5);
    strcpy(world.printed->c, "of C");
    world.printed->c_size = 4;
    printed_take(world.fd, world.outputs);
    assert_output(&world, PINFOLD_PRINTED_OUT, "came,waits,of C");
    assert_output(&world, PINFOLD_PRINTED_ERR, "error");
    close_world(&world);
}

static void test_a_piece_that_went_through_the_pipe_is_not_told_again(void **state)
{
    (void)state;
    for (int limit = 1; limit < 3000; limit += 7) {
        struct world world;
        open_world(&world, 4000);
        /* The piece being written when the worker died, and what followed it. */
        wait_in(&world, PINFOLD_PRINTED_OUT, "piece\nrest\n", 8);
        world.printed->streams[PINFOLD_PRINTED_OUT].writing = 6;
        for (int i = 0; i < limit; i++)
            output_add(&world.outputs[PINFOLD_PRINTED_OUT], ".", 1);
        output_add(&world.outputs[PINFOLD_PRINTED_OUT], "piece\n", limit % 2 ? 6 : 0);
        printed_take(world.fd, world.outputs);
        char wanted[4001];
        memset(wanted, '.', (size_t)limit);
        strcpy(wanted + limit, "piece\nrest\n");
        assert_output(&world, PINFOLD_PRINTED_OUT, wanted);
        close_world(&world);
    }
}

/* The end is looked for in a ring, as far as that reaches. */
static void test_the_end_of_an_output_that_was_cut_is_known(void **state)
{
    (void)state;
    for (size_t limit = 1; limit < 40; limit++) {
        struct output output = {0};
        output_reset(&output, limit);
        char all[200];
        for (size_t i = 0; i < sizeof(all); i++) {
            all[i] = (char)('a' + i % 26);
            output_add(&output, &all[i], 1);
            for (size_t n = 1; n <= i + 1 && n <= 25; n++) {
                assert_true(output_ends_with(&output, &all[i + 1 - n], n));
                char other[25];
                memcpy(other, &all[i + 1 - n], n);
                other[n - 1] ^= 1;
                assert_false(output_ends_with(&output, other, n));
            }
            assert_false(output_ends_with(&output, all, i + 2));
        }
        output_reset(&output, 1);
    }
}

static void test_nonsense_adds_no_more_than_there_is(void **state)
{
    (void)state;
    static const uint32_t numbers[] = {
        0, 1, 4096, PINFOLD_PRINTED_BYTES, PINFOLD_PRINTED_BYTES + 1, PINFOLD_PRINTED_C_BYTES + 1, UINT32_MAX};
    for (size_t i = 0; i < COUNT_OF(numbers); i++)
        for (size_t j = 0; j < COUNT_OF(numbers); j++)
            for (size_t k = 0; k < COUNT_OF(numbers); k++) {
                struct world world;
                open_world(&world, 1 << 20);
                for (int stream = 0; stream < PINFOLD_PRINTED_STREAMS; stream++) {
                    world.printed->streams[stream].begin = numbers[i];
                    world.printed->streams[stream].end = numbers[j];
                    world.printed->streams[stream].writing = numbers[k];
                }
                world.printed->c_size = numbers[k];
                printed_take(world.fd, world.outputs);
                assert_in_range(world.outputs[PINFOLD_PRINTED_OUT].total, 0,
                                PINFOLD_PRINTED_BYTES + PINFOLD_PRINTED_C_BYTES);
                assert_in_range(world.outputs[PINFOLD_PRINTED_ERR].total, 0, PINFOLD_PRINTED_BYTES);
                close_world(&world);
            }
}

static void test_a_worker_cannot_make_it_smaller(void **state)
{
    (void)state;
    struct world world;
    open_world(&world, 1);
    assert_int_equal(ftruncate(world.fd, 0), -1);
    assert_int_equal(ftruncate(world.fd, 1 << 20), -1);
    assert_int_equal(fcntl(world.fd, F_ADD_SEALS, F_SEAL_WRITE), -1);
    close_world(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_waits_comes_behind_what_came),
        cmocka_unit_test(test_a_piece_that_went_through_the_pipe_is_not_told_again),
        cmocka_unit_test(test_the_end_of_an_output_that_was_cut_is_known),
        cmocka_unit_test(test_nonsense_adds_no_more_than_there_is),
        cmocka_unit_test(test_a_worker_cannot_make_it_smaller),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The next generation of a template: it takes over or is dropped, and no call notices. */
#include "rig.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>

static int try_renew(const char *argument, pinfold_error *error)
{
    const char *const argv[] = {RUNTIME, argument, NULL};
    return pinfold_pool_renew(pool, argv, error);
}

static void renew(const char *argument)
{
    pinfold_error error;
    if (try_renew(argument, &error) < 0)
        fail_msg("%s", error.text);
}

/* Wait for the end of the renewal. */
static int renewed(pinfold_error *error)
{
    int r;
    for (int64_t end = now_ns() + BOUND; (r = pinfold_pool_renewal(pool, error)) == -EINPROGRESS;) {
        if (now_ns() > end)
            fail_msg("the renewal has not ended");
        poll(NULL, 0, 1);
    }
    return r;
}

static void renew_well(const char *argument)
{
    pinfold_error error;
    renew(argument);
    if (renewed(&error) < 0)
        fail_msg("%s", error.text);
}

static void dropped(const char *word)
{
    pinfold_error error;
    assert_int_equal(renewed(&error), -EIO);
    assert_int_equal(error.code, -EIO);
    if (!strstr(error.text, word))
        fail_msg("no %s in: %s", word, error.text);
}

/* Check the argument of the command that started the template. */
static void assert_template_of(pid_t pid, const char *argument)
{
    char path[32], command[4096];
    snprintf(path, sizeof(path), "/proc/%d/cmdline", pid);
    _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t size = read(fd, command, sizeof(command) - 1);
    assert_true(size > 0);
    command[size] = '\0';
    assert_string_equal(strlen(command) + 1 < (size_t)size ? command + strlen(command) + 1 : "", argument);
}

static uint64_t submit_to_gate(const char *path)
{
    uint64_t id = submit("gate", path, PINFOLD_FOREVER);
    wait_for_start(id);
    return id;
}

static void test_the_next_template_takes_over_and_the_old_one_ends(void **state)
{
    (void)state;
    for (uint32_t isolation = PINFOLD_FRESH; isolation <= PINFOLD_SPAWN; isolation++) {
        rig_open_plain(isolation, 2);
        runs("upper", "x", PINFOLD_OK);
        assert_int_equal(stats().generation, 1);
        pid_t old = stats().template_pid;
        int pidfd = open_process(old);
        renew_well("next");
        wait_for_end(pidfd);
        pinfold_stats now = stats();
        assert_int_equal(now.generation, 2);
        assert_int_equal(now.templates_started, 2);
        assert_int_not_equal(now.template_pid, old);
        assert_template_of(now.template_pid, "next");
        for (int i = 0; i < 5; i++)
            runs("upper", "x", PINFOLD_OK);
        pinfold_pool_close(pool);
        pool = NULL;
    }
}

static void test_a_call_of_the_old_template_finishes_before_it_ends(void **state)
{
    (void)state;
    for (uint32_t isolation = PINFOLD_FRESH; isolation <= PINFOLD_SPAWN; isolation++) {
        rig_open_plain(isolation, 2);
        char *path = make_fifo("gate");
        uint64_t id = submit_to_gate(path);
        pid_t old = stats().template_pid;
        int pidfd = open_process(old);
        renew_well("next");
        for (int i = 0; i < 5; i++) /* beside it, from the next template */
            runs("upper", "x", PINFOLD_OK);
        assert_true(exists(old));
        open_gate(path);
        ends(id, PINFOLD_OK);
        wait_for_end(pidfd);
        pinfold_pool_close(pool);
        pool = NULL;
    }
}

static void test_a_worker_of_the_old_template_is_not_used_again(void **state)
{
    (void)state;
    rig_open_plain(PINFOLD_REUSE, 1);
    runs("count", "", PINFOLD_OK);
    char *path = make_fifo("gate");
    uint64_t id = submit_to_gate(path);
    renew_well("next");
    open_gate(path);
    ends(id, PINFOLD_OK);
    pinfold_result *result = take(submit("count", "", BOUND));
    assert_value(result, "1");
    pinfold_result_free(result);
    pinfold_event event;
    do
        event = next_event(PINFOLD_EVENT_WORKER_EXIT);
    while (strcmp(event.reason, "recycled: the next template serves") != 0);
}

static void test_idle_workers_of_the_old_template_are_let_go(void **state)
{
    (void)state;
    rig_open_plain(PINFOLD_REUSE, 2);
    runs("count", "", PINFOLD_OK);
    renew_well("next");
    pinfold_event event = next_event(PINFOLD_EVENT_WORKER_EXIT);
    assert_string_equal(event.reason, "recycled: the next template serves");
    pinfold_result *result = take(submit("count", "", BOUND));
    assert_value(result, "1");
    pinfold_result_free(result);
}

static void test_what_a_call_of_the_old_template_leaves_is_swept_before_its_end_is_told(void **state)
{
    (void)state;
    for (int round = 0; round < 5; round++) {
        rig_open_plain(PINFOLD_FRESH, 2);
        uint64_t id;
        pid_t daemon = submit_with_daemon(&id);
        int old = open_process(stats().template_pid);
        renew_well("next");
        assert_int_equal(kill(wait_for_start(id), SIGKILL), 0);
        ends(id, PINFOLD_SIGNALLED);
        assert_false(exists(daemon));
        wait_for_end(old);
        runs("upper", "x", PINFOLD_OK);
        pinfold_pool_close(pool);
        pool = NULL;
    }
}

static void test_a_next_template_that_cannot_start_is_dropped(void **state)
{
    (void)state;
    rig_open_plain(PINFOLD_FRESH, 1);
    char *path = make_fifo("gate");
    uint64_t id = submit_to_gate(path), waiting = submit("upper", "x", PINFOLD_FOREVER);
    pid_t template = stats().template_pid;
    static const char *const modes[][2] = {
        {"fails", "the last line of its log"},
        {"fails", "no module of that name"},
        {"exits", "ended before it was ready"},
        {"exits", "cannot go on"},
    };
    for (size_t i = 0; i < COUNT_OF(modes); i++) {
        renew(modes[i][0]);
        dropped(modes[i][1]);
        assert_int_equal(stats().queued, 1);
        assert_int_equal(pinfold_pool_wait_ready(pool, 0, NULL), 0);
    }
    const char *const nowhere[] = {"/nowhere/python", NULL};
    assert_int_equal(pinfold_pool_renew(pool, nowhere, NULL), 0);
    dropped("/nowhere/python");
    open_gate(path);
    ends(id, PINFOLD_OK);
    ends(waiting, PINFOLD_OK);
    assert_int_equal(stats().template_pid, template);
    assert_int_equal(stats().generation, 1);
    renew_well("next"); /* a failure does not prevent the next one */
    assert_int_equal(stats().generation, 2);
}

static void test_a_next_template_that_hangs_is_dropped(void **state)
{
    (void)state;
    pinfold_config config = rig_config(NULL);
    config.open_timeout_ns = 2 * SECOND;
    rig_open(&config);
    assert_int_equal(pinfold_pool_wait_ready(pool, BOUND, NULL), 0);
    renew("hangs");
    assert_int_equal(try_renew("next", NULL), -EALREADY);
    dropped("not ready within 2 s");
    runs("upper", "x", PINFOLD_OK);
    assert_int_equal(stats().generation, 1);
}

static void test_the_template_that_serves_may_die_meanwhile(void **state)
{
    (void)state;
    rig_open_plain(PINFOLD_FRESH, 2);
    char *path = make_fifo("gate");
    renew(path);
    ends(submit("kill_template", "", BOUND), PINFOLD_LOST);
    runs("upper", "x", PINFOLD_OK); /* by a template like it */
    assert_template_of(stats().template_pid, "");
    int replacement = open_process(stats().template_pid);
    char *argument = strdup(path);
    open_gate(path);
    assert_int_equal(renewed(NULL), 0);
    wait_for_end(replacement);
    runs("upper", "x", PINFOLD_OK);
    assert_template_of(stats().template_pid, argument);
    free(argument);
}

static void test_the_next_template_takes_over_from_none(void **state)
{
    (void)state;
    pinfold_config config = rig_config("fails");
    rig_open(&config);
    assert_int_equal(pinfold_pool_wait_ready(pool, BOUND, NULL), -EIO);
    renew_well("next");
    assert_int_equal(pinfold_pool_wait_ready(pool, BOUND, NULL), 0);
    runs("upper", "x", PINFOLD_OK);
}

static void test_the_old_template_may_die_with_its_calls(void **state)
{
    (void)state;
    rig_open_plain(PINFOLD_FRESH, 2);
    char *path = make_fifo("gate");
    uint64_t id = submit_to_gate(path);
    pid_t old = stats().template_pid;
    renew_well("next");
    assert_int_equal(kill(old, SIGKILL), 0);
    ends(id, PINFOLD_LOST);
    for (int i = 0; i < 5; i++)
        runs("upper", "x", PINFOLD_OK);
    assert_int_equal(stats().templates_started, 2); /* it is not replaced */
    assert_int_equal(stats().generation, 2);
    unlink(path);
    free(path);
}

static void test_what_took_over_is_replaced_by_its_own_command(void **state)
{
    (void)state;
    rig_open_plain(PINFOLD_FRESH, 2);
    renew_well("next");
    ends(submit("kill_template", "", BOUND), PINFOLD_LOST);
    runs("upper", "x", PINFOLD_OK);
    assert_template_of(stats().template_pid, "next");
    assert_int_equal(stats().generation, 2);
}

static void test_generations_follow_each_other(void **state)
{
    (void)state;
    rig_open_plain(PINFOLD_REUSE, 2);
    for (uint32_t generation = 2; generation < 12; generation++) {
        uint64_t ids[4];
        for (size_t i = 0; i < COUNT_OF(ids); i++)
            ids[i] = submit("upper", "x", BOUND);
        renew_well("next");
        for (size_t i = 0; i < COUNT_OF(ids); i++)
            ends(ids[i], PINFOLD_OK);
        assert_int_equal(stats().generation, generation);
    }
}

static void test_a_shutdown_ends_the_old_and_the_next(void **state)
{
    (void)state;
    rig_open_plain(PINFOLD_FRESH, 2);
    char *gate = make_fifo("gate"), *slow = make_fifo("slow");
    uint64_t id = submit_to_gate(gate);
    renew_well("next");
    renew(slow);
    assert_int_equal(pinfold_pool_shutdown(pool), 0);
    ends(id, PINFOLD_CANCELLED);
    pinfold_error error;
    assert_int_equal(pinfold_pool_renewal(pool, &error), -ESHUTDOWN);
    assert_int_equal(try_renew("next", &error), -ESHUTDOWN);
    unlink(gate);
    unlink(slow);
    free(gate);
    free(slow);
}

static void test_a_wrong_command_is_refused(void **state)
{
    (void)state;
    rig_open_plain(PINFOLD_FRESH, 1);
    const char *const none[] = {NULL}, *const relative[] = {"true", NULL};
    pinfold_error error;
    assert_int_equal(pinfold_pool_renewal(pool, &error), 0); /* none was begun */
    assert_int_equal(pinfold_pool_renew(pool, NULL, &error), -EINVAL);
    assert_int_equal(pinfold_pool_renew(pool, none, &error), -EINVAL);
    assert_int_equal(pinfold_pool_renew(pool, relative, &error), -EINVAL);
    assert_non_null(strstr(error.text, "argv"));
    assert_int_equal(stats().templates_started, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        POOL_TEST(test_the_next_template_takes_over_and_the_old_one_ends),
        POOL_TEST(test_a_call_of_the_old_template_finishes_before_it_ends),
        POOL_TEST(test_a_worker_of_the_old_template_is_not_used_again),
        POOL_TEST(test_idle_workers_of_the_old_template_are_let_go),
        POOL_TEST(test_what_a_call_of_the_old_template_leaves_is_swept_before_its_end_is_told),
        POOL_TEST(test_a_next_template_that_cannot_start_is_dropped),
        POOL_TEST(test_a_next_template_that_hangs_is_dropped),
        POOL_TEST(test_the_template_that_serves_may_die_meanwhile),
        POOL_TEST(test_the_next_template_takes_over_from_none),
        POOL_TEST(test_the_old_template_may_die_with_its_calls),
        POOL_TEST(test_what_took_over_is_replaced_by_its_own_command),
        POOL_TEST(test_generations_follow_each_other),
        POOL_TEST(test_a_shutdown_ends_the_old_and_the_next),
        POOL_TEST(test_a_wrong_command_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

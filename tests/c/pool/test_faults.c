/* SPDX-License-Identifier: Apache-2.0 */
/* What failures cost and leave behind: dying templates, guards, workers and callers, and templates that never
 * serve. */
#include "rig.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "pool/pool.h"

/* Reap the orphans that this process inherited when guard and template died at once. */
static void reap_orphans(void)
{
    while (waitpid(-1, NULL, 0) > 0)
        ;
}

/* Wait until the pool has seen the death of the templates before this one. */
static void wait_for_template(uint64_t number)
{
    while (stats().templates_started < number)
        sched_yield();
}

/* ---- deaths while calls run
 * ------------------------------------------------------------------------------------- */

enum victim { THE_TEMPLATE, THE_GUARD, THE_TWO };

static void kill_victim(enum victim victim)
{
    pid_t template = stats().template_pid, guard = parent_of(template);
    if (victim == THE_TWO) { /* so that neither sees the other die */
        stop_process(template);
        stop_process(guard);
    }
    if (victim != THE_GUARD)
        kill(template, SIGKILL);
    if (victim != THE_TEMPLATE)
        kill(guard, SIGKILL);
}

static void the_death_of(enum victim victim, uint32_t isolation)
{
    rig_open_plain(isolation, 2);
    uint64_t running[2], queued[5];
    int daemon, worker;
    running[0] = submit("spin", "", PINFOLD_FOREVER);
    worker = open_process(wait_for_start(running[0]));
    daemon = open_process(submit_with_daemon(&running[1]));
    for (size_t i = 0; i < COUNT_OF(queued); i++)
        queued[i] = submit("upper", "x", BOUND);
    kill_victim(victim);
    for (size_t i = 0; i < COUNT_OF(running); i++) {
        pinfold_result *result = take(running[i]);
        assert_outcome(result, PINFOLD_LOST);
        assert_true(result->flags & PINFOLD_HAS_METRICS);
        pinfold_result_free(result);
    }
    for (size_t i = 0; i < COUNT_OF(queued); i++)
        ends(queued[i], PINFOLD_OK);
    wait_for_end(worker);
    wait_for_end(daemon);
    assert_int_equal(stats().templates_started, 2);
    pinfold_pool_close(pool);
    pool = NULL;
}

static void test_calls_that_run_when_the_template_dies_are_lost_and_others_run_on(void **state)
{
    (void)state;
    for (uint32_t isolation = PINFOLD_FRESH; isolation <= PINFOLD_SPAWN; isolation++)
        the_death_of(THE_TEMPLATE, isolation);
}

static void test_calls_that_run_when_the_guard_dies_are_lost_and_others_run_on(void **state)
{
    (void)state;
    for (uint32_t isolation = PINFOLD_FRESH; isolation <= PINFOLD_SPAWN; isolation++)
        the_death_of(THE_GUARD, isolation);
}

static void test_guard_and_template_die_at_once_and_nothing_is_left(void **state)
{
    (void)state;
    for (uint32_t isolation = PINFOLD_FRESH; isolation <= PINFOLD_SPAWN; isolation++)
        the_death_of(THE_TWO, isolation);
}

static void test_a_pool_that_closes_waits_for_what_guard_and_template_left(void **state)
{
    (void)state;
    rig_open_plain(PINFOLD_FRESH, 1);
    uint64_t id;
    pid_t daemon = submit_with_daemon(&id);
    kill_victim(THE_TWO);
    pinfold_pool_close(pool);
    pool = NULL;
    assert_false(exists(daemon));
}

static void test_what_the_guard_kills_is_lost_and_nothing_else(void **state)
{
    (void)state;
    for (uint32_t isolation = PINFOLD_FRESH; isolation <= PINFOLD_SPAWN; isolation++) {
        rig_open_plain(isolation, 3);
        uint64_t ids[3];
        int pidfds[COUNT_OF(ids)];
        for (size_t i = 0; i < COUNT_OF(ids); i++) {
            ids[i] = submit("block", "", BOUND);
            pidfds[i] = open_process(wait_for_start(ids[i]));
        }
        /* The guard is cut off, and the pool learns of it when all is over. */
        pthread_mutex_lock(&pool->lock);
        int template = open_process(pool->serving->pid);
        shutdown(pool->serving->lifeline, SHUT_RDWR);
        for (size_t i = 0; i < COUNT_OF(ids); i++)
            wait_for_end(pidfds[i]);
        wait_for_end(template);
        pthread_mutex_unlock(&pool->lock);
        for (size_t i = 0; i < COUNT_OF(ids); i++)
            ends(ids[i], PINFOLD_LOST);
        pinfold_pool_close(pool);
        pool = NULL;
    }
}

/* The zombie is its guard's child until that is gone, and then ours, since we are a subreaper: the teardown
 * counts it. */
static void test_a_template_that_dies_before_its_guard_is_reaped(void **state)
{
    (void)state;
    rig_open_plain(PINFOLD_REUSE, 1);
    runs("upper", "x", PINFOLD_OK);
    pid_t template = stats().template_pid, guard = parent_of(template);
    stop_process(guard);
    kill(template, SIGKILL);
    for (bool seen = false; !seen; sched_yield()) {
        pthread_mutex_lock(&pool->lock);
        seen = TAILQ_FIRST(&pool->template_list)->pidfd < 0;
        pthread_mutex_unlock(&pool->lock);
    }
    kill(guard, SIGKILL);
    runs("upper", "x", PINFOLD_OK);
}

static void test_an_idle_worker_that_dies_is_replaced(void **state)
{
    (void)state;
    rig_open_plain(PINFOLD_REUSE, 1);
    for (int i = 0; i < 10; i++) {
        pinfold_result *result = take(submit("pid", "", BOUND));
        assert_outcome(result, PINFOLD_OK);
        kill(result->metrics.worker_pid, SIGKILL);
        pinfold_result_free(result);
        pinfold_event event = next_event(PINFOLD_EVENT_WORKER_EXIT);
        assert_true(strncmp(event.reason, "died", 4) == 0);
    }
    assert_int_equal(stats().outcomes[PINFOLD_OK], 10);
}

/* Open a pool with one worker and without events of starting calls. */
static void open_unwatched(uint32_t isolation, uint32_t flags)
{
    pinfold_config config = rig_config(NULL);
    config.isolation = isolation;
    config.max_workers = 1;
    config.flags = (config.flags & ~PINFOLD_EVENTS) | flags;
    rig_open(&config);
}

/* Return the pid of the only worker once it is idle. */
static pid_t idle_worker(void)
{
    while (stats().idle == 0)
        sched_yield();
    char path[64];
    pid_t template = stats().template_pid, pid = 0;
    snprintf(path, sizeof(path), "/proc/%d/task/%d/children", template, template);
    FILE *list = fopen(path, "re");
    for (pid_t next; list && fscanf(list, "%d", &next) == 1;)
        pid = next;
    if (list)
        fclose(list);
    return pid;
}

/* Hand the call to the idle worker, which is stopped and so does not begin it. Return that worker's pid. */
static pid_t hand_to_a_stopped_worker(const pinfold_call *call, uint64_t *ret_id)
{
    runs("upper", "x", PINFOLD_OK);
    pid_t worker = idle_worker();
    stop_process(worker);
    pinfold_error error;
    if (pinfold_pool_submit(pool, call, ret_id, &error) < 0)
        fail_msg("%s", error.text);
    while (stats().running == 0)
        sched_yield();
    return worker;
}

static uint64_t submit_to_a_killed_worker(const pinfold_call *call)
{
    uint64_t id;
    kill(hand_to_a_stopped_worker(call, &id), SIGKILL);
    return id;
}

static void test_a_worker_that_is_killed_before_it_has_begun_a_call_costs_it_nothing(void **state)
{
    (void)state;
    static char large[1 << 20]; /* more than fits a frame */
    const struct iovec small_one[] = {{"upper", 5}, {"x", 1}}, large_one[] = {{"echo", 4}, {large, sizeof(large)}};
    pinfold_call call = {.size = sizeof(call), .n_segments = 2, .deadline_ns = BOUND, .memory_bytes = 1 << 30};
    for (uint32_t isolation = PINFOLD_FRESH; isolation <= PINFOLD_SPAWN; isolation++) {
        open_unwatched(isolation, 0);
        call.segments = small_one;
        ends(submit_to_a_killed_worker(&call), PINFOLD_OK);
        call.segments = large_one;
        pinfold_result *result = take(submit_to_a_killed_worker(&call));
        assert_outcome(result, PINFOLD_OK);
        assert_int_equal(result->segments[0].iov_len, sizeof(large));
        assert_memory_equal(result->segments[0].iov_base, large, sizeof(large));
        pinfold_result_free(result);
        pinfold_pool_close(pool);
        pool = NULL;
    }
}

/* What an earlier program left in its box may have written to the spill that lies in the worker's socket. */
static void test_a_spill_that_a_program_in_a_box_could_reach_goes_to_no_other_worker(void **state)
{
    (void)state;
    static char large[1 << 20];
    const struct iovec segments[] = {{"echo", 4}, {large, sizeof(large)}};
    const pinfold_call call = {.size = sizeof(call), .segments = segments, .n_segments = 2, .deadline_ns = BOUND};
    open_unwatched(PINFOLD_REUSE, PINFOLD_DISTRUST);
    pinfold_result *result = take(submit_to_a_killed_worker(&call));
    assert_outcome(result, PINFOLD_LOST);
    assert_string_equal(result->reason, "the worker ended before it had begun the call (died: signal 9)");
    pinfold_result_free(result);
}

static void test_a_template_that_dies_costs_the_calls_nothing_that_are_not_begun(void **state)
{
    (void)state;
    const struct iovec segments[] = {{"upper", 5}, {"x", 1}};
    const pinfold_call call = {.size = sizeof(call), .segments = segments, .n_segments = 2, .deadline_ns = BOUND};
    for (uint32_t isolation = PINFOLD_FRESH; isolation <= PINFOLD_SPAWN; isolation++) {
        open_unwatched(isolation, 0);
        uint64_t id;
        hand_to_a_stopped_worker(&call, &id);
        kill(stats().template_pid, SIGKILL);
        ends(id, PINFOLD_OK);
        assert_int_equal(stats().templates_started, 2);
        pinfold_pool_close(pool);
        pool = NULL;
    }
}

static void test_a_start_that_was_told_is_one(void **state)
{
    (void)state;
    const struct iovec segments[] = {{"upper", 5}, {"x", 1}};
    const pinfold_call call = {.size = sizeof(call), .segments = segments, .n_segments = 2, .deadline_ns = BOUND};
    rig_open_plain(PINFOLD_REUSE, 1);
    uint64_t id;
    pid_t worker = hand_to_a_stopped_worker(&call, &id);
    assert_int_equal(wait_for_hand(id), worker);
    kill(worker, SIGKILL);
    ends(id, PINFOLD_SIGNALLED);
}

/* The pool sees its peer's end before or after the worker's pid is known. */
static void test_a_worker_whose_channel_is_cut_as_it_starts_is_replaced(void **state)
{
    (void)state;
    for (int i = 0; i < 20; i++) {
        rig_open_plain(PINFOLD_REUSE, 1);
        uint64_t id = submit("upper", "x", BOUND);
        for (bool cut = false; !cut; sched_yield()) {
            pthread_mutex_lock(&pool->lock);
            struct template *template = pool->serving;
            struct worker *worker = template ? TAILQ_FIRST(&template->workers) : NULL;
            cut = worker && (worker->state != WORKER_STARTING || shutdown(worker->peer, SHUT_RDWR) == 0);
            pthread_mutex_unlock(&pool->lock);
        }
        ends(id, PINFOLD_OK);
        pinfold_pool_close(pool);
        pool = NULL;
    }
}

static void test_a_template_that_dies_with_nothing_to_do_is_replaced(void **state)
{
    (void)state;
    rig_open_plain(PINFOLD_REUSE, 1);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(pinfold_pool_wait_ready(pool, BOUND, NULL), 0);
        runs("upper", "x", PINFOLD_OK);
        kill_victim((enum victim)(i % 2));
        wait_for_template((uint64_t)i + 2);
    }
    runs("upper", "x", PINFOLD_OK);
}

/* Kill anything at any time: each call has one outcome, right for what it is, and every call not hit is OK. */
static void test_random_kills_leave_every_call_with_one_right_outcome(void **state)
{
    (void)state;
    uint64_t seed = 12;
    for (uint32_t isolation = PINFOLD_FRESH; isolation <= PINFOLD_SPAWN; isolation++) {
        rig_open_plain(isolation, 4);
        uint64_t ids[400];
        for (size_t i = 0; i < COUNT_OF(ids); i++) {
            static const char *const functions[] = {"upper", "big", "exit", "crash", "sleep", "leave_and"};
            static const char *const arguments[] = {"x", "100000", "3", "11", "1", "return"};
            size_t kind = random_below(&seed, COUNT_OF(functions));
            ids[i] = submit(functions[kind], arguments[kind], BOUND);
            pid_t template = stats().template_pid;
            if (i % 50 == 25 && template > 0) {
                pid_t guard = random_below(&seed, 2) ? parent_of(template) : 0;
                kill(guard > 1 && guard != getpid() ? guard : template, SIGKILL);
            }
            if (i % 10 == 9)
                for (size_t k = i - 9; k < i - 4; k++)
                    if (ids[k] && random_below(&seed, 2)) {
                        pinfold_result_free(take(ids[k]));
                        ids[k] = 0;
                    }
        }
        for (size_t i = 0; i < COUNT_OF(ids); i++) {
            if (!ids[i])
                continue;
            pinfold_result *result = take(ids[i]), *again;
            uint32_t outcome = result->outcome;
            assert_true(outcome == PINFOLD_OK || outcome == PINFOLD_EXITED || outcome == PINFOLD_SIGNALLED ||
                        outcome == PINFOLD_LOST);
            assert_int_equal(pinfold_pool_wait(pool, ids[i], 0, &again), -ENOENT);
            pinfold_result_free(result);
        }
        pinfold_stats now = stats();
        uint64_t sum = 0;
        for (size_t i = 0; i < COUNT_OF(now.outcomes); i++)
            sum += now.outcomes[i];
        assert_int_equal(sum, COUNT_OF(ids));
        assert_true(now.templates_started > 1);
        pinfold_pool_close(pool);
        pool = NULL;
    }
}

/* ---- templates that hang ------------------------------------------------------------------------------------ */

static void test_the_evidence_of_a_death_is_waited_for(void **state)
{
    (void)state;
    rig_open_plain(PINFOLD_REUSE, 1);
    runs("upper", "x", PINFOLD_OK);
    pid_t template = stats().template_pid;
    stop_process(template);
    uint64_t id = submit("crash", "11", BOUND);
    /* Its channel is closed at once, but only the template can report how it died. */
    pinfold_result *result = NULL;
    assert_int_equal(pinfold_pool_wait(pool, id, 3 * SECOND / 2, &result), -ETIMEDOUT);
    kill(template, SIGCONT);
    result = take(id);
    assert_outcome(result, PINFOLD_SIGNALLED);
    assert_int_equal(result->signal, SIGSEGV);
    pinfold_result_free(result);
}

static void test_a_death_that_takes_long_is_told_as_what_it_is(void **state)
{
    (void)state;
    rig_open_plain(PINFOLD_REUSE, 1);
    pinfold_result *result = take(submit("die_slowly", "", BOUND));
    assert_outcome(result, PINFOLD_SIGNALLED);
    assert_int_equal(result->signal, SIGABRT);
    pinfold_result_free(result);
}

/* Makes the time pass, at once, in which a template has to report a worker's start or death. */
static void let_the_template_s_time_pass(void)
{
    const int64_t until = now_ns() + BOUND;
    for (bool passed = false; !passed; sched_yield()) {
        if (now_ns() > until)
            fail_msg("the pool awaits no report");
        pthread_mutex_lock(&pool->lock);
        struct worker *worker;
        TAILQ_FOREACH (worker, &pool->serving->workers, link)
            if (worker->timer.slot && worker->timer.due > now_ns() + WORKER_CLOSED_NS) {
                reactor_set(pool, &worker->timer, now_ns());
                passed = true;
            }
        pthread_mutex_unlock(&pool->lock);
    }
}

static void test_a_template_that_hangs_is_replaced(void **state)
{
    (void)state;
    rig_open_plain(PINFOLD_REUSE, 1);
    runs("upper", "x", PINFOLD_OK);
    int template = open_process(stats().template_pid);
    stop_process(stats().template_pid);
    uint64_t running = submit("spin", "", PINFOLD_FOREVER);
    wait_for_start(running);
    cancel(running); /* its worker's death is never reported */
    let_the_template_s_time_pass();
    runs("upper", "x", PINFOLD_OK);
    wait_for_end(template);
    assert_int_equal(stats().templates_started, 2);
}

static void test_a_template_that_makes_no_worker_is_replaced(void **state)
{
    (void)state;
    rig_open_plain(PINFOLD_REUSE, 1);
    assert_int_equal(pinfold_pool_wait_ready(pool, BOUND, NULL), 0);
    pinfold_stats now;
    do
        now = stats();
    while (now.template_pid == 0);
    stop_process(now.template_pid);
    uint64_t id = submit("upper", "x", BOUND);
    let_the_template_s_time_pass();
    ends(id, PINFOLD_OK);
    assert_int_equal(stats().templates_started, 2);
}

/* ---- templates that do not serve ---------------------------------------------------------------------------- */

static void opens_in_vain(const pinfold_config *config, const char *const *words)
{
    rig_open(config);
    uint64_t id = submit("upper", "x", BOUND); /* waits for a template that never serves */
    pinfold_error error;
    assert_int_equal(pinfold_pool_wait_ready(pool, BOUND, &error), -EIO);
    pinfold_result *result = take(id);
    assert_outcome(result, PINFOLD_INTERNAL);
    assert_int_equal(result->flags & PINFOLD_HAS_METRICS, 0);
    for (; *words; words++)
        if (!strstr(error.text, *words) || !strstr(result->reason, *words))
            fail_msg("no \"%s\" in: %s", *words, error.text);
    pinfold_result_free(result);
    /* It is not retried by itself, but for a call: the first call may have come before or after the end. */
    uint64_t started = stats().templates_started;
    assert_in_range(started, 1, 2);
    runs("upper", "x", PINFOLD_INTERNAL);
    assert_int_equal(stats().templates_started, started + 1);
    pinfold_pool_close(pool);
    pool = NULL;
}

static void test_a_template_that_says_why_it_failed_is_quoted(void **state)
{
    (void)state;
    pinfold_config config = rig_config("fails");
    opens_in_vain(&config, (const char *const[]){"no module of that name", "the last line of its log", NULL});
}

static void test_a_log_that_is_long_does_not_drive_out_the_reason(void **state)
{
    (void)state;
    pinfold_config config = rig_config("chatters");
    opens_in_vain(&config, (const char *const[]){"no module of that name", "the last line of its log", NULL});
}

static void test_a_template_that_ends_at_once_is_quoted(void **state)
{
    (void)state;
    pinfold_config config = rig_config("exits");
    opens_in_vain(&config, (const char *const[]){"ended before it was ready", "cannot go on", NULL});
}

static void test_a_template_that_never_gets_ready_is_given_up(void **state)
{
    (void)state;
    pinfold_config config = rig_config("hangs");
    config.open_timeout_ns = SECOND / 5;
    opens_in_vain(&config, (const char *const[]){"not ready within 0.2 s", NULL});
}

static void test_a_command_that_cannot_be_executed_is_named(void **state)
{
    (void)state;
    char path[300];
    snprintf(path, sizeof(path), "%s.command", spill_dir);
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0700);
    static const char text[] = "#!/nowhere/python\n";
    assert_int_equal(write(fd, text, sizeof(text) - 1), sizeof(text) - 1);
    close(fd);
    pinfold_config config = rig_config(NULL);
    config.argv = (const char *const[]){path, NULL};
    opens_in_vain(&config, (const char *const[]){path, "No such file", NULL});
    fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);
    assert_int_equal(write(fd,
                           "\x7F"
                           "ELF?",
                           5),
                     5);
    close(fd);
    opens_in_vain(&config, (const char *const[]){path, "Exec format error", NULL});
    unlink(path);
}

static void test_a_guard_that_is_none_fails_the_start(void **state)
{
    (void)state;
    pinfold_config config = rig_config(NULL);
    config.guard = "/bin/true";
    opens_in_vain(&config, (const char *const[]){"ended before it was ready", NULL});
}

/* Workers that may be asked for per rest of the template, and at first. On a slow machine there are more rests,
 * but no more workers from one to the next. */
#define A_REST_S_WORTH 4
#define AT_FIRST 24

static void makes_no_worker(const char *mode, const char *word)
{
    pinfold_config config = rig_config(mode);
    config.flags &= ~PINFOLD_EVENTS;
    rig_open(&config);
    const int64_t began = now_ns();
    for (int i = 0; i < 4; i++) {
        pinfold_result *result = take(submit("upper", "x", BOUND));
        assert_outcome(result, PINFOLD_INTERNAL);
        if (!strstr(result->reason, word))
            fail_msg("%s: %s", mode, result->reason);
        pinfold_result_free(result);
    }
    /* It was retried, but not all the time. */
    const uint64_t started = stats().workers_started;
    const uint64_t rests = (uint64_t)((now_ns() - began) / TEMPLATE_REST_NS);
    assert_in_range(stats().templates_started, 1, 6);
    assert_in_range(started, 1, AT_FIRST + A_REST_S_WORTH * rests);
    pinfold_pool_close(pool);
    pool = NULL;
}

static void test_a_template_that_can_make_no_worker_ends_the_calls_that_wait(void **state)
{
    (void)state;
    makes_no_worker("refuses", "Resource temporarily unavailable");
    makes_no_worker("dies", "one template after another ended");
    makes_no_worker("damages", "one template after another ended");
    makes_no_worker("declines", "cannot start a worker: no memory");
    makes_no_worker("stillborn", "one worker after another ended before it had begun the call");
}

static void test_a_worker_that_cannot_start_costs_no_neighbour(void **state)
{
    (void)state;
    for (uint32_t isolation = PINFOLD_FRESH; isolation <= PINFOLD_SPAWN; isolation++) {
        pinfold_config config = rig_config("declines next");
        config.isolation = isolation;
        config.max_workers = 2;
        rig_open(&config);
        if (isolation ==
            PINFOLD_FRESH) /* the second worker is asked for with the first call, and may be reported first */
            next_event(PINFOLD_EVENT_WORKER_START);
        char *path = make_fifo("gate");
        uint64_t id = submit("gate", path, BOUND);
        wait_for_start(id);
        uint64_t waiting = submit("upper", "x", BOUND);
        assert_string_equal(next_event(PINFOLD_EVENT_WORKER_EXIT).reason, "killed: it could not start");
        assert_int_equal(stats().queued, 1); /* it has a worker to wait for */
        cancel(waiting);
        open_gate(path);
        ends(id, PINFOLD_OK);
        pinfold_pool_close(pool);
        pool = NULL;
    }
}

/* Let this time pass: a call waits for the only worker until its deadline. */
static void let_pass(int64_t time_ns)
{
    ends(submit("upper", "x", time_ns), PINFOLD_TIMEOUT);
}

static void test_a_worker_that_is_ready_before_its_template_has_told_of_it_is_not_loading(void **state)
{
    (void)state;
    pinfold_config config = rig_config("ready first");
    config.isolation = PINFOLD_SPAWN;
    config.max_workers = 1;
    rig_open(&config);
    assert_int_equal(pinfold_pool_wait_ready(pool, BOUND, NULL), 0);
    pthread_mutex_lock(&pool->lock);
    pool->config.open_timeout_ns = SECOND / 5; /* applies to the worker only */
    pthread_mutex_unlock(&pool->lock);
    char *path = make_fifo("gate");
    uint64_t id = submit("gate", path, BOUND);
    wait_for_start(id);
    let_pass(SECOND / 4);
    open_gate(path);
    ends(id, PINFOLD_OK);
}

static void test_a_pid_that_is_used_again_is_not_held_against_the_call(void **state)
{
    (void)state;
    pinfold_config config = rig_config("another's pid");
    config.isolation = PINFOLD_REUSE;
    config.max_workers = 1;
    rig_open(&config);
    char *path = make_fifo("gate");
    const struct iovec segments[] = {{"gate", 4}, {path, strlen(path)}};
    pinfold_call call = {
        .size = sizeof(call),
        .segments = segments,
        .n_segments = 2,
        .deadline_ns = BOUND,
        .memory_bytes = 32 << 20,
    };
    uint64_t id;
    pinfold_error error;
    if (pinfold_pool_submit(pool, &call, &id, &error) < 0)
        fail_msg("%s", error.text);
    wait_for_start(id);
    let_pass(SECOND / 5);
    open_gate(path);
    ends(id, PINFOLD_OK);
}

static void test_a_pid_that_cannot_be_read_is_no_worker(void **state)
{
    (void)state;
    pinfold_config config = rig_config("without guard");
    config.isolation = PINFOLD_REUSE;
    config.max_workers = 1;
    config.namespaces = CLONE_NEWUSER | CLONE_NEWPID;
    rig_open(&config);
    pinfold_error error;
    if (pinfold_pool_wait_ready(pool, BOUND, &error) < 0) {
        print_message("no namespaces here: %s\n", error.text);
        skip();
    }
    pid_t template = stats().template_pid;
    stop_process(template);
    uint64_t id = submit("upper", "x", BOUND);
    while (stats().workers_started == 0)
        sched_yield();
    scarce_descriptors(1); /* for the worker's pidfd */
    kill(template, SIGCONT);
    pinfold_result *result = take(id);
    plenty_descriptors();
    assert_outcome(result, PINFOLD_INTERNAL);
    assert_string_equal(result->reason, "cannot start a worker: Too many open files");
    pinfold_result_free(result);
    runs("upper", "x", PINFOLD_OK);
}

/* ---- the caller --------------------------------------------------------------------------------------------- */

/* In the child of a fork: open a pool with calls of every kind, report the pids of its processes, and wait to
 * be killed. */
static _Noreturn void be_a_caller(int report, uint32_t isolation)
{
    rig_open_plain(isolation, 3);
    uint64_t id;
    pid_t pids[4];
    pids[0] = submit_with_daemon(&id);
    pids[1] = wait_for_start(submit("block", "", PINFOLD_FOREVER));
    pids[2] = stats().template_pid;
    pids[3] = parent_of(pids[2]);
    for (int i = 0; i < 5; i++)
        submit("spin", "", PINFOLD_FOREVER);
    if (write(report, pids, sizeof(pids)) != sizeof(pids))
        _exit(1);
    for (;;)
        pause();
}

enum { NOBODY = -1, ITS_TEMPLATE = 2, ITS_GUARD = 3 };

static void the_caller_dies(uint32_t isolation, int together_with, int stopped)
{
    int ends[2], pidfds[4];
    pid_t pids[4];
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    pid_t caller = fork();
    if (caller == 0)
        be_a_caller(ends[1], isolation);
    close(ends[1]);
    assert_int_equal(read(ends[0], pids, sizeof(pids)), sizeof(pids));
    close(ends[0]);
    for (size_t i = 0; i < COUNT_OF(pids); i++)
        pidfds[i] = open_process(pids[i]);
    if (stopped != NOBODY)
        stop_process(pids[stopped]);
    kill(caller, SIGKILL);
    if (together_with != NOBODY)
        kill(pids[together_with], SIGKILL);
    for (size_t i = 0; i < COUNT_OF(pids); i++)
        wait_for_end(pidfds[i]);
    /* Every descendant of the caller is a child of ours by now, or of one that is: until none is left. */
    reap_orphans();
    assert_int_equal(count_entries(spill_dir), 0);
}

static void test_nothing_outlives_a_caller_that_is_killed(void **state)
{
    (void)state;
    for (int i = 0; i < 6; i++)
        the_caller_dies((uint32_t)i % 3, NOBODY, NOBODY);
}

static void test_nothing_outlives_a_caller_that_is_killed_with_its_template(void **state)
{
    (void)state;
    for (uint32_t isolation = PINFOLD_FRESH; isolation <= PINFOLD_SPAWN; isolation++)
        the_caller_dies(isolation, ITS_TEMPLATE, NOBODY);
}

static void test_nothing_outlives_a_caller_that_is_killed_with_its_guard(void **state)
{
    (void)state;
    for (uint32_t isolation = PINFOLD_FRESH; isolation <= PINFOLD_SPAWN; isolation++)
        the_caller_dies(isolation, ITS_GUARD, NOBODY);
}

static void test_nothing_that_is_stopped_outlives_its_caller(void **state)
{
    (void)state;
    for (uint32_t isolation = PINFOLD_FRESH; isolation <= PINFOLD_SPAWN; isolation++) {
        the_caller_dies(isolation, NOBODY, ITS_GUARD);
        the_caller_dies(isolation, NOBODY, ITS_TEMPLATE);
        the_caller_dies(isolation, ITS_GUARD, ITS_TEMPLATE);
        the_caller_dies(isolation, ITS_TEMPLATE, ITS_GUARD);
    }
}

static void test_a_caller_that_reaps_every_child_itself_disturbs_nothing(void **state)
{
    (void)state;
    static const int flags[] = {0, SA_NOCLDWAIT};
    for (size_t i = 0; i < COUNT_OF(flags); i++) {
        struct sigaction ignore = {.sa_handler = i ? SIG_DFL : SIG_IGN, .sa_flags = flags[i]}, before;
        sigaction(SIGCHLD, &ignore, &before);
        rig_open_plain(PINFOLD_FRESH, 2);
        pinfold_result *result = take(submit("leave_and", "exit", BOUND));
        assert_outcome(result, PINFOLD_EXITED);
        assert_int_equal(result->exit_code, 7);
        pinfold_result_free(result);
        kill_victim(THE_GUARD);
        wait_for_template(2);
        runs("upper", "x", PINFOLD_OK);
        pinfold_pool_close(pool);
        pool = NULL;
        sigaction(SIGCHLD, &before, NULL);
    }
    rig_open_plain(PINFOLD_FRESH, 2);
    assert_int_equal(pinfold_pool_wait_ready(pool, BOUND, NULL), 0);
    pid_t guard = parent_of(stats().template_pid);
    kill(guard, SIGKILL);
    waitpid(guard, NULL, 0); /* either of us reaps it, and the other does not mind */
    wait_for_template(2);
    runs("upper", "x", PINFOLD_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        POOL_TEST(test_calls_that_run_when_the_template_dies_are_lost_and_others_run_on),
        POOL_TEST(test_calls_that_run_when_the_guard_dies_are_lost_and_others_run_on),
        POOL_TEST(test_guard_and_template_die_at_once_and_nothing_is_left),
        POOL_TEST(test_a_pool_that_closes_waits_for_what_guard_and_template_left),
        POOL_TEST(test_what_the_guard_kills_is_lost_and_nothing_else),
        POOL_TEST(test_a_template_that_dies_before_its_guard_is_reaped),
        POOL_TEST(test_an_idle_worker_that_dies_is_replaced),
        POOL_TEST(test_a_worker_that_is_killed_before_it_has_begun_a_call_costs_it_nothing),
        POOL_TEST(test_a_spill_that_a_program_in_a_box_could_reach_goes_to_no_other_worker),
        POOL_TEST(test_a_template_that_dies_costs_the_calls_nothing_that_are_not_begun),
        POOL_TEST(test_a_start_that_was_told_is_one),
        POOL_TEST(test_a_worker_whose_channel_is_cut_as_it_starts_is_replaced),
        POOL_TEST(test_a_template_that_dies_with_nothing_to_do_is_replaced),
        POOL_TEST(test_random_kills_leave_every_call_with_one_right_outcome),
        POOL_TEST(test_the_evidence_of_a_death_is_waited_for),
        POOL_TEST(test_a_death_that_takes_long_is_told_as_what_it_is),
        POOL_TEST(test_a_template_that_hangs_is_replaced),
        POOL_TEST(test_a_template_that_makes_no_worker_is_replaced),
        POOL_TEST(test_a_template_that_says_why_it_failed_is_quoted),
        POOL_TEST(test_a_log_that_is_long_does_not_drive_out_the_reason),
        POOL_TEST(test_a_template_that_ends_at_once_is_quoted),
        POOL_TEST(test_a_template_that_never_gets_ready_is_given_up),
        POOL_TEST(test_a_command_that_cannot_be_executed_is_named),
        POOL_TEST(test_a_guard_that_is_none_fails_the_start),
        POOL_TEST(test_a_template_that_can_make_no_worker_ends_the_calls_that_wait),
        POOL_TEST(test_a_worker_that_cannot_start_costs_no_neighbour),
        POOL_TEST(test_a_worker_that_is_ready_before_its_template_has_told_of_it_is_not_loading),
        POOL_TEST(test_a_pid_that_is_used_again_is_not_held_against_the_call),
        POOL_TEST(test_a_pid_that_cannot_be_read_is_no_worker),
        POOL_TEST(test_nothing_outlives_a_caller_that_is_killed),
        POOL_TEST(test_nothing_outlives_a_caller_that_is_killed_with_its_template),
        POOL_TEST(test_nothing_outlives_a_caller_that_is_killed_with_its_guard),
        POOL_TEST(test_nothing_that_is_stopped_outlives_its_caller),
        POOL_TEST(test_a_caller_that_reaps_every_child_itself_disturbs_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The tables in lib/pool/call.c and lib/pool/worker.c: each cell as docs/design.md lists it, and what must hold
 * for any such table. */
#include "check.h"
#include "pool/call.h"
#include "pool/worker.h"

#define KEEP CALL_UNDECIDED
#define BY_EVIDENCE CALL_BY_EVIDENCE
#define SWEEP (CALL_KILL | CALL_PATIENCE)

/* docs/design.md, "The life of a call". */
static const struct call_cell {
    uint8_t state, event, next, actions, outcome;
} call_cells[] = {
    {CALL_QUEUED, CALL_HANDED, CALL_RUNNING, 0, KEEP},
    {CALL_QUEUED, CALL_DUE, CALL_DONE, CALL_FINISH, PINFOLD_TIMEOUT},
    {CALL_QUEUED, CALL_CANCEL, CALL_DONE, CALL_FINISH, PINFOLD_CANCELLED},
    {CALL_QUEUED, CALL_REFUSED, CALL_DONE, CALL_FINISH, PINFOLD_INTERNAL},
    {CALL_RUNNING, CALL_RESULT, CALL_DONE, CALL_FINISH, BY_EVIDENCE},
    {CALL_RUNNING, CALL_RESULT_TREE, CALL_ENDING, SWEEP, BY_EVIDENCE},
    {CALL_RUNNING, CALL_OVER, CALL_LATE, CALL_ASK | CALL_GRACE, BY_EVIDENCE},
    {CALL_RUNNING, CALL_BROKEN, CALL_ENDING, SWEEP, BY_EVIDENCE},
    {CALL_RUNNING, CALL_EXITED, CALL_DONE, CALL_FINISH, BY_EVIDENCE},
    {CALL_RUNNING, CALL_EXITED_TREE, CALL_ENDING, CALL_PATIENCE, BY_EVIDENCE},
    {CALL_RUNNING, CALL_LOST, CALL_DONE, CALL_FINISH, PINFOLD_LOST},
    {CALL_RUNNING, CALL_CANCEL, CALL_DONE, CALL_KILL | CALL_FINISH, PINFOLD_CANCELLED},
    {CALL_RUNNING, CALL_DUE, CALL_LATE, CALL_ASK | CALL_GRACE, PINFOLD_TIMEOUT},
    {CALL_RUNNING, CALL_SPENT, CALL_LATE, CALL_ASK | CALL_GRACE, PINFOLD_TIMEOUT},
    {CALL_LATE, CALL_RESULT, CALL_ENDING, SWEEP, KEEP},
    {CALL_LATE, CALL_RESULT_TREE, CALL_ENDING, SWEEP, KEEP},
    {CALL_LATE, CALL_STACK, CALL_ENDING, SWEEP, KEEP},
    {CALL_LATE, CALL_DUE, CALL_ENDING, SWEEP, KEEP},
    {CALL_LATE, CALL_BROKEN, CALL_ENDING, SWEEP, KEEP},
    {CALL_LATE, CALL_EXITED, CALL_DONE, CALL_FINISH, KEEP},
    {CALL_LATE, CALL_LOST, CALL_DONE, CALL_FINISH, KEEP},
    {CALL_LATE, CALL_EXITED_TREE, CALL_ENDING, CALL_PATIENCE, KEEP},
    {CALL_LATE, CALL_CANCEL, CALL_DONE, CALL_KILL | CALL_FINISH, KEEP},
    {CALL_LATE, CALL_COLLECT, CALL_COLLECTING, CALL_STOP, KEEP},
    {CALL_COLLECTING, CALL_RESULT, CALL_ENDING, SWEEP, KEEP},
    {CALL_COLLECTING, CALL_RESULT_TREE, CALL_ENDING, SWEEP, KEEP},
    {CALL_COLLECTING, CALL_DUE, CALL_ENDING, SWEEP, KEEP},
    {CALL_COLLECTING, CALL_BROKEN, CALL_ENDING, SWEEP, KEEP},
    {CALL_COLLECTING, CALL_EXITED, CALL_DONE, CALL_FINISH, KEEP},
    {CALL_COLLECTING, CALL_LOST, CALL_DONE, CALL_FINISH, KEEP},
    {CALL_COLLECTING, CALL_EXITED_TREE, CALL_ENDING, CALL_PATIENCE, KEEP},
    {CALL_COLLECTING, CALL_CANCEL, CALL_DONE, CALL_KILL | CALL_FINISH, KEEP},
    {CALL_ENDING, CALL_EXITED, CALL_DONE, CALL_FINISH, KEEP},
    {CALL_ENDING, CALL_LOST, CALL_DONE, CALL_FINISH, KEEP},
    {CALL_ENDING, CALL_CANCEL, CALL_DONE, CALL_FINISH, KEEP},
    {CALL_ENDING, CALL_DUE, CALL_DONE, CALL_FINISH, KEEP},
    {CALL_QUEUED, CALL_OFFER, CALL_AHEAD, 0, KEEP},
    {CALL_AHEAD, CALL_RECALL, CALL_QUEUED, 0, KEEP},
    {CALL_AHEAD, CALL_HANDED, CALL_RUNNING, 0, KEEP},
    {CALL_AHEAD, CALL_LOST, CALL_DONE, CALL_FINISH, PINFOLD_LOST},
    {CALL_RUNNING, CALL_RECALL, CALL_QUEUED, 0, KEEP},
};

/* docs/design.md, "The life of a worker". */
static const struct worker_cell {
    uint8_t state, event, next, actions;
} worker_cells[] = {
    {WORKER_STARTING, WORKER_FORKED, WORKER_IDLE, WORKER_OFFER},
    {WORKER_STARTING, WORKER_READY, WORKER_IDLE, WORKER_OFFER},
    {WORKER_STARTING, WORKER_RETIRE, WORKER_ENDING, WORKER_KILL | WORKER_HANGUP},
    {WORKER_STARTING, WORKER_EXITED, WORKER_GONE, WORKER_FORGET},
    {WORKER_STARTING, WORKER_LOST, WORKER_GONE, WORKER_KILL | WORKER_FORGET},
    {WORKER_IDLE, WORKER_HAND, WORKER_BUSY, WORKER_TAKE},
    {WORKER_IDLE, WORKER_RETIRE, WORKER_ENDING, WORKER_TAKE | WORKER_KILL},
    {WORKER_IDLE, WORKER_EXITED, WORKER_GONE, WORKER_TAKE | WORKER_FORGET},
    {WORKER_IDLE, WORKER_LOST, WORKER_GONE, WORKER_TAKE | WORKER_KILL | WORKER_FORGET},
    {WORKER_BUSY, WORKER_RETURN, WORKER_IDLE, WORKER_OFFER},
    {WORKER_BUSY, WORKER_RETIRE, WORKER_ENDING, WORKER_KILL},
    {WORKER_BUSY, WORKER_EXITED, WORKER_GONE, WORKER_FORGET},
    {WORKER_BUSY, WORKER_LOST, WORKER_GONE, WORKER_KILL | WORKER_FORGET},
    {WORKER_ENDING, WORKER_FORKED, WORKER_ENDING, WORKER_KILL},
    {WORKER_ENDING, WORKER_SPAWNED, WORKER_ENDING, WORKER_KILL},
    {WORKER_ENDING, WORKER_EXITED, WORKER_GONE, WORKER_FORGET},
    {WORKER_ENDING, WORKER_LOST, WORKER_GONE, WORKER_KILL | WORKER_FORGET},
};

static void test_every_cell_of_a_calls_life_is_the_documented_one(void **state)
{
    (void)state;
    for (uint8_t at = 0; at < CALL_STATES; at++) {
        for (uint8_t event = 0; event < CALL_EVENTS; event++) {
            struct call_cell wanted = {at, event, at, 0, KEEP}; /* unlisted: the state stays */
            for (size_t i = 0; i < COUNT_OF(call_cells); i++)
                if (call_cells[i].state == at && call_cells[i].event == event)
                    wanted = call_cells[i];
            const struct call_step *step = &call_life[at][event];
            if (step->next != wanted.next || step->actions != wanted.actions || step->outcome != wanted.outcome)
                fail_msg("state %d, event %d: next %d, actions %d, outcome %#x", at, event, step->next,
                         step->actions, step->outcome);
        }
    }
}

static void test_every_cell_of_a_workers_life_is_the_documented_one(void **state)
{
    (void)state;
    for (uint8_t at = 0; at < WORKER_STATES; at++) {
        for (uint8_t event = 0; event < WORKER_EVENTS; event++) {
            struct worker_cell wanted = {at, event, at, 0};
            for (size_t i = 0; i < COUNT_OF(worker_cells); i++)
                if (worker_cells[i].state == at && worker_cells[i].event == event)
                    wanted = worker_cells[i];
            const struct worker_step *step = &worker_life[at][event];
            if (step->next != wanted.next || step->actions != wanted.actions)
                fail_msg("state %d, event %d: next %d, actions %d", at, event, step->next, step->actions);
        }
    }
}

static void test_a_call_is_told_on_the_step_into_done_and_no_other(void **state)
{
    (void)state;
    for (int at = 0; at < CALL_STATES; at++) {
        for (int event = 0; event < CALL_EVENTS; event++) {
            const struct call_step *step = &call_life[at][event];
            bool into_done = step->next == CALL_DONE && at != CALL_DONE;
            assert_int_equal(!!(step->actions & CALL_FINISH), into_done);
        }
    }
}

/* Return whether the outcome of a call in this state is decided: the same on every path to it. */
static bool decided(int at)
{
    return at == CALL_LATE || at == CALL_COLLECTING || at == CALL_ENDING || at == CALL_DONE;
}

static void test_an_outcome_is_decided_once_and_before_the_call_is_told(void **state)
{
    (void)state;
    for (int at = 0; at < CALL_STATES; at++) {
        for (int event = 0; event < CALL_EVENTS; event++) {
            const struct call_step *step = &call_life[at][event];
            bool decides = step->outcome != CALL_UNDECIDED;
            assert_false(decided(at) && decides);
            assert_int_equal(decided(at) || decides, decided(step->next));
            assert_true(!decides || step->outcome == CALL_BY_EVIDENCE || step->outcome < PINFOLD_OUTCOMES);
        }
    }
}

static void test_from_every_state_of_a_call_a_way_leads_to_its_end(void **state)
{
    (void)state;
    bool reaches[CALL_STATES] = {[CALL_DONE] = true};
    bool reached[CALL_STATES] = {[CALL_QUEUED] = true};
    for (int round = 0; round < CALL_STATES; round++) {
        for (int at = 0; at < CALL_STATES; at++) {
            for (int event = 0; event < CALL_EVENTS; event++) {
                reaches[at] |= reaches[call_life[at][event].next];
                reached[call_life[at][event].next] |= reached[at];
            }
        }
    }
    for (int at = 0; at < CALL_STATES; at++)
        assert_true(reaches[at] && reached[at]);
    /* Events that are certain to come lead to DONE: the clock alone, in a few steps; the caller's cancel; once
     * a worker has the call, the loss of the template. */
    for (int at = 0; at < CALL_STATES; at++) {
        int now =
            at == CALL_AHEAD ? call_life[at][CALL_RECALL].next : at; /* call_end recalls before both events */
        assert_int_equal(call_life[now][CALL_CANCEL].next, CALL_DONE);
        for (int steps = 0; steps < CALL_STATES; steps++)
            now = call_life[now][CALL_DUE].next;
        assert_int_equal(now, CALL_DONE);
        if (at != CALL_QUEUED)
            assert_int_equal(call_life[at][CALL_LOST].next, CALL_DONE);
    }
}

static void test_whatever_waits_has_a_timer(void **state)
{
    (void)state;
    for (int at = 0; at < CALL_STATES; at++) {
        for (int event = 0; event < CALL_EVENTS; event++) {
            const struct call_step *step = &call_life[at][event];
            if (step->next == at)
                continue;
            if (step->next == CALL_ENDING)
                assert_true(step->actions & CALL_PATIENCE);
            if (step->next == CALL_COLLECTING)
                assert_true(step->actions & CALL_STOP);
            if (step->next == CALL_LATE)
                assert_true(step->actions & CALL_GRACE && step->actions & CALL_ASK);
        }
    }
}

static void test_a_worker_whose_call_is_cut_off_is_killed(void **state)
{
    (void)state;
    for (int at = CALL_RUNNING; at <= CALL_COLLECTING; at++) {
        for (int event = 0; event < CALL_EVENTS; event++) {
            const struct call_step *step = &call_life[at][event];
            bool gone = event == CALL_EXITED || event == CALL_EXITED_TREE || event == CALL_LOST;
            bool answered = event == CALL_RESULT && at == CALL_RUNNING;
            bool leaves = step->next == CALL_ENDING || step->next == CALL_DONE;
            assert_int_equal(!!(step->actions & CALL_KILL), leaves && !gone && !answered);
        }
    }
    for (int event = 0; event < CALL_EVENTS; event++)
        assert_false(call_life[CALL_QUEUED][event].actions & (CALL_KILL | CALL_ASK));
}

static void test_what_is_over_stays_over(void **state)
{
    (void)state;
    for (int event = 0; event < CALL_EVENTS; event++) {
        assert_int_equal(call_life[CALL_DONE][event].next, CALL_DONE);
        assert_int_equal(call_life[CALL_DONE][event].actions, 0);
    }
    for (int event = 0; event < WORKER_EVENTS; event++) {
        assert_int_equal(worker_life[WORKER_GONE][event].next, WORKER_GONE);
        assert_int_equal(worker_life[WORKER_GONE][event].actions, 0);
    }
}

static void test_a_worker_ends_by_being_reported_and_is_forgotten_once(void **state)
{
    (void)state;
    for (int at = 0; at < WORKER_GONE; at++) {
        assert_int_equal(worker_life[at][WORKER_EXITED].next, WORKER_GONE);
        assert_int_equal(worker_life[at][WORKER_LOST].next, WORKER_GONE);
        for (int event = 0; event < WORKER_EVENTS; event++) {
            const struct worker_step *step = &worker_life[at][event];
            assert_int_equal(!!(step->actions & WORKER_FORGET), step->next == WORKER_GONE);
            /* A worker that is only lost may be alive; one that exited is reaped, so there is nothing to kill. */
            if (step->next == WORKER_GONE)
                assert_int_equal(!!(step->actions & WORKER_KILL), event == WORKER_LOST);
            if (step->next == WORKER_ENDING && at != WORKER_ENDING)
                assert_true(step->actions & WORKER_KILL);
        }
    }
}

static void test_a_worker_is_on_the_idle_list_exactly_while_it_is_idle(void **state)
{
    (void)state;
    for (int at = 0; at < WORKER_STATES; at++) {
        for (int event = 0; event < WORKER_EVENTS; event++) {
            const struct worker_step *step = &worker_life[at][event];
            assert_int_equal(!!(step->actions & WORKER_OFFER), step->next == WORKER_IDLE && at != WORKER_IDLE);
            assert_int_equal(!!(step->actions & WORKER_TAKE), at == WORKER_IDLE && step->next != WORKER_IDLE);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_cell_of_a_calls_life_is_the_documented_one),
        cmocka_unit_test(test_every_cell_of_a_workers_life_is_the_documented_one),
        cmocka_unit_test(test_a_call_is_told_on_the_step_into_done_and_no_other),
        cmocka_unit_test(test_an_outcome_is_decided_once_and_before_the_call_is_told),
        cmocka_unit_test(test_from_every_state_of_a_call_a_way_leads_to_its_end),
        cmocka_unit_test(test_whatever_waits_has_a_timer),
        cmocka_unit_test(test_a_worker_whose_call_is_cut_off_is_killed),
        cmocka_unit_test(test_what_is_over_stays_over),
        cmocka_unit_test(test_a_worker_ends_by_being_reported_and_is_forgotten_once),
        cmocka_unit_test(test_a_worker_is_on_the_idle_list_exactly_while_it_is_idle),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

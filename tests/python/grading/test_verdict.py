# SPDX-License-Identifier: Apache-2.0
"""From the results of calls to a verdict, without a pool."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import pinfold
from pinfold import (
    CallTypeError,
    InvalidCall,
    Limits,
    ProgramCall,
    WorkerConfig,
    WorkerError,
    WorkerResult,
)
from pinfold.grading import (
    DEFAULT_WALL_S,
    STATUSES,
    Case,
    acheck,
    ajudge,
    check,
    judge,
)

Answer = Callable[[Any], WorkerResult]


class Recorded:
    """A backend that answers from a function, in an order of its own, and records the calls."""

    def __init__(self, answer: Answer, order: tuple[int, ...] = (), **config: Any) -> None:
        self.answer = answer
        self.order = order
        self.config = WorkerConfig(**config)
        self.calls: list[Any] = []
        self.closed = 0

    def map(self, calls: Any) -> Recorded:
        self._source = calls
        return self

    def _pairs(self) -> Iterator[tuple[Any, WorkerResult]]:
        held: dict[int, Any] = {}
        for wanted in self.order:
            while wanted not in held and (call := next(self._source, None)) is not None:
                held[len(self.calls)] = call
                self.calls.append(call)
            if wanted in held:
                call = held.pop(wanted)
                yield call, self.answer(call)
        for call in [*held.values(), *self._source]:
            if call not in self.calls:
                self.calls.append(call)
            yield call, self.answer(call)

    def __iter__(self) -> Iterator[tuple[Any, WorkerResult]]:
        try:
            yield from self._pairs()
        finally:
            self.closed += 1

    async def __aiter__(self) -> AsyncIterator[tuple[Any, WorkerResult]]:
        try:
            for pair in self._pairs():
                yield pair
        finally:
            self.closed += 1


def prints(text: str) -> WorkerResult:
    return WorkerResult("ok", stdout=text, stdout_bytes=text.encode())


def fails(outcome: Any, **fields: Any) -> WorkerResult:
    return WorkerResult(outcome, error=WorkerError("...", **fields))


def by_case(*results: WorkerResult, order: tuple[int, ...] = ()) -> Recorded:
    """Return a backend for cases whose stdin or only argument is their number."""

    def answer(call: Any) -> WorkerResult:
        number = int(call.stdin) if isinstance(call, ProgramCall) else call.args[0]
        return results[number]

    return Recorded(answer, order)


OUTCOMES = [
    # of a program, of a function
    (fails("exception", type="ValueError", phase="run"), "runtime_error", "runtime_error"),
    (fails("exception", type="SyntaxError", phase="run"), "runtime_error", "runtime_error"),
    (fails("exception", type="SyntaxError", phase="compile"), "compile_error", "compile_error"),
    (fails("exited", returncode=3, phase="run"), "runtime_error", "runtime_error"),
    (fails("exited", returncode=0, phase="run"), "runtime_error", "runtime_error"),
    (fails("signalled", signal=11, phase="run"), "runtime_error", "runtime_error"),
    (fails("timeout", phase="run"), "time_limit", "time_limit"),
    (fails("timeout", phase="start"), "internal", "internal"),
    (fails("timeout", phase="queue"), "internal", "internal"),
    (fails("timeout"), "internal", "internal"),
    (fails("cpu_limit", phase="run"), "time_limit", "time_limit"),
    (fails("memory_limit", phase="run"), "memory_limit", "memory_limit"),
    (fails("output_limit", phase="run"), "output_limit", "output_limit"),
    (fails("bad_result", phase="run"), "runtime_error", "wrong_answer"),
    (fails("lost", phase="start"), "internal", "internal"),
    (fails("internal"), "internal", "internal"),
]


@pytest.mark.parametrize(
    ("result", "program", "function"),
    OUTCOMES,
    ids=[f"{r.outcome}-{r.error.phase if r.error else ''}" for r, _, _ in OUTCOMES],
)
def test_an_outcome_without_a_value_has_a_status(
    result: WorkerResult, program: str, function: str
) -> None:
    # The output is the expected one, and counts for nothing.
    result = replace(result, stdout="x", stdout_bytes=b"x", value=None)
    verdict = judge(Recorded(lambda call: result), "", [("", "x")])
    assert (verdict.status, verdict.passed, verdict.total) == (program, 0, 1)
    verdict = check(Recorded(lambda call: result), "", "f", [([], None)])
    assert (verdict.status, verdict.passed, verdict.total) == (function, 0, 1)
    assert not verdict.accepted
    assert verdict.cases[0].message


def test_every_outcome_of_a_call_is_covered() -> None:
    covered = {result.outcome for result, _, _ in OUTCOMES}
    assert covered | {"ok", "cancelled"} == set(pinfold.OUTCOMES)
    statuses = {status for _, program, function in OUTCOMES for status in (program, function)}
    assert statuses | {"accepted", "skipped"} == set(STATUSES)


def test_a_call_that_was_cancelled_from_outside_raises() -> None:
    backend = Recorded(lambda call: fails("cancelled"))
    with pytest.raises(asyncio.CancelledError):
        judge(backend, "", [("", "")])
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(acheck(backend, "", "f", [([], 1)]))
    assert backend.closed == 2


def test_output_that_was_cut_is_never_the_expected_one() -> None:
    backend = Recorded(lambda call: replace(prints("x"), stdout_truncated=True))
    verdict = judge(backend, "", [("", "x")])
    assert verdict.status == "output_limit"
    assert "output_bytes" in verdict.cases[0].message


ORDERS = [(), (2, 1, 0), (1, 2, 0), (2, 0, 1), (0, 2, 1)]


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("twin", [False, True])
def test_the_verdict_is_of_the_first_failed_case_in_order(
    order: tuple[int, ...], twin: bool
) -> None:
    results = [prints("ok"), prints("bad"), fails("exception", type="E", phase="run"), prints("ok")]
    cases = [(str(n), "ok") for n in range(4)]

    def run(**options: Any) -> Any:
        backend = by_case(*results, order=order)
        if twin:
            verdict = asyncio.run(ajudge(backend, "", cases, **options))
        else:
            verdict = judge(backend, "", cases, **options)
        assert backend.closed == 1
        return verdict

    verdict = run()
    statuses = [case.status for case in verdict.cases]
    assert (verdict.status, verdict.passed, verdict.total) == ("wrong_answer", 1, 4)
    assert statuses == ["accepted", "wrong_answer", "skipped", "skipped"]
    verdict = run(stop_early=False)
    statuses = [case.status for case in verdict.cases]
    assert (verdict.status, verdict.passed, verdict.total) == ("wrong_answer", 2, 4)
    assert statuses == ["accepted", "wrong_answer", "runtime_error", "accepted"]


def test_no_case_is_taken_up_after_a_failed_one() -> None:
    backend = by_case(*[prints("bad")] * 100)
    judge(backend, "", [(str(n), "ok") for n in range(100)])
    assert len(backend.calls) == 1


def test_a_case_has_what_differed_and_its_metrics() -> None:
    verdict = judge(by_case(prints("1 3")), "", [("0", "1 2")])
    difference = verdict.cases[0].difference
    assert str(difference) == "token 2: expected '2', got '3'"
    failure = fails("exception", type="ValueError", message="x" * 10_000, line=7, phase="run")
    case = check(by_case(failure), "", "f", [([0], 1)]).cases[0]
    assert case.message.startswith("ValueError: xxx")
    assert len(case.message) == 500
    assert (case.line, case.difference) == (7, None)


@pytest.mark.parametrize(
    ("how", "accepted"), [("exact", False), ("lines", False), ("tokens", True)]
)
def test_programs_are_compared_as_asked(how: Any, accepted: bool) -> None:
    assert judge(by_case(prints(" 1.0 \n")), "", [("0", "1")], compare=how).accepted is accepted
    assert judge(by_case(prints("1 \n\n")), "", [("0", b"1")], compare="lines").accepted
    assert judge(by_case(prints("1\n")), "", [("0", memoryview(b"1\n"))], compare="exact").accepted


def test_functions_are_compared_as_asked() -> None:
    backend = by_case(WorkerResult("ok", value=[0.1 + 0.2]))
    assert check(backend, "", "f", [([0], (0.3,))]).status == "wrong_answer"
    assert check(backend, "", "f", [([0], (0.3,))], compare="close").accepted
    assert check(by_case(WorkerResult("ok")), "", "f", [([0], None)]).accepted


def test_a_callable_compares_in_the_caller() -> None:
    seen: list[Any] = []

    def own(got: Any, expected: Any) -> bool:
        seen.append((got, expected))
        return True

    result = WorkerResult("ok", [1], stdout="a\\xff", stdout_bytes=b"a\xff")
    assert judge(by_case(result), "", [("0", "b")], compare=own).accepted
    assert judge(by_case(result), "", [("0", b"b")], compare=own).accepted
    assert judge(by_case(result), "", [("0", object)], compare=own).accepted
    assert check(by_case(result), "", "f", [([0], object)], compare=own).accepted
    assert seen == [("a\\xff", "b"), (b"a\xff", b"b"), ("a\\xff", object), ([1], object)]
    verdict = judge(by_case(result), "", [("0", "b")], compare=lambda got, expected: False)
    assert str(verdict.cases[0].difference) == "expected 'b', got 'a\\\\xff'"


@pytest.mark.parametrize("twin", [False, True])
def test_an_exception_of_the_callable_propagates(twin: bool) -> None:
    backend = by_case(prints("1"))

    def own(got: Any, expected: Any) -> bool:
        raise ZeroDivisionError("of the comparison")

    with pytest.raises(ZeroDivisionError, match="of the comparison"):
        if twin:
            asyncio.run(ajudge(backend, "", [("0", "1")], compare=own))
        else:
            judge(backend, "", [("0", "1")], compare=own)
    assert backend.closed == 1
    with pytest.raises(CallTypeError, match=r"must return a bool, not 0\.7"):
        judge(backend, "", [("0", "1")], compare=lambda got, expected: 0.7)  # type: ignore[arg-type,return-value]


# ---- calls ---------------------------------------------------------------------------------------


def calls_of(grader: Any, *args: Any, config: Any = None, **options: Any) -> list[Any]:
    backend = Recorded(lambda call: prints(""), **(config or {}))
    grader(backend, *args, stop_early=False, **options)
    return backend.calls


def test_a_program_gets_its_case_and_nothing_else() -> None:
    expected = "the-expected-output"
    case = Case(stdin="in", argv=["-v"], expected=expected, files={"b": b"2"})
    [one, two] = calls_of(
        judge,
        "code",
        [("in", expected), case],
        files={"a": b"1"},
        env={"X": "1"},
        python_path=["/p"],
    )
    assert (one.code, one.stdin, one.argv, one.files) == ("code", "in", (), {"a": b"1"})
    assert (two.stdin, two.argv, two.files) == ("in", ("-v",), {"a": b"1", "b": b"2"})
    assert (one.env, one.python_path) == ({"X": "1"}, ["/p"])
    assert expected not in repr([one, two])


def test_a_function_gets_its_case_and_nothing_else() -> None:
    expected = "the-expected-value"
    case = Case(args=(1,), kwargs={"k": 2}, expected=expected)
    [one, two] = calls_of(
        check, "code", "f", [([1], expected), case], config={"codec": "pickle"}, env={"X": None}
    )
    assert (one.code, one.function_name, one.args, one.kwargs) == ("code", "f", [1], {})
    assert (two.args, two.kwargs, two.env) == ((1,), {"k": 2}, {"X": None})
    assert one.codec == "data"
    assert expected not in repr([one, two])


def test_limits_are_those_given_or_those_of_the_backend_and_always_bound_the_time() -> None:
    given = Limits(wall_s=3, memory_bytes=1 << 30)
    config = {"limits": Limits(wall_s=4, cpu_s=2)}
    for grader in (
        lambda **options: calls_of(judge, "", [("", "")], **options),
        lambda **options: calls_of(check, "", "f", [([], 1)], **options),
    ):
        [call] = grader(config=config, limits=given)
        assert (call.limits.wall_s, call.limits.memory_bytes, call.limits.cpu_s) == (
            3,
            1 << 30,
            None,
        )
        [call] = grader(config=config)
        assert (call.limits.wall_s, call.limits.cpu_s) == (4, 2)
        [call] = grader()
        assert call.limits.wall_s == DEFAULT_WALL_S
        [call] = grader(limits=Limits(cpu_s=1))
        assert (call.limits.wall_s, call.limits.cpu_s) == (DEFAULT_WALL_S, 1)


def test_output_has_room_for_what_is_expected() -> None:
    limits = Limits(output_bytes=1000)
    [small, large] = calls_of(judge, "", [("", ""), ("", "x" * 3_000_000)], limits=limits)
    assert small.limits.output_bytes == 1000
    assert large.limits.output_bytes > 6_000_000
    assert large.limits.printed_bytes >= small.limits.printed_bytes >= 64 << 20
    [call] = calls_of(judge, "", [("", "")], limits=Limits(printed_bytes=5))
    assert call.limits.printed_bytes == 5


def test_values_are_bounded_with_room_for_what_is_expected() -> None:
    [small, large] = calls_of(check, "", "f", [([], 1), ([], b"x" * 3_000_000)])
    assert small.limits.result_bytes == 64 << 20
    assert large.limits.result_bytes > 64 << 20
    [call] = calls_of(check, "", "f", [([], 1)], limits=Limits(result_bytes=7))
    assert call.limits.result_bytes == 7


# ---- wrong arguments -----------------------------------------------------------------------------


WRONG_OF_BOTH: list[tuple[dict[str, Any], type[InvalidCall], str]] = [
    ({"cases": []}, InvalidCall, "cases must be not empty"),
    ({"cases": iter(())}, InvalidCall, "cases must be not empty"),
    ({"cases": None}, CallTypeError, "cases must be"),
    ({"cases": 3}, CallTypeError, "cases must be"),
    ({"cases": "ab"}, CallTypeError, "cases must be"),
    ({"cases": {"a": "b"}}, CallTypeError, "cases must be"),
    ({"cases": ["ab"]}, CallTypeError, r"cases\[0\] must be a pair"),
    ({"cases": [None]}, CallTypeError, r"cases\[0\] must be a pair"),
    ({"cases": [("a",)]}, InvalidCall, r"cases\[0\] must be a pair"),
    ({"cases": [("a", "b", "c")]}, InvalidCall, r"cases\[0\] must be a pair"),
    ({"limits": 3}, CallTypeError, "limits must be a Limits"),
    ({"limits": {"wall_s": 1}}, CallTypeError, "limits must be a Limits"),
    ({"compare": None}, CallTypeError, "compare must be one of"),
    ({"compare": "token"}, InvalidCall, "compare must be one of"),
    ({"compare": 3}, CallTypeError, "compare must be one of"),
    ({"stop_early": 1}, CallTypeError, "stop_early must be a bool"),
    ({"files": ["a"]}, CallTypeError, "files must be"),
    ({"files": {"../a": b""}}, InvalidCall, "files"),
    ({"env": {"A=B": "1"}}, InvalidCall, "env"),
    ({"python_path": "/a"}, CallTypeError, "python_path"),
    ({"code": b"1"}, CallTypeError, "code must be a str"),
    ({"code": None}, CallTypeError, "code must be a str"),
    ({"backend": None}, CallTypeError, "backend must be a backend"),
    ({"backend": "local"}, CallTypeError, "backend must be a backend"),
]
WRONG_OF_JUDGE: list[tuple[dict[str, Any], type[InvalidCall], str]] = [
    ({"compare": "equal"}, InvalidCall, "compare must be one of 'exact', 'lines', 'tokens'"),
    ({"cases": [(3, "a")]}, CallTypeError, "stdin must be"),
    ({"cases": [(None, "a")]}, CallTypeError, "stdin must be"),
    ({"cases": [("", "a"), (["a"], "a")]}, CallTypeError, "stdin must be"),
    ({"cases": [("\ud800", "a")]}, InvalidCall, "stdin must be"),
    ({"cases": [("a", 3)]}, CallTypeError, "expected must be"),
    ({"cases": [("a", None)]}, CallTypeError, "expected must be"),
    ({"cases": [("a", "\ud800")]}, InvalidCall, "expected must be"),
    ({"cases": [Case(args=[1], expected="a")]}, InvalidCall, r"cases\[0\].args must be empty"),
    ({"cases": [Case(kwargs={"k": 1}, expected="")]}, InvalidCall, r"kwargs must be empty"),
    ({"cases": [Case(argv="ab", expected="")]}, CallTypeError, "argv must be"),
    ({"cases": [Case(argv=[1], expected="")]}, CallTypeError, "argv must be"),
]
WRONG_OF_CHECK: list[tuple[dict[str, Any], type[InvalidCall], str]] = [
    ({"compare": "tokens"}, InvalidCall, "compare must be one of 'equal', 'close'"),
    ({"cases": [(3, 1)]}, CallTypeError, "args must be"),
    ({"cases": [("ab", 1)]}, CallTypeError, "args must be"),
    ({"cases": [(None, 1)]}, CallTypeError, "args must be"),
    ({"cases": [([1], 1), ([object()], 1)]}, InvalidCall, r"cases\[1\]\[0\]\[0\] is a"),
    ({"cases": [([], 1), ([], object())]}, CallTypeError, r"cases\[1\]\.expected is a"),
    ({"cases": [([], {"a": lambda: 1})]}, CallTypeError, r"cases\[0\]\.expected\['a'\] is a"),
    ({"cases": [([], np.array([None]))]}, CallTypeError, r"cases\[0\]\.expected is a"),
    ({"cases": [Case(kwargs={1: 2}, expected=1)]}, CallTypeError, "kwargs must be"),
    ({"cases": [Case(stdin="a", expected=1)]}, InvalidCall, r"cases\[0\].stdin must be empty"),
    ({"cases": [Case(argv=["a"], expected=1)]}, InvalidCall, r"cases\[0\].argv must be empty"),
    ({"function_name": ""}, InvalidCall, "function_name"),
    ({"function_name": "a..b"}, InvalidCall, "function_name"),
    ({"function_name": None}, CallTypeError, "function_name"),
]


@pytest.mark.parametrize("twin", [False, True])
@pytest.mark.parametrize(("wrong", "error", "match"), WRONG_OF_BOTH + WRONG_OF_JUDGE)
def test_a_wrong_argument_of_judge_is_refused_before_anything_runs(
    wrong: dict[str, Any], error: type[InvalidCall], match: str, twin: bool
) -> None:
    backend = Recorded(lambda call: prints(""))
    given: dict[str, Any] = {"backend": backend, "code": "", "cases": [("", "")], **wrong}
    with pytest.raises(error, match=match) as caught:
        if twin:
            asyncio.run(ajudge(**given))
        else:
            judge(**given)
    assert len(str(caught.value)) < 1000
    assert not backend.calls


@pytest.mark.parametrize("twin", [False, True])
@pytest.mark.parametrize(("wrong", "error", "match"), WRONG_OF_BOTH + WRONG_OF_CHECK)
def test_a_wrong_argument_of_check_is_refused_before_anything_runs(
    wrong: dict[str, Any], error: type[InvalidCall], match: str, twin: bool
) -> None:
    backend = Recorded(lambda call: prints(""))
    given: dict[str, Any] = {"backend": backend, "code": "", "function_name": "f"}
    given |= {"cases": [([], 1)], **wrong}
    with pytest.raises(error, match=match) as caught:
        if twin:
            asyncio.run(acheck(**given))
        else:
            check(**given)
    assert len(str(caught.value)) < 1000
    assert not backend.calls


def test_a_case_without_what_is_expected_is_refused() -> None:
    with pytest.raises(CallTypeError, match="expected must be given"):
        Case(stdin="a")
    with pytest.raises(CallTypeError, match="files must be"):
        Case(expected="a", files=["a"])  # type: ignore[arg-type]
    assert Case(expected=None).expected is None

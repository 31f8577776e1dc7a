# SPDX-License-Identifier: Apache-2.0
"""`check` over pools: functions, honest and broken."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conftest import MakeBackend
from pinfold import InvalidCall, Limits, LocalBackend, PoolClosed
from pinfold.grading import Case, acheck, check

ADD = "def f(a, b): return a + b"
CASES = [([1, 2], 3), ([0, 0], 0), ([-1, 1], 0)]

ENDS = [
    (ADD, "accepted", ""),
    ("def f(a, b): return 3", "wrong_answer", ""),
    ("def f(a, b): return [a + b]", "wrong_answer", ""),
    ("def f(a, b): return float(a + b)", "wrong_answer", ""),
    ("def f(a, b): return object()", "wrong_answer", "result is an object"),
    ("def f(a, b): return (x for x in ())", "wrong_answer", "result is a generator"),
    ("def f(a, b): 1/0", "runtime_error", "ZeroDivisionError: division by zero"),
    ("def g(a, b): return 3", "runtime_error", "AttributeError: "),
    ("def f(a): return 3", "runtime_error", "TypeError: f() takes 1"),
    ("raise SyntaxError('said so')", "runtime_error", "SyntaxError: said so"),
    ("def f(a, b): return a +", "compile_error", "SyntaxError: "),
    ("def f(a, b):\nreturn a", "compile_error", "IndentationError: "),
    ("x = '\0'", "compile_error", ""),
    ("import sys; sys.exit(0)", "runtime_error", "SystemExit: 0"),
    ("def f(a, b): import os; os._exit(0)", "runtime_error", "the process ended by itself"),
    ("def f(a, b): import os; os.kill(os.getpid(), 9)", "runtime_error", "signal"),
    ("def f(a, b):\n    while True: pass", "time_limit", "the time of 0.4 s passed"),
    ("while True: pass", "time_limit", "the time of 0.4 s passed"),
    ("def f(a, b): return 'x' * 2_000_000", "output_limit", "larger"),
]


@pytest.mark.parametrize(("code", "status", "message"), ENDS, ids=range(len(ENDS)))
def test_a_function_gets_the_verdict_that_it_deserves(
    either: LocalBackend, code: str, status: str, message: str
) -> None:
    limits = Limits(wall_s=0.4 if status == "time_limit" else 60, result_bytes=1_000_000)
    verdict = check(either, code, "f", CASES, limits=limits)
    assert verdict.status == status
    assert verdict.total == len(verdict.cases) == 3
    failed = next((case for case in verdict.cases if case.status != "accepted"), None)
    if status == "accepted":
        assert verdict.accepted
        assert (verdict.passed, failed) == (3, None)
        assert all(case.metrics is not None for case in verdict.cases)
    else:
        assert failed is not None
        assert failed.status == status
        assert message in failed.message
        assert (failed.message != "") is (failed.difference is None)


def test_memory_is_limited(backend: LocalBackend) -> None:
    code = "def f():\n    kept = []\n    while True: kept.append(bytes(1 << 20))"
    verdict = check(backend, code, "f", [([], 1)], limits=Limits(memory_bytes=256 << 20))
    assert verdict.status == "memory_limit"


def test_values_of_many_types_come_back_equal(either: LocalBackend) -> None:
    values = [None, 1, [1, (2.5, {"a": {3}})], b"x" * 100_000, float("nan"), np.arange(10_000.0)]
    verdict = check(either, "def f(x): return x", "f", [([value], value) for value in values])
    assert verdict.accepted, verdict
    wrong = check(either, "def f(x): x[7] += 1; return x", "f", [([values[-1]], values[-1])])
    assert str(wrong.cases[0].difference) == "result[7]: expected 7.0, got 8.0"


def test_cases_may_have_keyword_arguments_and_files(backend: LocalBackend) -> None:
    code = "def f(name, *, times): return open(name).read() * times"
    cases = [
        Case(args=["a"], kwargs={"times": 2}, expected="xx"),
        Case(args=["b"], kwargs={"times": 1}, files={"b": b"yy"}, expected="yy"),
    ]
    # Files are in an empty directory of the call's own, without what the pool's directory holds.
    verdict = check(backend, code, "f", cases, files={"a": "x"})
    assert verdict.accepted, verdict


def test_the_environment_is_the_calls_own(backend: LocalBackend, tmp_path: Path) -> None:
    (tmp_path / "helper.py").write_text("VALUE = 7\n")
    code = "import os, helper\ndef f(): return os.environ['GIVEN'], helper.VALUE"
    cases = [([], ("x", 7))]
    assert check(backend, code, "f", cases, env={"GIVEN": "x"}, python_path=[tmp_path]).accepted


HANG = """
import time
def f(n):
    if n == 0:
        return "wrong"
    time.sleep(3600)
"""


def test_a_failed_case_cancels_the_rest(make_backend: MakeBackend, isolation: str) -> None:
    backend = make_backend(isolation=isolation, max_workers=3)
    cases = [([n], "right") for n in range(50)]
    verdict = check(backend, HANG, "f", cases, limits=Limits(wall_s=3000))
    assert (verdict.status, verdict.passed) == ("wrong_answer", 0)
    assert {case.status for case in verdict.cases[1:]} == {"skipped"}
    stats = idle(backend)
    # Of those that were submitted ahead, none has run to its end.
    assert stats.submitted < 50
    assert stats.outcomes["ok"] == 1
    assert stats.outcomes["cancelled"] == stats.submitted - 1


def idle(backend: LocalBackend) -> Any:
    """Return the statistics when no call runs or waits."""
    until = time.monotonic() + 60
    while True:
        stats = backend.stats()
        if stats.running == stats.queued == stats.ending == 0:
            return stats
        assert time.monotonic() < until, stats
        time.sleep(0.005)


def test_all_cases_are_run_if_asked(either: LocalBackend) -> None:
    code = "def f(n): return n if n % 2 else 1/0"
    verdict = check(either, code, "f", [([n], n) for n in range(20)], stop_early=False)
    assert (verdict.status, verdict.passed, verdict.total) == ("runtime_error", 10, 20)
    assert [case.status for case in verdict.cases] == ["runtime_error", "accepted"] * 10


def test_a_case_that_ends_late_counts_before_one_that_fails_early(
    make_backend: MakeBackend, tmp_path: Path
) -> None:
    code = (
        "import os, time\n"
        "def f(n, failed):\n"
        "    if n:\n"
        "        open(failed, 'w').close()\n"
        "        1/0\n"
        "    while not os.path.exists(failed): time.sleep(0.001)\n"
        "    return n\n"
    )
    cases = [([n, str(tmp_path / "failed")], "never") for n in range(2)]
    verdict = check(make_backend(max_workers=2), code, "f", cases)
    assert [case.status for case in verdict.cases] == ["wrong_answer", "skipped"]


def test_twins_give_the_same_verdict(either: LocalBackend) -> None:
    async def all_of_them() -> list[Any]:
        return await asyncio.gather(*(acheck(either, code, "f", CASES) for code, _, _ in ENDS[:8]))

    verdicts = asyncio.run(all_of_them())
    assert [verdict.status for verdict in verdicts] == [status for _, status, _ in ENDS[:8]]


def test_cancelling_the_task_kills_the_calls(backend: LocalBackend) -> None:
    async def given_up() -> None:
        started = asyncio.Event()
        loop = asyncio.get_running_loop()
        backend.on_start(lambda call, worker: loop.call_soon_threadsafe(started.set))
        cases = [([n], "right") for n in range(1, 20)]
        limits = Limits(wall_s=3000)
        task = asyncio.create_task(acheck(backend, HANG, "f", cases, limits=limits))
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(given_up())
    stats = idle(backend)
    assert stats.outcomes["cancelled"] == stats.submitted > 0


def test_an_exception_of_the_comparison_kills_the_calls(backend: LocalBackend) -> None:
    def own(got: Any, expected: Any) -> bool:
        raise KeyError(got)

    cases = [([n], "right") for n in range(20)]
    with pytest.raises(KeyError, match="wrong"):
        check(backend, HANG, "f", cases, compare=own, limits=Limits(wall_s=3000))
    stats = idle(backend)
    assert stats.outcomes["cancelled"] == stats.submitted - 1


def test_a_value_crosses_as_plain_data_whatever_the_backends_codec(
    make_backend: MakeBackend, tmp_path: Path
) -> None:
    backend = make_backend(codec="pickle")
    mark = tmp_path / "ran"
    code = (
        "class Value:\n"
        f"    def __reduce__(self): return open, ({str(mark)!r}, 'w')\n"
        "def f(): return Value()\n"
    )
    verdict = check(backend, code, "f", [([], 1)])
    assert verdict.status == "wrong_answer"
    assert not mark.exists()


def test_a_busy_machine_is_not_the_candidates_fault(make_backend: MakeBackend) -> None:
    backend = make_backend(preload=["no_such_module_at_all"])
    verdict = check(backend, ADD, "f", CASES)
    assert (verdict.status, verdict.passed) == ("internal", 0)
    assert "no_such_module_at_all" in verdict.cases[0].message


def test_a_backend_that_is_shut_down_is_an_error(backend: LocalBackend) -> None:
    backend.close()
    with pytest.raises(PoolClosed):
        check(backend, ADD, "f", CASES)
    with pytest.raises(PoolClosed):
        asyncio.run(acheck(backend, ADD, "f", CASES))


def test_a_small_queue_is_enough(make_backend: MakeBackend) -> None:
    backend = make_backend(max_workers=1, max_queue=0)
    verdict = check(backend, ADD, "f", [([n, n], 2 * n) for n in range(20)])
    assert verdict.accepted


def test_wrong_arguments_start_nothing(backend: LocalBackend) -> None:
    with pytest.raises(InvalidCall):
        check(backend, ADD, "f", [([1, 2], 3), ([object()], 3)])
    assert backend.stats().submitted == 0

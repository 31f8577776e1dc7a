# SPDX-License-Identifier: Apache-2.0
"""The clocks of a call: the caller's patience, the program's own time, and uncounted time."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from boxes import level_is_there
from conftest import MakeBackend, output_of
from pinfold import (
    CallTimeout,
    ConfigTypeError,
    InvalidConfig,
    Limits,
    LocalBackend,
    QueueFull,
    WorkerCall,
    WorkerError,
    WorkerResult,
)
from programs import HANG, SLEEP, SQUARE, call, square

pytestmark = pytest.mark.extension

MODES = ("fresh", "reuse", "spawn")


KINDS = [pytest.param({"isolation": mode}, id=mode) for mode in MODES] + [
    pytest.param(
        {"isolation": mode, "sandbox": level},
        id=f"{mode}-{level}",
        marks=pytest.mark.skipif(not level_is_there(level), reason="not to be had here"),
    )
    for mode, level in (("fresh", "strict"), ("reuse", "standard"))
]


@pytest.fixture(params=KINDS)
def any_kind(request: pytest.FixtureRequest, make_backend: MakeBackend) -> LocalBackend:
    """Return a backend of two workers, in every isolation and in boxes."""
    return make_backend(**request.param)


@pytest.fixture(params=MODES)
def any_mode(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def error_of(result: WorkerResult) -> WorkerError:
    assert result.error is not None
    return result.error


def outcomes(results: Any) -> Counter[tuple[str, str]]:
    return Counter((program.function_name, result.outcome) for program, result in results)


# ---- the program's own time ----------------------------------------------------------------------


def right_ones_among_loops(right: int, loops: int) -> list[WorkerCall]:
    loop = WorkerCall("def loop():\n    while True:\n        pass\n", "loop")
    calls: list[WorkerCall] = []
    for n in range(loops):
        calls.append(loop)
        calls += [square(each) for each in range(n * right // loops, (n + 1) * right // loops)]
    return calls


@pytest.mark.parametrize("ordered", [False, True])
def test_right_programs_among_endless_loops_are_none_of_them_called_slow_by_map(
    any_kind: LocalBackend, ordered: bool
) -> None:
    calls = right_ones_among_loops(16, 4)  # loops block each worker for twice a call's time
    if ordered:  # in a loop, too

        async def main() -> Any:
            return [pair async for pair in any_kind.map(calls, deadline_s=0.3, ordered=True)]

        got = asyncio.run(main())
        assert [program for program, _ in got] == calls
    else:
        got = list(any_kind.map(calls, deadline_s=0.3))
    assert outcomes(got) == {("f", "ok"): 16, ("loop", "timeout"): 4}
    for _, result in got:
        if result.outcome == "timeout":
            assert error_of(result).phase == "run"
            assert "the time of 0.3 s passed" in error_of(result).message


def test_what_a_call_of_a_map_waits_is_not_its_time(
    any_mode: str, make_backend: MakeBackend
) -> None:
    backend = make_backend(isolation=any_mode)
    naps = [call("import time; time.sleep(0.4); return args[0]", n) for n in range(8)]
    got = list(backend.map(naps, deadline_s=1.2))
    assert sorted(result.value for _, result in got) == list(range(8))


@pytest.mark.parametrize("in_config", [False, True])
def test_a_program_that_takes_longer_than_wall_s_is_a_timeout_with_its_stack(
    any_mode: str, in_config: bool, make_backend: MakeBackend
) -> None:
    limits = Limits(wall_s=0.2)
    backend = make_backend(isolation=any_mode, limits=limits if in_config else Limits())
    hang = HANG if in_config else WorkerCall(HANG.code, "f", limits=limits)
    result = backend.submit(hang, deadline_s=60).result(timeout=60)
    assert result.outcome == "timeout"
    assert (error_of(result).phase, result.metrics is None) == ("run", False)
    assert "'f': the time of 0.2 s passed" in error_of(result).message
    assert result.metrics is not None
    assert result.metrics.wall_time_s >= 0.2
    for _ in range(100):
        with pytest.raises(CallTimeout) as caught:
            asyncio.run(backend.execute(hang))
        if caught.value.stack:  # on a busy machine the kill does not wait for it
            break
    assert "in f" in caught.value.stack
    assert backend.submit(SQUARE, deadline_s=60).result(timeout=60).value == 49


def test_the_sooner_of_a_map_s_time_and_a_call_s_own_counts(backend: LocalBackend) -> None:
    own = WorkerCall(HANG.code, "f", limits=Limits(wall_s=0.1))
    longer = WorkerCall(HANG.code, "f", limits=Limits(wall_s=3600))
    told = [
        error_of(result).message
        for program, deadline_s in ((own, 3600), (own, None), (longer, 0.2), (HANG, 0.2))
        for _, result in backend.map([program], deadline_s=deadline_s)
    ]
    assert [text.rpartition(":")[2] for text in told] == [
        " the time of 0.1 s passed",
        " the time of 0.1 s passed",
        " the time of 0.2 s passed",
        " the time of 0.2 s passed",
    ]


@pytest.mark.parametrize("wall_s", [0, -1, -0.0, float("nan"), 10**400])
def test_a_time_that_is_none_is_refused_by_name(wall_s: Any) -> None:
    with pytest.raises(InvalidConfig, match="wall_s"):
        Limits(wall_s=wall_s)


@pytest.mark.parametrize("wall_s", ["1", True, 1j, [1]])
def test_a_time_that_is_no_number_is_refused_by_name(wall_s: Any) -> None:
    with pytest.raises(ConfigTypeError, match="wall_s"):
        Limits(wall_s=wall_s)


def test_a_time_without_end_is_no_bound() -> None:
    assert Limits(wall_s=float("inf")).wall_ns == Limits().wall_ns == 0
    assert Limits(wall_s=1e-12).wall_ns == 1
    assert Limits(wall_s=2.5).wall_ns == 2_500_000_000


# ---- what a call did until then ------------------------------------------------------------------


def test_a_timeout_tells_whether_the_call_waited_or_ran(
    any_mode: str, make_backend: MakeBackend
) -> None:
    backend = make_backend(isolation=any_mode, max_workers=1)
    assert backend.submit(SQUARE).result(timeout=60).value == 49
    begun = threading.Event()
    backend.on_start(lambda call, worker: begun.set())
    running = backend.submit(SLEEP)
    assert begun.wait(60)
    waiting = backend.submit(SQUARE, deadline_s=0.1).result(timeout=60)
    assert (waiting.outcome, error_of(waiting).phase) == ("timeout", "queue")
    assert "the deadline of 0.1 s passed before a worker was free" in error_of(waiting).message
    running.cancel()
    late = backend.submit(call("while True: pass"), deadline_s=1).result(timeout=60)
    assert (late.outcome, error_of(late).phase) == ("timeout", "run")
    assert error_of(late).message.endswith("the deadline of 1 s passed")


def test_a_call_whose_worker_is_still_loading_times_out_at_its_start(
    make_backend: MakeBackend,
) -> None:
    setup = "import time\ntime.sleep(1)\n"
    backend = make_backend(isolation="spawn", max_workers=1, setup=setup, max_calls_per_worker=1)
    assert backend.submit(SQUARE).result(timeout=60).value == 49
    result = backend.submit(SQUARE, deadline_s=0.2).result(timeout=60)
    assert (result.outcome, error_of(result).phase) == ("timeout", "start")
    assert "before a worker had begun it" in error_of(result).message


def test_a_call_that_its_worker_has_not_begun_is_at_its_start(make_backend: MakeBackend) -> None:
    backend = make_backend(isolation="reuse", max_workers=1)
    metrics = backend.submit(SQUARE).result(timeout=60).metrics
    assert metrics is not None
    os.kill(metrics.worker_pid, signal.SIGSTOP)
    result = backend.submit(SQUARE, deadline_s=0.2).result(timeout=60)
    assert (result.outcome, error_of(result).phase) == ("timeout", "start")
    assert "before a worker had begun it" in error_of(result).message


def test_every_error_has_its_phase(make_backend: MakeBackend) -> None:
    backend = make_backend(max_workers=1)
    ends = {
        "exception": call("1/0"),
        "exited": call("import os; os._exit(3)"),
        "signalled": call("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)"),
        "bad_result": call("return object()"),
        "output_limit": call("return b'x' * 5000", limits=Limits(result_bytes=1000)),
        "cpu_limit": call("while True: pass", limits=Limits(cpu_s=0.05)),
    }
    for outcome, program in ends.items():
        result = backend.submit(program, deadline_s=60).result(timeout=60)
        assert (result.outcome, error_of(result).phase) == (outcome, "run")
    assert WorkerError("").phase == ""

    refusing = make_backend(preload=["no_such_module"])
    result = refusing.submit(SQUARE).result(timeout=60)
    assert (result.outcome, error_of(result).phase) == ("internal", "start")


@pytest.mark.parametrize(
    ("code", "phase"),
    [
        ("def f(:", "compile"),
        ("\tx\n  y", "compile"),
        ("\0", "compile"),
        ("x = '\udc80'", "compile"),
        ("(" * 1000, "compile"),
        ("def f(): exec('1 +')", "run"),
        ("raise SyntaxError('said so')", "run"),
        ("def f(): raise SyntaxError('said so')", "run"),
        ("raise IndentationError", "run"),
        ("g = 1", "run"),
    ],
)
def test_a_source_that_does_not_compile_has_a_phase_of_its_own(
    either: LocalBackend, code: str, phase: str
) -> None:
    for _ in range(2):
        result = either.submit(WorkerCall(code, "f")).result()
        assert (result.outcome, error_of(result).phase) == ("exception", phase)


# ---- nobody's time -------------------------------------------------------------------------------


def test_the_time_in_which_a_pool_opens_is_nobodys(
    any_mode: str, make_backend: MakeBackend
) -> None:
    backend = make_backend(isolation=any_mode, setup="import time\ntime.sleep(0.9)\n")
    first = [backend.submit(square(n), deadline_s=0.7) for n in range(2)]
    assert [each.result(timeout=60).unwrap() for each in first] == [0, 1]

    # The pool opens again after the death of its template.
    before = backend.stats()
    os.kill(before.template_pid, signal.SIGKILL)
    while backend.stats().template_pid == before.template_pid:
        time.sleep(0.001)
    assert backend.submit(SQUARE, deadline_s=0.7).result(timeout=60).unwrap() == 49


def test_what_a_first_call_imports_is_not_its_time(tmp_path: Path) -> None:
    script = """
import sys
from pinfold import LocalBackend, WorkerCall, WorkerConfig

backend = LocalBackend(WorkerConfig(max_workers=1, spill_dir=sys.argv[1], setup=sys.argv[2]))
real = backend._engine.prepare

def prepare():  # takes as long as it may on a busy machine
    import time
    time.sleep(0.6)
    real()

backend._engine.prepare = prepare
print(backend.submit(WorkerCall("def f(): return 1", "f"), deadline_s=0.5).result().outcome)
backend.close()
"""
    assert output_of(script, tmp_path / "spills", "") == "ok\n"


# ---- how many calls may be under way -------------------------------------------------------------


@pytest.mark.parametrize("max_queue", [0, 1])
def test_who_has_no_more_calls_under_way_than_there_may_be_is_never_refused(
    max_queue: int, any_mode: str, make_backend: MakeBackend
) -> None:
    backend = make_backend(isolation=any_mode, max_workers=2, max_queue=max_queue)

    async def client(numbers: range) -> list[int]:
        return [await backend.execute(square(n), deadline_s=60) for n in numbers]

    async def main() -> list[list[int]]:
        each = [range(10 * n, 10 * n + 10) for n in range(2 + max_queue)]
        return await asyncio.gather(*map(client, each))

    got = asyncio.run(main())
    assert sorted(value for values in got for value in values) == [
        n * n for n in range(10 * (2 + max_queue))
    ]

    held = [backend.submit(SLEEP) for _ in range(2 + max_queue)]
    with pytest.raises(QueueFull, match=f"{max_queue} calls"):
        backend.submit(SQUARE)
    assert held.pop().cancel()
    assert held.pop().cancel()
    assert backend.submit(SQUARE, deadline_s=60).result(timeout=60).value == 49
    for each in held:
        each.cancel()

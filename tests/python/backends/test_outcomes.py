# SPDX-License-Identifier: Apache-2.0
"""How calls and programs end, through every method, on every backend."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from pinfold import (
    BadResult,
    CallTimeout,
    CallTypeError,
    CpuLimitExceeded,
    ExecRunnerError,
    InvalidCall,
    LimitExceeded,
    Limits,
    MemoryLimitExceeded,
    OutputLimitExceeded,
    PoolClosed,
    ProgramCall,
    WorkerCall,
    WorkerCrashed,
    WorkerExited,
)
from programs import call

SPIN = "while True:\n    pass\n"
EAT = "x = []\nwhile True:\n    x.append(bytes(1 << 20))\n"

# The outcome, the class of the error, the exit status, a function's body, a program.
ENDS: list[tuple[str, type[ExecRunnerError], int, str, str, Limits]] = [
    ("exception", ExecRunnerError, 1, "raise ValueError('boom')", "1/0", Limits()),
    ("exception", ExecRunnerError, 1, "return (", "print(", Limits()),
    ("exited", WorkerExited, 3, "import os; os._exit(3)", "import sys; sys.exit(3)", Limits()),
    ("exited", WorkerExited, 4, "import os; os._exit(4)", "import os; os._exit(4)", Limits()),
    *(
        (
            "signalled",
            WorkerCrashed,
            -number,
            f"import os; os.kill(os.getpid(), {number})",
            f"import os; os.kill(os.getpid(), {number})",
            Limits(),
        )
        for number in (9, 11)
    ),
    ("timeout", CallTimeout, 1, SPIN, SPIN, Limits(wall_s=0.3)),
    ("cpu_limit", CpuLimitExceeded, 1, SPIN, SPIN, Limits(cpu_s=0.2)),
    ("memory_limit", MemoryLimitExceeded, 1, EAT, EAT, Limits(memory_bytes=256 << 20)),
    (
        "output_limit",
        OutputLimitExceeded,
        1,
        "while True: print('x' * 1000)",
        "while True: print('x' * 1000)",
        Limits(printed_bytes=100_000),
    ),
]


@pytest.mark.parametrize("kind", ["function", "program"])
@pytest.mark.parametrize(
    ("outcome", "error", "status", "body", "program", "limits"),
    ENDS,
    ids=[f"{row[0]}-{n}" for n, row in enumerate(ENDS)],
)
def test_a_call_ends_with_its_outcome(
    any_backend: Any,
    outcome: str,
    error: type[ExecRunnerError],
    status: int,
    body: str,
    program: str,
    limits: Limits,
    kind: str,
) -> None:
    asked: Any = ProgramCall(program, limits=limits)
    if kind == "function":
        asked = call(body, limits=limits)
    result = any_backend.submit(asked).result(timeout=60)
    assert (result.outcome, result.ok, result.value) == (outcome, False, None)
    assert result.error is not None
    assert result.error.returncode == result.returncode
    if outcome != "memory_limit":
        assert result.returncode == status
    assert result.metrics is not None
    with pytest.raises(error) as caught:
        asyncio.run(any_backend.execute(asked))
    assert type(caught.value) is error
    assert caught.value.result is not None
    assert caught.value.result.outcome == outcome


def test_a_value_comes_back_by_every_method(any_backend: Any) -> None:
    asked = call("return [args[0], args[0].sum()]", np.arange(1000.0))

    async def ways() -> None:
        value = await any_backend.execute(asked)
        assert value[0].tolist() == list(range(1000))
        assert (await any_backend.run(asked)).value[1] == 499500.0
        async for each, result in any_backend.map([asked]):
            assert each is asked
            assert result.value[1] == 499500.0

    asyncio.run(ways())
    assert any_backend.submit(asked).result().unwrap()[1] == 499500.0
    assert [result.ok for _, result in any_backend.map([asked] * 20)] == [True] * 20


def test_a_value_that_is_not_carried_is_a_bad_result(any_backend: Any) -> None:
    with pytest.raises(BadResult, match=r"result\['best'\]\[1\] is a"):
        asyncio.run(any_backend.execute(call("return {'best': [0, object()]}")))
    with pytest.raises(InvalidCall, match=r"args\[0\] is an object"):
        any_backend.submit(call("pass", object()))


def test_a_result_that_is_too_large_is_refused(any_backend: Any) -> None:
    asked = call("return b'x' * 5000", limits=Limits(result_bytes=1000))
    with pytest.raises(LimitExceeded):
        asyncio.run(any_backend.execute(asked))


def test_what_is_printed_comes_back_as_text_and_bytes(any_backend: Any) -> None:
    body = "import os; os.write(1, b'out\\xff'); os.write(2, b'err'); print('more')"
    for asked in (call(body), ProgramCall(body)):
        result = any_backend.submit(asked).result()
        assert result.outcome == "ok"
        assert result.stdout_bytes == b"out\xffmore\n"
        assert (result.stdout, result.stderr_bytes) == ("out\\xffmore\n", b"err")


def test_a_deadline_counts_from_the_submit(any_backend: Any) -> None:
    result = any_backend.submit(call(SPIN), deadline_s=0.3).result(timeout=60)
    assert (result.outcome, result.error.phase) == ("timeout", "run")
    result = any_backend.submit(call("return 1"), deadline_s=0).result(timeout=60)
    assert result.outcome == "timeout"


def test_a_cancelled_call_is_killed_and_others_go_on(any_backend: Any) -> None:
    futures = [any_backend.submit(call(SPIN)) for _ in range(2)]
    waiting = any_backend.submit(call("return 7"))
    assert not waiting.done()
    for future in futures:
        assert future.cancel()
        assert future.cancelled()
    assert waiting.result(timeout=60).value == 7

    async def given_up() -> None:
        task = asyncio.create_task(any_backend.execute(call(SPIN)))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await any_backend.execute(call("return 8")) == 8

    asyncio.run(given_up())


def test_only_a_call_can_be_submitted(any_backend: Any) -> None:
    for wrong in ("print()", None, 5):
        with pytest.raises(CallTypeError):
            any_backend.submit(wrong)
    for deadline in (-1, float("nan")):
        with pytest.raises(InvalidCall):
            any_backend.submit(call("pass"), deadline_s=deadline)


def test_a_backend_that_is_shut_down_takes_no_calls(open_backend: Callable[..., Any]) -> None:
    backend = open_backend()
    assert backend.submit(call("return 1")).result().value == 1
    asyncio.run(backend.shutdown(wait=True))
    with pytest.raises(PoolClosed):
        backend.submit(call("return 1"))


def test_handlers_hear_of_every_call_once(any_backend: Any) -> None:
    heard: list[tuple[str, str]] = []
    any_backend.on_submit(lambda call: heard.append(("submit", call.code)))
    any_backend.on_complete(
        lambda call, metrics, exc: heard.append((type(exc).__name__, call.code))
    )
    calls = [ProgramCall("1/0"), ProgramCall("print(1)"), WorkerCall("def f(): return 2", "f")]
    for each in calls:
        any_backend.submit(each).result(timeout=60)
    for each, kind in zip(calls, ("ExecRunnerError", "NoneType", "NoneType"), strict=True):
        assert [name for name, code in heard if code == each.code] == ["submit", kind]


def test_calls_leave_nothing_to_the_next_one(open_backend: Callable[..., Any]) -> None:
    for isolation in ("fresh", "reuse"):
        backend = open_backend(isolation=isolation, max_workers=1)
        leave = "import builtins, os; builtins.left = 1; os.environ['LEFT'] = '1'"
        look = "import builtins, os; print(hasattr(builtins, 'left'), 'LEFT' in os.environ)"
        assert backend.submit(ProgramCall(leave)).result().ok
        assert backend.submit(ProgramCall(look)).result().stdout == "False False\n"
        assert backend.submit(call(leave)).result().ok
        assert backend.submit(ProgramCall(look)).result().stdout == "False False\n"


def test_statistics_count_what_ended(any_backend: Any) -> None:
    for asked in (call("return 1"), call("1/0"), ProgramCall("")):
        any_backend.submit(asked).result()
    outcomes = any_backend.stats()["outcomes"]
    assert (outcomes["ok"], outcomes["exception"]) == (2, 1)

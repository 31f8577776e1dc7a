# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import asyncio
import builtins
import copy
import pickle

import pytest

import pinfold
from pinfold import (
    BadResult,
    CallTimeout,
    CpuLimitExceeded,
    ExecRunnerError,
    InvalidCall,
    InvalidConfig,
    LimitExceeded,
    MemoryLimitExceeded,
    OutputLimitExceeded,
    PinfoldError,
    PoolClosed,
    PoolError,
    QueueFull,
    WorkerCrashed,
    WorkerError,
    WorkerExited,
    WorkerLost,
    WorkerResult,
    errors,
)

RESULT = WorkerResult("exception", error=WorkerError("text"))
ERRORS = [
    ExecRunnerError(1, "boom", result=RESULT),
    WorkerExited(3, "", result=RESULT),
    WorkerCrashed(-11, "died", stack='File "x"', result=RESULT),
    CpuLimitExceeded(-9, "cpu", result=RESULT),
    BadResult(1, "a Node", result=RESULT),
    CallTimeout("too late", stack='File "x"', result=RESULT),
    WorkerLost("lost", result=RESULT),
    PoolError("no disk", result=RESULT),
    InvalidConfig("max_workers"),
]


def test_all_errors_derive_from_one() -> None:
    for name in errors.__all__:
        assert issubclass(getattr(pinfold, name), PinfoldError)


def test_what_the_candidate_brought_about_is_an_exec_runner_error() -> None:
    for error in (WorkerExited, WorkerCrashed, LimitExceeded, BadResult):
        assert issubclass(error, ExecRunnerError)
    for other in (CallTimeout, WorkerLost, PoolError, InvalidCall, InvalidConfig):
        assert not issubclass(other, ExecRunnerError)
    for limit in (CpuLimitExceeded, MemoryLimitExceeded, OutputLimitExceeded):
        assert issubclass(limit, LimitExceeded)
    for refusal in (PoolClosed, QueueFull):
        assert issubclass(refusal, PoolError)


def test_a_timeout_is_every_timeout_error() -> None:
    assert issubclass(CallTimeout, builtins.TimeoutError)
    assert issubclass(CallTimeout, asyncio.TimeoutError)


def test_an_exec_runner_error_says_all_of_stderr() -> None:
    text = "x" * 100_000 + "\nValueError: \udc80 end"
    assert str(ExecRunnerError(7, text)) == f"exec_runner failed (exit=7): {text}"
    empty = ExecRunnerError(returncode=1, stderr="")
    assert str(empty) == "exec_runner failed (exit=1): (no stderr)"


def test_a_timeout_shows_where_the_candidate_stood() -> None:
    error = CallTimeout("too late", stack='  File "user_code.py", line 3 in f\n')
    assert str(error) == 'too late\n  File "user_code.py", line 3 in f'
    assert str(CallTimeout("too late")) == "too late"
    assert str(CallTimeout()) == ""


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_errors_survive_pickling_and_copying(error: PinfoldError) -> None:
    for other in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
        assert type(other) is type(error)
        assert str(other) == str(error)
        assert vars(other) == vars(error)

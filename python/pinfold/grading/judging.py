# SPDX-License-Identifier: Apache-2.0
"""`judge` and `check`: run a candidate on its cases, and compare in this process.

Expected values and the comparison stay here. A candidate gets the input of one case at a time, in
a worker; what it prints or returns comes back as bytes or plain data. Whatever else it does there
can make it fail, but not pass.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pinfold.grading import prepare
from pinfold.grading.case import AnyCase
from pinfold.grading.comparison import Compare
from pinfold.grading.run import Backend
from pinfold.grading.verdict import Verdict
from pinfold.limits import Limits


def judge(
    backend: Backend,
    code: str,
    cases: Iterable[AnyCase],
    *,
    limits: Limits | None = None,
    compare: Compare = "tokens",
    stop_early: bool = True,
    files: Mapping[str, Any] | None = None,
    env: Mapping[str, str | None] | None = None,
    python_path: Sequence[str | os.PathLike[str]] = (),
) -> Verdict:
    """Judge a program by what it prints: run it on each case and compare its stdout.

    A case is accepted if the program ends with exit status 0, and its stdout is the expected one.

    Args:
        backend: runs the calls, such as a `LocalBackend`. Use ``isolation="fresh"``, the default,
            and a sandbox (docs/grading.md).
        code: the program's source.
        cases: pairs of a stdin and an expected stdout, or `Case` objects. Each is bytes, a
            contiguous buffer or text. There must be at least one.
        limits: bounds on each case. None: as the backend is configured. `Limits.wall_s` is the time
            of a case; if it is None, 10 s. `Limits.output_bytes` is raised to hold
            twice the expected output; a program that prints more than it holds cannot be accepted.
            `Limits.printed_bytes`, if it is None, is at least 64 MiB.
        compare: ``"tokens"``, ``"lines"`` or ``"exact"`` (`difference`), or a callable
            ``compare(got, expected)`` that returns True for a good output. It runs in this process.
            `got` is bytes if `expected` is, else text, in which bytes that are no UTF-8 are escaped
            with backslashes.
        stop_early: end at the first case, in their order, that is not accepted. The others are
            cancelled, and their processes killed.
        files, env, python_path: as in `ProgramCall`, for every case.

    Raises:
        InvalidCall, CallTypeError: an argument is wrong; nothing was run.
        PoolClosed: the backend is shut down.
        asyncio.CancelledError: the backend was closed meanwhile.
        Exception: whatever the callable `compare` raised.
    """
    return prepare.programs(
        backend, code, cases, limits, compare, stop_early, files, env, python_path
    ).in_thread()


async def ajudge(
    backend: Backend,
    code: str,
    cases: Iterable[AnyCase],
    *,
    limits: Limits | None = None,
    compare: Compare = "tokens",
    stop_early: bool = True,
    files: Mapping[str, Any] | None = None,
    env: Mapping[str, str | None] | None = None,
    python_path: Sequence[str | os.PathLike[str]] = (),
) -> Verdict:
    """Judge a program as `judge` does, in an event loop.

    Cancelling the task that awaits it kills the candidate's processes.
    """
    return await prepare.programs(
        backend, code, cases, limits, compare, stop_early, files, env, python_path
    ).in_loop()


def check(
    backend: Backend,
    code: str,
    function_name: str,
    cases: Iterable[AnyCase],
    *,
    limits: Limits | None = None,
    compare: Compare = "equal",
    stop_early: bool = True,
    files: Mapping[str, Any] | None = None,
    env: Mapping[str, str | None] | None = None,
    python_path: Sequence[str | os.PathLike[str]] = (),
) -> Verdict:
    """Check a function by what it returns: call it on each case and compare the value.

    A value crosses by the codec ``data``, whatever the backend's is, so that reading it runs no
    code. What that codec does not carry is a wrong answer.

    Args:
        backend: as for `judge`.
        code: the source.
        function_name: the function to call, as `WorkerCall.function_name`.
        cases: pairs of a list of arguments and an expected value, or `Case` objects. There must be
            at least one.
        limits: bounds on each case, as for `judge`. `Limits.result_bytes`, if it is None, is at
            least 64 MiB, and more for a larger expected value.
        compare: ``"equal"``, ``"close"`` (`difference`), or a callable ``compare(got, expected)``
            that returns True for a good value. It runs in this process.
        stop_early: as for `judge`.
        files, env, python_path: as in `WorkerCall`, for every case.

    Raises:
        InvalidCall, CallTypeError: an argument is wrong, or the codec does not carry an argument of
            a case or what is expected of it; nothing was run.
        PoolClosed, asyncio.CancelledError, Exception: as for `judge`.
    """
    return prepare.functions(
        backend, code, function_name, cases, limits, compare, stop_early, files, env, python_path
    ).in_thread()


async def acheck(
    backend: Backend,
    code: str,
    function_name: str,
    cases: Iterable[AnyCase],
    *,
    limits: Limits | None = None,
    compare: Compare = "equal",
    stop_early: bool = True,
    files: Mapping[str, Any] | None = None,
    env: Mapping[str, str | None] | None = None,
    python_path: Sequence[str | os.PathLike[str]] = (),
) -> Verdict:
    """Check a function as `check` does, in an event loop.

    Cancelling the task that awaits it kills the candidate's processes.
    """
    return await prepare.functions(
        backend, code, function_name, cases, limits, compare, stop_early, files, env, python_path
    ).in_loop()

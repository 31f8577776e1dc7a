# SPDX-License-Identifier: Apache-2.0
"""The run of a candidate, made from the arguments of `judge` and `check`.

Everything is checked here, before the first call is submitted.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from pinfold import codec
from pinfold._common.check import Check
from pinfold.call import Call, ProgramCall, WorkerCall
from pinfold.errors import CallTypeError, InvalidCall
from pinfold.grading import comparison
from pinfold.grading.case import AnyCase, cases_of
from pinfold.grading.comparison import TEXTS, VALUES, Compare
from pinfold.grading.grade import grade_function, grade_program
from pinfold.grading.run import Backend, Run
from pinfold.grading.verdict import CaseResult, Difference
from pinfold.limits import Limits
from pinfold.result import WorkerResult

DEFAULT_WALL_S = 10.0
"""The time of a case in seconds, if neither the limits given nor the backend's bound it."""

_PRINTED = 64 << 20  # the most that a program prints, unless limits say otherwise
_ROOM = 64 << 10  # that an output has beyond twice the size of the expected one
_VALUE = 64 << 20  # the size of a value, unless limits say otherwise
_WIDENED = 32  # a value takes up to so many times the size of its encoding

Differ = Callable[[WorkerResult], Difference | None]


def programs(
    backend: Backend,
    code: str,
    cases: Iterable[AnyCase],
    limits: Limits | None,
    compare: Compare,
    stop_early: bool,
    files: Mapping[str, Any] | None,
    env: Mapping[str, str | None] | None,
    python_path: Sequence[str | os.PathLike[str]],
) -> Run:
    """Return the run of a program."""
    check = Check("judge", InvalidCall, CallTypeError)
    bounds = _bounds(check, backend, limits, stop_early, files)
    comparison.check_how("compare", compare, tuple(TEXTS))
    calls: list[Call] = []
    differs: list[Differ] = []
    for case in cases_of(cases, "judge", "stdin"):
        differ, size = _of_output(compare, case.expected)
        calls.append(
            ProgramCall(
                code,
                case.argv,
                case.stdin,
                {**(files or {}), **case.files},
                python_path=python_path,
                env=env or {},
                limits=_with_room(bounds, size),
            )
        )
        differs.append(differ)
    return _run(backend, calls, grade_program, differs, stop_early)


def functions(
    backend: Backend,
    code: str,
    function_name: str,
    cases: Iterable[AnyCase],
    limits: Limits | None,
    compare: Compare,
    stop_early: bool,
    files: Mapping[str, Any] | None,
    env: Mapping[str, str | None] | None,
    python_path: Sequence[str | os.PathLike[str]],
) -> Run:
    """Return the run of a function."""
    check = Check("check", InvalidCall, CallTypeError)
    bounds = _bounds(check, backend, limits, stop_early, files)
    comparison.check_how("compare", compare, tuple(VALUES))
    calls: list[Call] = []
    differs: list[Differ] = []
    for number, case in enumerate(cases_of(cases, "check", "args")):
        differ, size = _of_value(compare, case.expected, f"cases[{number}].expected")
        room = max(_VALUE, _WIDENED * size)
        call = WorkerCall(
            code,
            function_name,
            case.args,
            case.kwargs,
            python_path,
            env or {},
            "data",
            bounds if bounds.result_bytes else replace(bounds, result_bytes=room),
            {**(files or {}), **case.files},
        )
        _check_carried(call, number)
        calls.append(call)
        differs.append(differ)
    return _run(backend, calls, grade_function, differs, stop_early)


def _run(
    backend: Backend,
    calls: list[Call],
    grade: Callable[[WorkerResult, Differ], CaseResult],
    differs: list[Differ],
    stop_early: bool,
) -> Run:
    def grade_case(number: int, result: WorkerResult) -> CaseResult:
        return grade(result, differs[number])

    return Run(backend, calls, grade_case, stop_early=stop_early)


def _bounds(
    check: Check, backend: Backend, limits: Limits | None, stop_early: object, files: object
) -> Limits:
    """Check what all cases have in common. Return their limits."""
    if not callable(getattr(backend, "map", None)):
        check.wrong_type("backend", backend, "a backend")
    if limits is not None and not isinstance(limits, Limits):
        check.wrong_type("limits", limits, "a Limits or None")
    check.flag("stop_early", stop_early)
    if files is not None and not isinstance(files, Mapping):
        check.wrong_type("files", files, "a dict of names and contents")
    if limits is None:
        limits = getattr(getattr(backend, "config", None), "limits", None) or Limits()
    return limits if limits.wall_s is not None else replace(limits, wall_s=DEFAULT_WALL_S)


def _with_room(limits: Limits, expected: int) -> Limits:
    """Return the limits of a program whose expected output has this size."""
    kept = max(limits.output_bytes, 2 * expected + _ROOM if expected else 0)
    printed = limits.printed_bytes or max(_PRINTED, kept)
    return replace(limits, output_bytes=kept, printed_bytes=printed)


def _of_output(compare: Compare, expected: object) -> tuple[Differ, int]:
    """Return the comparison with an expected output, and its size."""
    if callable(compare):
        own = compare
        is_bytes = isinstance(expected, bytes | bytearray | memoryview)

        def ask(result: WorkerResult) -> Difference | None:
            got = result.stdout_bytes if is_bytes else result.stdout
            return comparison.of_callable(own, got, expected)

        return ask, len(expected) if isinstance(expected, str | bytes) else 0
    text = comparison.as_bytes("expected", expected)
    return partial(_differ_output, comparison.TEXTS[compare], text), len(text)


def _differ_output(
    differ: Callable[[bytes, bytes], Difference | None], expected: bytes, result: WorkerResult
) -> Difference | None:
    return differ(result.stdout_bytes, expected)


def _of_value(compare: Compare, expected: object, name: str) -> tuple[Differ, int]:
    """Return the comparison with an expected value, and the size of its encoding."""
    if callable(compare):
        own = compare
        return lambda result: comparison.of_callable(own, result.value, expected), 0
    carried, size = comparison.as_carried(name, expected)
    differ = comparison.VALUES[compare]
    return lambda result: differ(result.value, carried), size


def _check_carried(call: WorkerCall, number: int) -> None:
    """Refuse arguments that the codec does not carry, before any case has run."""
    try:
        codec.encode([call.args, dict(call.kwargs)], "data", f"cases[{number}]")
    except codec.NotCarried as error:
        raise InvalidCall(f"check: {error}") from error

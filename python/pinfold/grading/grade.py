# SPDX-License-Identifier: Apache-2.0
"""From the result of a call to that of a case."""

from __future__ import annotations

from collections.abc import Callable

from pinfold.grading.shown import cut
from pinfold.grading.verdict import CaseResult, Difference, Status
from pinfold.result import WorkerError, WorkerResult

_MESSAGE = 500  # characters

# Outcomes without a value, but `exception`, `timeout` and `bad_result`.
_STATUSES: dict[str, Status] = {
    "exited": "runtime_error",
    "signalled": "runtime_error",
    "cpu_limit": "time_limit",
    "memory_limit": "memory_limit",
    "output_limit": "output_limit",
    "lost": "internal",
    "internal": "internal",
}


def grade_program(
    result: WorkerResult, differ: Callable[[WorkerResult], Difference | None]
) -> CaseResult:
    """Grade a program by its stdout."""
    if result.outcome == "ok" and result.stdout_truncated:
        message = "the program printed more than is kept (Limits.output_bytes)"
        return CaseResult("output_limit", result.metrics, None, message)
    return _grade(result, differ, "runtime_error")


def grade_function(
    result: WorkerResult, differ: Callable[[WorkerResult], Difference | None]
) -> CaseResult:
    """Grade a function by its value. A value that is not carried is a wrong one."""
    return _grade(result, differ, "wrong_answer")


def _grade(
    result: WorkerResult,
    differ: Callable[[WorkerResult], Difference | None],
    not_carried: Status,
) -> CaseResult:
    if result.outcome == "ok":
        different = differ(result)
        status: Status = "accepted" if different is None else "wrong_answer"
        return CaseResult(status, result.metrics, different)
    error = result.error or WorkerError(result.outcome)
    status = not_carried if result.outcome == "bad_result" else _status(result.outcome, error)
    return CaseResult(status, result.metrics, None, _message(result.outcome, error), error.line)


def _status(outcome: str, error: WorkerError) -> Status:
    if outcome == "exception":
        return "compile_error" if error.phase == "compile" else "runtime_error"
    if outcome == "timeout":  # else a busy machine would be the candidate's fault
        return "time_limit" if error.phase in ("compile", "run") else "internal"
    return _STATUSES[outcome]


def _message(outcome: str, error: WorkerError) -> str:
    text = error.message
    if outcome == "exception" and error.type:
        text = f"{error.type}: {text}" if text else error.type
    if not text and outcome == "exited":
        text = f"exit status {error.returncode}"
    return cut(text or outcome, _MESSAGE)

# SPDX-License-Identifier: Apache-2.0
"""What a grader reports: the verdict, and each case's part of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pinfold.result import ExecutionMetrics

Status = Literal[
    "accepted",
    "wrong_answer",
    "time_limit",
    "memory_limit",
    "output_limit",
    "runtime_error",
    "compile_error",
    "internal",
    "skipped",
]

STATUSES: tuple[Status, ...] = Status.__args__  # type: ignore[attr-defined]
"""Every status. A verdict has any of them but ``skipped``."""


@dataclass(frozen=True, slots=True)
class Difference:
    """The first place at which a result is not the expected one.

    Attributes:
        position: such as ``"token 7"``, ``"line 3"`` or ``"result[2]['x']"``; "" for a comparison
            of the caller's own.
        expected, got: descriptions of what is there, of at most 200 characters each.
    """

    position: str
    expected: str
    got: str

    def __str__(self) -> str:
        at = f"{self.position}: " if self.position else ""
        return f"{at}expected {self.expected}, got {self.got}"


@dataclass(frozen=True, slots=True)
class CaseResult:
    """How one case ended.

    Attributes:
        status: ``"skipped"`` if an earlier case had failed (``stop_early``), else one of the
            statuses of a verdict.
        metrics: what the call used; None if it was skipped, or reached no worker.
        difference: what differed first; only for ``wrong_answer``, and None there if the function
            returned what no codec carries.
        message: why the case failed, at most 500 characters; "" if it did not, and if `difference`
            has the reason. It may quote what the candidate wrote.
        line: the line of the source at which it failed, from 1, or None.
    """

    status: Status
    metrics: ExecutionMetrics | None = None
    difference: Difference | None = None
    message: str = ""
    line: int | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """The verdict on one candidate.

    Attributes:
        status: ``"accepted"`` if every case was, else the status of the first case, in their order,
            that was not. ``"internal"`` is never the candidate's fault: grade it again.
        passed: the number of cases that were accepted. With ``stop_early``, those before the first
            that was not.
        total: the number of all cases.
        cases: the cases' results, in their order.
    """

    status: Status
    passed: int
    total: int
    cases: tuple[CaseResult, ...]

    @property
    def accepted(self) -> bool:
        """Whether every case was accepted."""
        return self.status == "accepted"

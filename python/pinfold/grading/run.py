# SPDX-License-Identifier: Apache-2.0
"""The run of one candidate: its calls through a backend, until the verdict is certain."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Protocol

from pinfold.call import Call
from pinfold.grading.verdict import CaseResult, Status, Verdict
from pinfold.result import WorkerResult


class Backend(Protocol):
    """What a grader needs of a backend, as `LocalBackend.map` has it."""

    def map(self, calls: Iterable[Call]) -> Any:
        """Return an iterable and asynchronous iterable of pairs of a call and its result, in any
        order. Its iterators are generators, and cancel the calls in flight when they are closed."""
        ...


Grade = Callable[[int, WorkerResult], CaseResult]
"""Grades the result of the case with this number."""


class Run:
    """The cases of one candidate.

    The verdict does not depend on the order in which calls end: with `stop_early`, all cases before
    the first failed one are run to their end, and those after it count as skipped, also if they
    have ended.
    """

    def __init__(
        self, backend: Backend, calls: Sequence[Call], grade: Grade, *, stop_early: bool
    ) -> None:
        self._backend = backend
        self._calls = calls
        self._grade = grade
        self._stop_early = stop_early
        self._numbers = {id(call): number for number, call in enumerate(calls)}
        self._results: list[CaseResult | None] = [None] * len(calls)
        self._settled = 0  # all cases before this one have ended
        self._end = len(calls)  # no case from here on is run

    def in_thread(self) -> Verdict:
        """Run the cases, and wait for them."""
        pairs = iter(self._backend.map(self._wanted()))
        try:
            for call, result in pairs:
                if self._settle(call, result):
                    break
        finally:
            pairs.close()
        return self._verdict()

    async def in_loop(self) -> Verdict:
        """Run the cases, and await them."""
        pairs = aiter(self._backend.map(self._wanted()))
        try:
            async for call, result in pairs:
                if self._settle(call, result):
                    break
        finally:
            await pairs.aclose()
        return self._verdict()

    def _wanted(self) -> Iterator[Call]:
        """Yield the calls that the verdict still depends on."""
        number = 0
        while number < self._end:
            yield self._calls[number]
            number += 1

    def _settle(self, call: Call, result: WorkerResult) -> bool:
        """Take the result of a call. Return whether the verdict is certain."""
        if result.outcome == "cancelled":
            result.unwrap()  # raises
        number = self._numbers[id(call)]
        if number < self._end:
            graded = self._results[number] = self._grade(number, result)
            if self._stop_early and graded.status != "accepted":
                self._end = number + 1
        while self._settled < self._end and self._results[self._settled] is not None:
            self._settled += 1
        return self._settled == self._end

    def _verdict(self) -> Verdict:
        cases = [
            CaseResult("skipped") if result is None or number >= self._end else result
            for number, result in enumerate(self._results)
        ]
        accepted: Status = "accepted"
        failed = next((case.status for case in cases if case.status != accepted), accepted)
        passed = sum(case.status == "accepted" for case in cases)
        return Verdict(failed, passed, len(cases), tuple(cases))

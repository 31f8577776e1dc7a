# SPDX-License-Identifier: Apache-2.0
"""The interface of all systems under measurement.

The cold start of the systems is measured through this module, so it imports as little as possible.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from concurrent.futures import Future
    from typing import Any

    Done = Callable[[str], None]


class CannotDo(Exception):
    """The system cannot do what a scenario needs. The text is the reason, for the report."""


class Call:
    """One function of a source text, with its arguments."""

    __slots__ = ("args", "code", "function", "limits")

    def __init__(self, code: str, *args: Any, function: str = "f") -> None:
        self.code = code
        self.function = function
        self.args = args
        self.limits: Any = None


class System:
    """A way to run calls in other processes, used as its own documentation advises."""

    cannot_kill: str | None = None
    """Why the system cannot kill a call at its deadline; None: it can."""

    def open(self, workers: int, preload: Sequence[str] = (), fresh: bool = False) -> None:
        """Start the system.

        `preload` are modules that workers should have from the start, if the system can do that.
        `fresh`: each call gets a new process.
        """
        raise NotImplementedError

    def call(self, call: Call) -> Any:
        """Run one call and return its value."""
        raise NotImplementedError

    def run(self, calls: Sequence[Call]) -> None:
        """Run all calls in the way that is documented for many, and take their values."""
        raise NotImplementedError

    def start(self, call: Call, deadline_s: float | None, done: Done) -> None:
        """Start a call. `done` gets "ok", "timeout", or the name of the error, in any thread."""
        raise NotImplementedError

    def submit_only(self, call: Call) -> object:
        """Queue a call whose value is never taken. Return the object that keeps it alive."""
        raise CannotDo("has no queue of its own to submit to")

    def close(self) -> None:
        """Shut the system down."""


class FutureSystem(System):
    """A system whose calls are futures of concurrent.futures."""

    def submit(self, call: Call, deadline_s: float | None = None) -> Future[Any]:
        raise NotImplementedError

    def call(self, call: Call) -> Any:
        return self.submit(call).result()

    def run(self, calls: Sequence[Call]) -> None:
        futures = [self.submit(call) for call in calls]
        for future in futures:
            future.result()

    def start(self, call: Call, deadline_s: float | None, done: Done) -> None:
        self.submit(call, deadline_s).add_done_callback(lambda future: done(outcome_of(future)))

    def submit_only(self, call: Call) -> object:
        return self.submit(call)


def outcome_of(future: Future[Any]) -> str:
    """Return how a finished future ended, in the words of `System.start`."""
    if future.cancelled():
        return "cancelled"
    return error_name(future.exception())


def error_name(error: BaseException | None) -> str:
    """Return the word for an error; "ok" for none."""
    if error is None:
        return "ok"
    return "timeout" if "Timeout" in type(error).__name__ else type(error).__name__

"""What every system under measurement can be asked to do.

Nothing here imports more than it must: the cold start of the systems is measured through it.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from concurrent.futures import Future
    from typing import Any

    Done = Callable[[str], None]


class CannotDo(Exception):
    """The system has no means for what a scenario asks; the text is the reason, for the report."""


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
    """Why a call cannot be given a deadline at which it is killed; None: it can."""

    def open(self, workers: int, preload: Sequence[str] = (), fresh: bool = False) -> None:
        """Starts. `preload`: modules that workers should have from the start, where the system
        can do that; `fresh`: a new process for every call."""
        raise NotImplementedError

    def call(self, call: Call) -> Any:
        """Runs one call and waits for its value."""
        raise NotImplementedError

    def run(self, calls: Sequence[Call]) -> None:
        """Runs all the calls, in the way that is documented for many, and takes their values."""
        raise NotImplementedError

    def start(self, call: Call, deadline_s: float | None, done: Done) -> None:
        """Starts a call; `done` gets "ok", "timeout", or the name of the error, in any thread."""
        raise NotImplementedError

    def submit_only(self, call: Call) -> object:
        """Queues a call whose value nobody will wait for, and returns what must be kept."""
        raise CannotDo("has no queue of its own to submit to")

    def close(self) -> None:
        """Ends it."""


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
    """How a finished future ended, as `System.start` tells it."""
    if future.cancelled():
        return "cancelled"
    return error_name(future.exception())


def error_name(error: BaseException | None) -> str:
    """The word for an error; "ok" for none."""
    if error is None:
        return "ok"
    return "timeout" if "Timeout" in type(error).__name__ else type(error).__name__

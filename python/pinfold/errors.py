"""Every error that pinfold raises. All of them derive from `PinfoldError`.

Those that tell how a call ended carry the whole `WorkerResult` as `.result`. They can be pickled
and copied.
"""

from __future__ import annotations

import builtins
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pinfold.result import WorkerResult

if sys.version_info >= (3, 11):
    _TimeoutErrors = (builtins.TimeoutError,)
else:  # before 3.11, asyncio's own TimeoutError is another class
    import asyncio

    _TimeoutErrors = (builtins.TimeoutError, asyncio.TimeoutError)

__all__ = [
    "BadResult",
    "CallTimeout",
    "CallTypeError",
    "ConfigTypeError",
    "CpuLimitExceeded",
    "ExecRunnerError",
    "InvalidCall",
    "InvalidConfig",
    "LimitExceeded",
    "MemoryLimitExceeded",
    "OutputLimitExceeded",
    "PinfoldError",
    "PoolClosed",
    "PoolError",
    "QueueFull",
    "WorkerCrashed",
    "WorkerExited",
    "WorkerLost",
]


class PinfoldError(Exception):
    """The root of all errors of this package.

    Attributes:
        result: the `WorkerResult` of the call that ended so; None where there was no call.
    """

    result: WorkerResult | None

    def __init__(self, message: str = "", *, result: WorkerResult | None = None) -> None:
        super().__init__(message)
        self.result = result

    def __reduce__(self) -> tuple[object, ...]:
        # By state, not by arguments: subclasses differ in their parameters.
        return _rebuild, (type(self), self.args, self.__dict__.copy())


def _rebuild(
    kind: type[PinfoldError], args: tuple[object, ...], state: dict[str, object]
) -> object:
    error = kind.__new__(kind, *args)
    error.args = args
    error.__dict__.update(state)
    return error


class InvalidConfig(PinfoldError, ValueError):
    """A configuration that cannot work; the message names the field, or the variable, and the
    value."""


class ConfigTypeError(InvalidConfig, TypeError):
    """A field of a configuration has the wrong type."""


class InvalidCall(PinfoldError, ValueError):
    """A call that cannot be made; the message names the field and the value, or what in the
    arguments the codec does not carry. Raised in the caller at once; no worker saw the call."""


class CallTypeError(InvalidCall, TypeError):
    """A field of a call has the wrong type."""


class ExecRunnerError(PinfoldError):
    """The candidate's own doing kept its value from coming back. Raised as it is for the outcome
    ``exception``: the code raised, did not compile, or has no such function.

    ``str()`` is ``exec_runner failed (exit=N): `` and the whole of `stderr`, never cut, or
    ``(no stderr)``.

    Attributes:
        returncode: 1 for an exception, the exit status of a process that ended by itself, minus the
            signal's number of one that was killed.
        stderr: what the call printed, under headings, then the traceback and the source around the
            failing line.
        result: the `WorkerResult`, or None.
    """

    def __init__(self, returncode: int, stderr: str, *, result: WorkerResult | None = None) -> None:
        text = stderr if stderr.strip() else "(no stderr)"
        super().__init__(f"exec_runner failed (exit={returncode}): {text}", result=result)
        self.returncode = returncode
        self.stderr = stderr


class WorkerExited(ExecRunnerError):
    """Outcome ``exited``: the process ended by itself (``os._exit``, exec); `returncode` is its
    exit status."""


class WorkerCrashed(ExecRunnerError):
    """Outcome ``signalled``: the process died by a signal that the pool did not send.

    Attributes:
        stack: the Python stack at which it died, as the interpreter's faulthandler prints it, or
            "".
    """

    def __init__(
        self,
        returncode: int,
        stderr: str,
        *,
        stack: str = "",
        result: WorkerResult | None = None,
    ) -> None:
        super().__init__(returncode, stderr, result=result)
        self.stack = stack


class LimitExceeded(ExecRunnerError):
    """The call hit one of its `Limits`; one subclass for each kind."""


class CpuLimitExceeded(LimitExceeded):
    """Outcome ``cpu_limit``: it used up its processor time."""


class MemoryLimitExceeded(LimitExceeded):
    """Outcome ``memory_limit``: it used more memory than allowed."""


class OutputLimitExceeded(LimitExceeded):
    """Outcome ``output_limit``: its result is larger than allowed."""


class BadResult(ExecRunnerError):
    """Outcome ``bad_result``: the codec cannot carry the value; the message names the place in the
    value and the type that stands there."""


class CallTimeout(PinfoldError, *_TimeoutErrors):  # type: ignore[misc]
    """Outcome ``timeout``: the deadline passed, or the program's own time (`Limits.wall_s`), and
    the call was killed. Also the builtin `TimeoutError` and `asyncio.TimeoutError`. Not an
    `ExecRunnerError`. What the call did until then is in `result.error.phase`.

    Attributes:
        stack: the Python stack at which the candidate stood, or "" if it never ran or could not
            tell.
    """

    def __init__(
        self, message: str = "", *, stack: str = "", result: WorkerResult | None = None
    ) -> None:
        super().__init__(message, result=result)
        self.stack = stack

    def __str__(self) -> str:
        message = str(self.args[0]) if self.args else ""
        return f"{message}\n{self.stack.rstrip()}" if self.stack.strip() else message


class WorkerLost(PinfoldError):
    """Outcome ``lost``: the template, or a neighbour's kill, took the call down. Never the
    candidate's fault; it is safe to try the call again."""


class PoolError(PinfoldError):
    """Outcome ``internal``, or a pool that could not start (the message then holds the traceback of
    the preload that failed): no descriptors, no disk, no template. Never the candidate's fault."""


class PoolClosed(PoolError):
    """The backend is shut down, or belongs to another process (this one was forked from it)."""


class QueueFull(PoolError):
    """As many calls are under way as there may be: `WorkerConfig.max_queue`."""


_LIMITS: dict[str, type[ExecRunnerError]] = {
    "cpu_limit": CpuLimitExceeded,
    "memory_limit": MemoryLimitExceeded,
    "output_limit": OutputLimitExceeded,
}


def cancelled_error(*args: str) -> BaseException:
    """An `asyncio.CancelledError`, without asyncio for programs that never need it."""
    from asyncio import CancelledError

    return CancelledError(*args)


def error_of(result: WorkerResult) -> BaseException:
    """What `execute` raises for an outcome that is not ``ok``; it carries the result."""
    outcome = result.outcome
    error = result.error
    code, text = (error.returncode, error.stderr) if error is not None else (1, "")
    message, stack = (error.message, error.stack) if error is not None else ("", "")
    if outcome == "timeout":
        return CallTimeout(message, stack=stack, result=result)
    if outcome == "exception":
        return ExecRunnerError(code, text, result=result)
    if outcome == "exited":
        return WorkerExited(code, text, result=result)
    if outcome == "signalled":
        return WorkerCrashed(code, text, stack=stack, result=result)
    if outcome == "bad_result":
        return BadResult(code, text, result=result)
    if outcome == "cancelled":
        return cancelled_error(message)
    if outcome == "lost":
        return WorkerLost(text, result=result)
    if outcome == "internal":
        return PoolError(text, result=result)
    return _LIMITS[outcome](code, text, result=result)

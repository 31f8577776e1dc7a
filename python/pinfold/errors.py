# SPDX-License-Identifier: Apache-2.0
"""All errors that pinfold raises. They derive from `PinfoldError`, and can be pickled and copied.

Errors that report how a call ended carry its whole `WorkerResult` as `.result`.
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
    """The base class of all errors of this package.

    Attributes:
        result: the `WorkerResult` of the call that ended so; None if there was no call.
    """

    result: WorkerResult | None

    def __init__(self, message: str = "", *, result: WorkerResult | None = None) -> None:
        super().__init__(message)
        self.result = result

    def __reduce__(self) -> tuple[object, ...]:
        # Rebuild by state, because the constructors of subclasses have different parameters.
        return _rebuild, (type(self), self.args, self.__dict__.copy())


def _rebuild(
    kind: type[PinfoldError], args: tuple[object, ...], state: dict[str, object]
) -> object:
    error = kind.__new__(kind, *args)
    error.args = args
    error.__dict__.update(state)
    return error


class InvalidConfig(PinfoldError, ValueError):
    """The configuration cannot work. The message names the field or variable, and the value."""


class ConfigTypeError(InvalidConfig, TypeError):
    """A field of a configuration has the wrong type."""


class InvalidCall(PinfoldError, ValueError):
    """The call cannot be made.

    The message names the field and the value, or the part of the arguments that the codec does not
    carry. Raised in the caller at once; no worker gets the call.
    """


class CallTypeError(InvalidCall, TypeError):
    """A field of a call has the wrong type."""


class ExecRunnerError(PinfoldError):
    """The program itself is why there is no value.

    This class is for the outcome ``exception``: the code raised, did not compile, or has no such
    function. Subclasses are for other outcomes. ``str()`` is ``exec_runner failed (exit=N): `` and
    the whole of `stderr`, never truncated, or ``(no stderr)``.

    Attributes:
        returncode: 1 for an exception; the exit status of a process that ended by itself; the
            signal's number, negated, for a process that was killed. docs/errors.md has details.
        stderr: the output of the call, under headings, then the traceback and the source around the
            failing line.
        result: the `WorkerResult`, or None.
    """

    def __init__(self, returncode: int, stderr: str, *, result: WorkerResult | None = None) -> None:
        text = stderr if stderr.strip() else "(no stderr)"
        super().__init__(f"exec_runner failed (exit={returncode}): {text}", result=result)
        self.returncode = returncode
        self.stderr = stderr


class WorkerExited(ExecRunnerError):
    """Outcome ``exited``: the process ended by itself (``os._exit``, exec).

    `returncode` is its exit status. Also for a call with more processes than `Limits.processes`
    allows; `returncode` is 1 then.
    """


class WorkerCrashed(ExecRunnerError):
    """Outcome ``signalled``: the process died by a signal that the pool did not send.

    Attributes:
        stack: the Python stack at its death, as the interpreter's faulthandler prints it, or "".
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
    """Outcome ``cpu_limit``: the call used more processor time than allowed."""


class MemoryLimitExceeded(LimitExceeded):
    """Outcome ``memory_limit``: the call used more memory than allowed."""


class OutputLimitExceeded(LimitExceeded):
    """Outcome ``output_limit``: the result, or a file of the call, is larger than allowed."""


class BadResult(ExecRunnerError):
    """Outcome ``bad_result``: the value cannot be carried to the caller.

    If the codec refuses it, the message names the path to the refused part, and that part's type.
    """


class CallTimeout(PinfoldError, *_TimeoutErrors):  # type: ignore[misc]
    """Outcome ``timeout``: the deadline or the program's own time (`Limits.wall_s`) passed.

    The call was killed. Also the builtin `TimeoutError` and `asyncio.TimeoutError`, but not an
    `ExecRunnerError`. `result.error.phase` says how far the call had come.

    Attributes:
        stack: the Python stack of the program at that time, or "" if it had not begun or its stack
            could not be read.
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
    """Outcome ``lost``: the death of the template or the kill of a neighbour took the call down.

    Never the program's fault; it is safe to try the call again.
    """


class PoolError(PinfoldError):
    """Outcome ``internal``, or the pool could not start: no descriptors, no disk, no template.

    Never the program's fault. If a preload failed, the message has its traceback.
    """


class PoolClosed(PoolError):
    """The backend is shut down, or belongs to the process from which this one was forked."""


class QueueFull(PoolError):
    """The bound on unfinished calls is reached: `WorkerConfig.max_queue`."""


_LIMITS: dict[str, type[ExecRunnerError]] = {
    "cpu_limit": CpuLimitExceeded,
    "memory_limit": MemoryLimitExceeded,
    "output_limit": OutputLimitExceeded,
}


def cancelled_error(*args: str) -> BaseException:
    """Return an `asyncio.CancelledError`; asyncio is imported only here, because it is slow."""
    from asyncio import CancelledError

    return CancelledError(*args)


def error_of(result: WorkerResult) -> BaseException:
    """Return the error that `execute` raises for an outcome other than ``ok``; it has `result`."""
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

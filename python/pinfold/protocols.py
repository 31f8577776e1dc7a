# SPDX-License-Identifier: Apache-2.0
"""The protocols of backends: `ExecutorBackend` and `LifecycleObservable`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, runtime_checkable

if TYPE_CHECKING:
    from pinfold.call import Call
    from pinfold.result import ExecutionMetrics, Worker

SubmitHandler = Callable[["Call"], object]
StartHandler = Callable[["Call", "Worker"], object]
CompleteHandler = Callable[["Call", "ExecutionMetrics | None", "BaseException | None"], object]
ShutdownHandler = Callable[[], object]
WorkerStartHandler = Callable[["Worker"], object]
WorkerExitHandler = Callable[["Worker", str], object]

S = TypeVar("S", bound=SubmitHandler)
T = TypeVar("T", bound=StartHandler)
C = TypeVar("C", bound=CompleteHandler)
D = TypeVar("D", bound=ShutdownHandler)
WS = TypeVar("WS", bound=WorkerStartHandler)
WE = TypeVar("WE", bound=WorkerExitHandler)


@runtime_checkable
class ExecutorBackend(Protocol):
    """The two methods that `run_exec_runner` needs of its ``backend=``, and no others."""

    async def execute(self, call: Call, *, deadline_s: float | None) -> Any:
        """Run the call and return its value, within `deadline_s` seconds from now (None: no bound).

        Raises:
            ExecRunnerError: the program itself is why there is no value.
            TimeoutError: the deadline passed.
        """
        ...

    async def shutdown(self, *, wait: bool = False) -> None:
        """Refuse further calls and free all resources; with `wait`, return when that is done."""
        ...


@runtime_checkable
class LifecycleObservable(Protocol):
    """A backend that reports events to handlers.

    Each method registers one more handler and returns it, so that it serves as a decorator. The
    handlers of an event are called in the order of registration, in the thread in which the event
    occurs. They should be quick and must not assume an event loop. An exception from a handler is
    logged with the event's name, and affects neither the other handlers nor the call. A
    BaseException that is neither an `Exception` nor a CancelledError propagates from the method in
    which the event occurs, after the other handlers have been called. Every call that `on_submit`
    reports has exactly one `on_complete`.
    """

    def on_submit(self, handler: S) -> S:
        """Register ``handler(call)``: a call was accepted."""
        ...

    def on_start(self, handler: T) -> T:
        """Register ``handler(call, worker)``: a worker got the call.

        It comes before the call's `on_complete`, unless a handler of this event or of workers'
        events is slow in another thread. A thread that waits for a call then goes on after 50 ms,
        and `close` after a second.
        """
        ...

    def on_complete(self, handler: C) -> C:
        """Register ``handler(call, metrics, exc)``: the call has ended.

        `metrics` is None if no worker reported. `exc` is None if there is a value, else the
        exception that `execute` raises.
        """
        ...

    def on_shutdown(self, handler: D) -> D:
        """Register ``handler()``: the backend was shut down. Called once."""
        ...

    def on_worker_start(self, handler: WS) -> WS:
        """Register ``handler(worker)``: a worker has started."""
        ...

    def on_worker_exit(self, handler: WE) -> WE:
        """Register ``handler(worker, reason)``: a worker is gone.

        `reason` is a short text, such as "idle".
        """
        ...

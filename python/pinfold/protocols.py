"""The shapes that a backend may have."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, runtime_checkable

if TYPE_CHECKING:
    from pinfold.call import WorkerCall
    from pinfold.result import ExecutionMetrics, Worker

SubmitHandler = Callable[["WorkerCall"], object]
StartHandler = Callable[["WorkerCall", "Worker"], object]
CompleteHandler = Callable[
    ["WorkerCall", "ExecutionMetrics | None", "BaseException | None"], object
]
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
    """What `run_exec_runner` needs of its ``backend=``: these two methods and nothing else."""

    async def execute(self, call: WorkerCall, *, deadline_s: float | None) -> Any:
        """Run the call and return its value, within `deadline_s` seconds from now (None: no bound).

        Raises `ExecRunnerError` when the candidate kept the value from coming back, and
        `TimeoutError` when the deadline passed.
        """
        ...

    async def shutdown(self, *, wait: bool = False) -> None:
        """Take no more calls and give everything back; with `wait`, return when that is done."""
        ...


@runtime_checkable
class LifecycleObservable(Protocol):
    """A backend that tells what happens in it.

    Each method registers one more handler and returns it, so that it serves as a decorator. The
    handlers of an event are called in the order of registration, in whatever thread the event came
    up in: they should be quick and must not assume an event loop. An exception of one is logged
    with the event's name, and hurts neither its siblings nor the call; what is no `Exception` (but
    a CancelledError) comes out of the method in which the event came up, when the siblings were
    called. Every call that is announced by `on_submit` has exactly one `on_complete`.
    """

    def on_submit(self, handler: S) -> S:
        """``handler(call)``: a call was accepted."""
        ...

    def on_start(self, handler: T) -> T:
        """``handler(call, worker)``: a worker was given the call. Before its `on_complete`, unless
        a handler of this or of workers' events takes its time in another thread: whoever waits for
        a call goes on without it after 50 ms, and `close` after a second."""
        ...

    def on_complete(self, handler: C) -> C:
        """``handler(call, metrics, exc)``: the call has ended. `metrics` is None where no worker
        reported; `exc` is None if there is a value, else what `execute` raises."""
        ...

    def on_shutdown(self, handler: D) -> D:
        """``handler()``: the backend was shut down. Once."""
        ...

    def on_worker_start(self, handler: WS) -> WS:
        """``handler(worker)``: a worker came up."""
        ...

    def on_worker_exit(self, handler: WE) -> WE:
        """``handler(worker, reason)``: a worker is gone; `reason` is a short text, "idle" say."""
        ...

"""The backend of this machine."""

from __future__ import annotations

import weakref
from contextlib import suppress
from dataclasses import dataclass, fields
from time import monotonic_ns
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from pinfold import _green, _naps, _pool
from pinfold._engine import Engine, loading
from pinfold._hooks import Hooks
from pinfold._launch import Launch
from pinfold._sandbox import Isolation, isolation_of
from pinfold.call import FOREVER_NS, WorkerCall, deadline_ns
from pinfold.config import WorkerConfig
from pinfold.errors import CallTypeError, PoolError

# What only calls need is imported when they are made, so that a program has its first pool started
# before it goes on importing: see Engine.prepare.
if TYPE_CHECKING:
    from collections.abc import AsyncIterable, Iterable
    from types import TracebackType

    from pinfold._channel import LoopCall
    from pinfold._record import Record
    from pinfold.futures import CallFuture
    from pinfold.mapping import CallMap
    from pinfold.protocols import (
        CompleteHandler,
        ShutdownHandler,
        StartHandler,
        SubmitHandler,
        WorkerExitHandler,
        WorkerStartHandler,
    )
    from pinfold.result import WorkerResult

S = TypeVar("S", bound="SubmitHandler")
T = TypeVar("T", bound="StartHandler")
C = TypeVar("C", bound="CompleteHandler")
D = TypeVar("D", bound="ShutdownHandler")
WS = TypeVar("WS", bound="WorkerStartHandler")
WE = TypeVar("WE", bound="WorkerExitHandler")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class PoolMemory:
    """What the processes of a backend cost, in KiB (proc(5), smaps_rollup).

    Attributes:
        workers: how many were looked at: idle and busy ones.
        pss_kb: of the template and the workers together: each page divided by the number of
            processes that map it, so that what they share counts once.
        private_kb: what workers share with no other process, of all of them together.
        private_most_kb: the same, of the worker that has most.
    """

    workers: int
    pss_kb: int
    private_kb: int
    private_most_kb: int


@dataclass(frozen=True, slots=True)
class PoolStats:
    """A snapshot of a backend. Fields can also be read as items: ``stats["queued"]``.

    Attributes:
        pool_id, node_id, isolation: as configured.
        max_workers: calls that may run at once.
        state: ``"open"``, ``"shutting down"`` or ``"shut down"``.
        submitted: calls that the pool took.
        outcomes: how many calls ended with each outcome.
        queued: calls that wait for a worker.
        running: calls that a worker has.
        idle: workers that wait for a call.
        starting: workers that were asked for and are not up yet.
        ending: workers that were killed, or are done, and not gone yet.
        workers_started, templates_started: how many there were so far.
        template_pid: process id of the template; 0 when none is up.
        spill_kind: how spills are kept: ``"O_TMPFILE"``, ``"unlinked"`` or ``"memfd"``; "" before
            the pool was opened.
        spill_in_memory: whether a spill costs memory, not disk.
        generation: of the template: 1, and one more each time that one with a learned module took
            over (``preload="auto"``).
        learned: the modules that were learned and are preloaded, in the order in which they were.
        not_learned: those with which no template could be started; they are not tried again.
        memory: what the processes cost; None unless it was asked for, or when there are none.
    """

    pool_id: str
    node_id: str
    isolation: str
    max_workers: int
    state: str
    submitted: int = 0
    outcomes: dict[str, int] | Any = None
    queued: int = 0
    running: int = 0
    idle: int = 0
    starting: int = 0
    ending: int = 0
    workers_started: int = 0
    templates_started: int = 0
    template_pid: int = 0
    spill_kind: str = ""
    spill_in_memory: bool = False
    generation: int = 1
    learned: tuple[str, ...] = ()
    not_learned: tuple[str, ...] = ()
    memory: PoolMemory | None = None

    def __getitem__(self, name: str) -> Any:
        if name in self.keys():
            return getattr(self, name)
        raise KeyError(name)

    def keys(self) -> list[str]:
        """The names of the fields, so that ``dict(stats)`` works."""
        return [field.name for field in fields(self)]


class LocalBackend:
    """Runs calls in workers on this machine.

    Making one checks its configuration, the interpreter and the spill directory, and captures the
    environment; the pool is started by the first call, or by ``with`` and ``async with``, which
    wait until it is ready. Any thread and any number of event loops, at once or one after another,
    may use it; where gevent or eventlet have made threads greenlets, one that waits lets the others
    run. Several backends live side by side and share nothing.

    End it with `shutdown` or `close`, or by leaving a ``with`` block, which lets the calls in it
    finish, unless an exception leaves it. One that is forgotten is closed when it is collected, or
    when the interpreter ends; one whose process is killed ends with it.

    `deadline_s` is the caller's patience: the time in seconds from the submit to the end of a call.
    Waiting for a worker counts, the time in which the pool opens does not. `Limits.wall_s` is the
    program's own time; `WorkerError.phase` tells what a call did when its time ran out. None or
    infinity: no deadline. Raises `InvalidCall` for a negative one or a NaN.

    Methods that take a call raise, at once: `InvalidCall` for arguments that the codec does not
    carry, `CallTypeError` for what is no `WorkerCall`, `PoolClosed` after the shutdown or in a
    forked child, `QueueFull` when too many are under way (`WorkerConfig.max_queue`).

    Args:
        config: how it is set up; None: `WorkerConfig()`.

    Raises:
        InvalidConfig: the interpreter cannot be run, or the spill directory cannot be used.
    """

    _loop_call: type[LoopCall] | None = None  # see `run`

    def __init__(self, config: WorkerConfig | None = None) -> None:
        if config is None:
            config = WorkerConfig()
        elif not isinstance(config, WorkerConfig):
            raise TypeError(f"config must be a WorkerConfig, not {type(config).__name__}")
        self._config = config
        self._hooks = Hooks()
        self._engine = Engine(Launch(config), self._hooks)
        # The engine never refers to the backend but for pending calls: a backend that nobody holds,
        # without a pending call, is forgotten. At the interpreter's end the engine is on its own.
        weakref.finalize(self, Engine.shutdown, self._engine, wait=False).atexit = False

    def __repr__(self) -> str:
        return (
            f"<{type(self).__name__} {self.pool_id} {self._config.isolation}"
            f" {self._engine.state.value}>"
        )

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            "a LocalBackend cannot be copied or pickled: its processes are its own; make another"
            " one with its config"
        )

    @property
    def config(self) -> WorkerConfig:
        """The configuration."""
        return self._config

    @property
    def pool_id(self) -> str:
        """`WorkerConfig.pool_id`."""
        return self._config.pool_id

    @property
    def node_id(self) -> str:
        """`WorkerConfig.node_id`."""
        return self._config.node_id

    @property
    def max_workers(self) -> int:
        """Calls that may run at once."""
        return self._engine.launch.max_workers

    # ---- calling ------------------------------------------------------------------------------

    async def execute(self, call: WorkerCall, *, deadline_s: float | None = None) -> Any:
        """Run a call and return its value.

        Cancelling the task that awaits it kills the call.

        Raises:
            ExecRunnerError: the candidate kept the value from coming back: it raised
                (`ExecRunnerError` itself), ended its process (`WorkerExited`), crashed
                (`WorkerCrashed`), hit a limit (`LimitExceeded`), or returned what the codec does
                not carry (`BadResult`).
            CallTimeout: the deadline passed, or its own time (`Limits.wall_s`). Also a
                `TimeoutError`.
            WorkerLost, PoolError: not the candidate's fault; it is safe to try again.
            asyncio.CancelledError: the backend was closed meanwhile.
        """
        result = await self.run(call, deadline_s=deadline_s)
        if result.outcome == "ok":
            return result.value
        from pinfold._outcome import exception_of

        raise exception_of(result)

    async def run(self, call: WorkerCall, *, deadline_s: float | None = None) -> WorkerResult:
        """Run a call and return its `WorkerResult`, whatever the outcome.

        Cancelling the task that awaits it kills the call.
        """
        times = self._accept(call, deadline_s)
        if (kind := self._loop_call) is None:
            with loading():
                from pinfold._channel import LoopCall
            kind = self._loop_call = LoopCall
        record = kind(self, call, "")
        self._hand_in(record, *times)
        try:
            return await record.future
        except BaseException:
            self._engine.abandon(record)
            raise

    def submit(self, call: WorkerCall, *, deadline_s: float | None = None) -> CallFuture:
        """Start a call and return a `concurrent.futures.Future` of its `WorkerResult`. Never waits.

        Cancelling the future kills the call.
        """
        times = self._accept(call, deadline_s)
        record = self._engine.future(self, call, "")
        self._hand_in(record, *times)
        return record

    def map(
        self,
        calls: Iterable[WorkerCall] | AsyncIterable[WorkerCall],
        *,
        deadline_s: float | None = None,
        ordered: bool = False,
    ) -> CallMap:
        """Run many calls, of which a bounded number is in flight at any time.

        Returns an object for ``async for``, or for ``for`` in a thread; each item is a pair of a
        call and its `WorkerResult`, in the order of completion, or of `calls` when `ordered`.
        `calls` may be a generator of a million: it is asked for the next call when there is room
        for it, beside two for each worker (four when `ordered`) or, where workers are used again
        and calls are small and take less than a millisecond, some 26. Calls are submitted ahead, so
        here `deadline_s` counts from the moment a worker begins a call, as if its `Limits.wall_s`
        had been set; the sooner of the two counts. Leaving the loop early cancels what is in
        flight. An error of `calls`, or of a call that cannot be made, comes after the results of
        the calls before it.
        """
        with loading():
            from pinfold.mapping import CallMap

        return CallMap(self, calls, deadline_ns(deadline_s), ordered)

    def _start(self, record: Record) -> int:
        """Of a record that has its time already. Returns how many bytes its request has."""
        segments = self._hand_in(record, *self._accept(record.call, None))
        return sum(memoryview(segment).nbytes for segment in segments)

    def _accept(self, call: WorkerCall, deadline_s: float | None) -> tuple[int, int]:
        """Checks a call without a look at its arguments. Returns when it began (monotonic
        nanoseconds) and its deadline from then on."""
        if not isinstance(call, WorkerCall):
            raise CallTypeError(f"a call must be a WorkerCall, not {type(call).__name__}")
        deadline = deadline_ns(deadline_s)
        self._engine.check_open()
        self._engine.prepare()
        return monotonic_ns(), deadline

    def _hand_in(self, record: Record, began: int, deadline: int) -> list[bytes | memoryview]:
        call = record.call
        record.deadline_ns = deadline
        record.codec = call.codec or self._config.codec
        limits = call.limits or self._config.limits
        own = limits.wall_ns
        if own and not 0 < record.wall_ns < own:
            record.wall_ns = own
        segments = self._engine.request_of(call, record.codec, limits)
        self._engine.start(record, segments, limits, began)
        return segments

    # ---- watching -----------------------------------------------------------------------------

    def on_submit(self, handler: S) -> S:
        """Call ``handler(call)`` when a call is accepted. Returns the handler; see
        `LifecycleObservable` for what holds of all of them."""
        return self._hooks.add("submit", handler)

    def on_start(self, handler: T) -> T:
        """Call ``handler(call, worker)`` when a worker was given a call. `worker` is a `Worker`."""
        return self._watched(self._hooks.add("start", handler))

    def on_complete(self, handler: C) -> C:
        """Call ``handler(call, metrics, exc)`` when a call has ended, once for each that was
        submitted. `metrics` is the `ExecutionMetrics`, None where no worker reported; `exc` is None
        if there is a value, else what `execute` raises."""
        return self._hooks.add("complete", handler)

    def on_shutdown(self, handler: D) -> D:
        """Call ``handler()`` once, when the backend was shut down and nothing of it is left."""
        return self._hooks.add("shutdown", handler)

    def on_worker_start(self, handler: WS) -> WS:
        """Call ``handler(worker)`` when a worker came up."""
        return self._watched(self._hooks.add("worker_start", handler))

    def on_worker_exit(self, handler: WE) -> WE:
        """Call ``handler(worker, reason)`` when a worker is gone; `reason` is a short text."""
        return self._watched(self._hooks.add("worker_exit", handler))

    def _watched(self, handler: R) -> R:
        self._engine.watch()
        return handler

    def isolation(self) -> Isolation:
        """How the workers are held: each mechanism, whether it is active, and if not, why."""
        return isolation_of(self._config)

    def stats(self, *, memory: bool = False) -> PoolStats:
        """A snapshot: what waits, runs and idles, and how many calls ended how.

        With `memory` also what the processes cost, for which the kernel walks their memory:
        a millisecond or two for each.
        """
        engine = self._engine
        counts: dict[str, Any] = engine.counts()
        if memory and (found := engine.memory()) is not None:
            counts["memory"] = PoolMemory(*found)
        from pinfold.result import OUTCOMES

        counts.setdefault("outcomes", dict.fromkeys(OUTCOMES, 0))
        return PoolStats(
            pool_id=self.pool_id,
            node_id=self.node_id,
            isolation=self._config.isolation,
            max_workers=self.max_workers,
            state=engine.state.value,
            **counts,
        )

    # ---- the end ------------------------------------------------------------------------------

    async def shutdown(self, *, wait: bool = False) -> None:
        """Take no more calls, and give everything back.

        With `wait`, calls that run and wait finish first, and this returns when workers, spills and
        callbacks are done. Without, outstanding calls end ``cancelled``, and this returns at once
        while the rest goes on in a thread. Idempotent; may follow `close`, and a closed loop.
        """
        if wait:
            await self._end(wait=True)
        else:
            self._engine.shutdown(wait=False)

    def close(self, *, wait: bool = False) -> None:
        """Take no more calls, end those that are outstanding as ``cancelled``, kill every process
        and return when nothing is left. Idempotent; from any thread. Should an exception end it, as
        of a signal handler, the next one goes on.

        With `wait`, calls that run and wait finish first, however long they take; a `close` without
        it in another thread cuts that short. In the thread of an event loop that loop stands still
        meanwhile, and learns of its calls afterwards: there, await `shutdown` instead.
        """
        if wait:
            self._engine.shutdown(wait=True)
        self._engine.close()

    def __enter__(self) -> LocalBackend:
        try:
            self._ready()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            if kind is None:
                self._engine.shutdown(wait=True)
        finally:  # Ctrl-C in the wait: nobody would come to end it
            self.close()

    async def __aenter__(self) -> LocalBackend:
        try:
            with loading():
                from pinfold._channel import in_a_thread

            await in_a_thread(self._ready)
        except BaseException:
            await self._end(wait=False)
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._end(wait=kind is None)

    async def _end(self, *, wait: bool) -> None:
        """Ends it, of its own accord or by force, and returns when it is done."""
        try:
            from pinfold._channel import in_a_thread
        except (OSError, ImportError):  # no descriptors left: nothing runs in a loop, so this may
            return self._engine.shutdown(wait=True) if wait else self._engine.close()
        here = _pool.Pool.here()
        if wait:
            return await in_a_thread(lambda: self._engine.shutdown(wait=True, beside=here))
        return await in_a_thread(lambda: self._engine.close(beside=here))

    def _ready(self) -> None:
        """Opens the pool and waits until its template serves. Raises PoolError."""
        self._engine.check_open()
        self._engine.prepare()
        try:
            pool = self._engine.pool()
            while _green.patched():
                with suppress(TimeoutError):
                    return pool.wait_ready(0)
                _green.sleep(_naps.GREENLETS.longest_s)
            return pool.wait_ready(FOREVER_NS)
        except OSError as error:
            raise PoolError(f"the pool could not start: {error.strerror}") from None

# SPDX-License-Identifier: Apache-2.0
"""`LocalBackend`, which runs calls in workers on this machine, and its statistics."""

from __future__ import annotations

import weakref
from contextlib import suppress
from dataclasses import dataclass, fields
from time import monotonic_ns
from typing import TYPE_CHECKING, Any, NoReturn

from pinfold._client import green, naps
from pinfold._client.engine import Engine
from pinfold._client.hooks import Hooks, Observable
from pinfold._client.launch import Launch
from pinfold._client.submit import loading
from pinfold._ext import _pool
from pinfold._host.sandbox import Isolation, isolation_of
from pinfold.call import FOREVER_NS, Call, ProgramCall, check_call, deadline_ns
from pinfold.config import WorkerConfig
from pinfold.errors import PoolError

# Modules that only calls need are imported by the first call, after the pool has begun to start:
# see Engine.prepare.
if TYPE_CHECKING:
    from collections.abc import AsyncIterable, Iterable
    from types import TracebackType

    from pinfold._client.loop_queue import LoopCall
    from pinfold._client.record import Record
    from pinfold.futures import CallFuture
    from pinfold.mapping import CallMap
    from pinfold.result import WorkerResult


@dataclass(frozen=True, slots=True)
class PoolMemory:
    """The memory of a backend's processes, in KiB (proc(5), smaps_rollup).

    Attributes:
        workers: the number of workers that were measured, idle and busy ones.
        pss_kb: proportional set size of the template and the workers together: each page is divided
            by the number of processes that map it, so that shared pages count once.
        private_kb: pages that workers share with no other process, for all workers together.
        private_most_kb: the same, for the worker with the most.
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
        submitted: calls that the pool has taken so far.
        outcomes: the number of calls that ended with each outcome.
        queued: calls that wait for a worker.
        running: calls that a worker has.
        idle: workers that wait for a call.
        starting: workers that were requested and have not started yet.
        ending: workers that were killed, or are done, and have not gone yet.
        workers_started, templates_started: the numbers of all workers and templates so far.
        template_pid: process id of the template; 0 if none serves.
        spill_kind: how spills are stored: ``"O_TMPFILE"``, ``"unlinked"`` or ``"memfd"``; "" before
            the pool was opened.
        spill_in_memory: whether a spill costs memory, not disk.
        generation: the template's: 1, and one more each time that a template with a learned module
            took over (``preload="auto"``).
        learned: the learned modules that are preloaded, in the order in which they were learned.
        not_learned: modules with which no template could start; they are not tried again.
        memory: the processes' memory; None if it was not asked for, or if there are no processes.
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
        """Return the names of the fields, so that ``dict(stats)`` works."""
        return [field.name for field in fields(self)]


class LocalBackend(Observable):
    """Runs calls in workers on this machine.

    Making a backend checks its configuration, the interpreter and the spill directory, and captures
    the environment. The first call starts the pool, or ``with`` and ``async with``, which wait
    until it is ready. Any thread and any number of event loops may use a backend, at once or one
    after another. Where gevent or eventlet have made threads greenlets, a waiting one lets the
    others run. Several backends may exist side by side, and share nothing.

    End it with `shutdown` or `close`, or by leaving a ``with`` block. The block lets its calls
    finish, unless an exception leaves it. Garbage collection and the end of the interpreter also
    close a backend; if the caller's process is killed, all processes of the backend end, too.

    `deadline_s` is the caller's patience: the time in seconds from the submit to the end of a call.
    The wait for a worker counts, but not the time in which the pool opens. `Limits.wall_s` is the
    program's own time; `WorkerError.phase` says how far a call had come when its time ran out. None
    or infinity: no deadline. A negative number or a NaN raises `InvalidCall`.

    Methods that take a call raise errors at once. `InvalidCall`: the codec does not carry the
    arguments. `CallTypeError`: the object is not a call. `PoolClosed`: the backend is shut
    down, or this is a forked child. `QueueFull`: too many calls (`WorkerConfig.max_queue`).

    Args:
        config: the configuration; None: `WorkerConfig()`.

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
        # Only pending calls make the engine refer to the backend, so that a backend without
        # references and calls is collected. At the interpreter's end the engine closes itself.
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

    async def execute(self, call: Call, *, deadline_s: float | None = None) -> Any:
        """Run a call and return its value; of a program, the text that it printed to stdout.

        Cancelling the task that awaits it kills the call.

        Raises:
            ExecRunnerError: the program itself is why there is no value. It raised
                (`ExecRunnerError` itself), ended its process (`WorkerExited`), crashed
                (`WorkerCrashed`), hit a limit (`LimitExceeded`), or returned a value that the codec
                does not carry (`BadResult`).
            CallTimeout: the deadline or the program's own time (`Limits.wall_s`) passed. Also a
                `TimeoutError`.
            WorkerLost, PoolError: not the program's fault; it is safe to try again.
            asyncio.CancelledError: the backend was closed meanwhile.
        """
        result = await self.run(call, deadline_s=deadline_s)
        if result.outcome == "ok":
            return result.stdout if isinstance(call, ProgramCall) else result.value
        raise self._engine.calls.error_of(result)

    async def run(self, call: Call, *, deadline_s: float | None = None) -> WorkerResult:
        """Run a call and return its `WorkerResult`, for every outcome.

        Cancelling the task that awaits it kills the call.
        """
        times = self._accept(call, deadline_s)
        if (kind := self._loop_call) is None:
            with loading():
                from pinfold._client.loop_queue import LoopCall
            kind = self._loop_call = LoopCall
        record = kind(self, call, "")
        self._hand_in(record, *times)
        try:
            return await record.future
        except BaseException:
            self._engine.abandon(record)
            raise

    def submit(self, call: Call, *, deadline_s: float | None = None) -> CallFuture:
        """Submit a call and return a `concurrent.futures.Future` of its `WorkerResult`.

        Never waits. Cancelling the future kills the call.
        """
        times = self._accept(call, deadline_s)
        record = self._engine.calls.CallFuture(self, call, "")
        self._hand_in(record, *times)
        return record

    def map(
        self,
        calls: Iterable[Call] | AsyncIterable[Call],
        *,
        deadline_s: float | None = None,
        ordered: bool = False,
    ) -> CallMap:
        """Run many calls, with a bounded number in flight at any time.

        Args:
            calls: the calls; may be a generator of a million. `map` asks for the next call when it
                has room: two calls in flight for each worker (four with `ordered`), and two more.
                With reused workers, and calls that are small and take less than a millisecond,
                there may be 24 more for each worker, 192 at most.
            deadline_s: counts from the moment a worker begins a call, as if its `Limits.wall_s` had
                been set, because calls are submitted ahead. The sooner of the two counts.
            ordered: yield results in the order of `calls`, not of completion.

        Returns:
            An object for ``async for``, or for ``for`` in a thread. Each item is a pair of a call
            and its `WorkerResult`. Leaving the loop early cancels the calls in flight. An error of
            `calls`, or of a call that cannot be made, comes after the results of the calls before
            it.
        """
        with loading():
            from pinfold.mapping import CallMap

        return CallMap(self, calls, deadline_ns(deadline_s), ordered)

    def _start(self, record: Record) -> int:
        """Submit a record that has its time limit already. Return the bytes of its request."""
        segments = self._hand_in(record, *self._accept(record.call, None))
        return sum(memoryview(segment).nbytes for segment in segments)

    def _accept(self, call: Call, deadline_s: float | None) -> tuple[int, int]:
        """Check a call, but not its arguments.

        Return the time of the submit (monotonic nanoseconds), and the deadline from then on.
        """
        check_call(call)
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
        forms = self._engine.forms
        form = None if forms is None else forms.find(call.code)
        record.asks = form == b""
        segments = self._engine.calls.request_of(call, record.codec, limits, form)
        self._engine.start(record, segments, limits, began)
        return segments

    # ---- watching -----------------------------------------------------------------------------

    def _watch(self) -> None:
        self._engine.watch()

    def isolation(self) -> Isolation:
        """Return how workers are isolated: each mechanism, and why those that are off are off."""
        return isolation_of(self._config)

    def stats(self, *, memory: bool = False) -> PoolStats:
        """Return a snapshot: waiting and running calls, idle workers, counts of outcomes.

        With `memory`, also the memory of the processes; the kernel takes a millisecond or two to
        measure each.
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
        """Refuse further calls, and free all resources.

        With `wait`, running and waiting calls finish first, and this returns when workers, spills
        and callbacks are done. Without, outstanding calls end ``cancelled``, and this returns at
        once while a thread does the rest. Idempotent; may follow `close`, and a closed loop.
        """
        if wait:
            await self._end(wait=True)
        else:
            self._engine.shutdown(wait=False)

    def close(self, *, wait: bool = False) -> None:
        """Refuse further calls, end outstanding ones as ``cancelled``, and kill every process.

        Returns when nothing is left. Idempotent; from any thread. If an exception interrupts it, as
        from a signal handler, the next `close` continues.

        With `wait`, running and waiting calls finish first, however long they take. A `close`
        without `wait` in another thread ends that wait. In the thread of an event loop, this blocks
        the loop, which gets its results only afterwards: await `shutdown` there instead.
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
        finally:  # also after Ctrl-C in the wait, which would leave the shutdown unfinished
            self.close()

    async def __aenter__(self) -> LocalBackend:
        try:
            with loading():
                from pinfold._client.loop_queue import in_a_thread

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
        """Shut down with `wait`, or close, and return when that is done."""
        try:
            from pinfold._client.loop_queue import in_a_thread
        except (OSError, ImportError):  # no descriptors: no loop runs calls, so blocking is fine
            return self._engine.shutdown(wait=True) if wait else self._engine.close()
        here = _pool.Pool.here()
        if wait:
            return await in_a_thread(lambda: self._engine.shutdown(wait=True, beside=here))
        return await in_a_thread(lambda: self._engine.close(beside=here))

    def _ready(self) -> None:
        """Open the pool and wait until its template serves. Raises `PoolError`."""
        self._engine.check_open()
        self._engine.prepare()
        try:
            pool = self._engine.pool()
            while green.patched():
                with suppress(TimeoutError):
                    return pool.wait_ready(0)
                green.sleep(naps.GREENLETS.longest_s)
            return pool.wait_ready(FOREVER_NS)
        except OSError as error:
            raise PoolError(f"the pool could not start: {error.strerror}") from None

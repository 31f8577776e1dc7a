"""The engine of a backend: one pool of the library, the calls in it, and whoever waits for them.

 run() in a loop  --> Channel: a queue and a reader in that loop --.
 submit()         --> the pool's own queue <-- completer thread ---+--> Engine.settle(): hooks, log,
 future.result()  --> waits for this one call in C ----------------|    then whoever waits is told
 map() in a thread -> a queue of its own, waited on in C ----------'

A pending call is in a table from before its submit until its caller was told. Whoever settles it
*claims* it (`Pool.claimed`), so every call is settled once, in whatever thread its end came up.
Tables are changed by single operations on dicts, each of them atomic; nothing here holds a lock
while it calls a handler or waits.

An exception may come anywhere: a signal handler raises, or a callback. So results stay in line in
the binding until their callers were told (`Pool.told`), and a record notes how far that went
(`Record.result`): whoever is thrown out in the middle leaves both to whoever comes next.
"""

from __future__ import annotations

import atexit
import contextlib
import errno
import os
import threading
import time
import weakref
from collections import deque
from enum import Enum
from itertools import count
from time import monotonic_ns
from typing import TYPE_CHECKING, Any

from pinfold import _green, _naps, _pool
from pinfold._hooks import Hooks
from pinfold._record import Origin
from pinfold.call import FOREVER_NS
from pinfold.errors import InvalidCall, PoolClosed, PoolError, QueueFull
from pinfold.limits import BOXED_RESULT_BYTES

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop
    from collections.abc import Callable, Iterator
    from logging import Logger

    from pinfold._channel import Channel
    from pinfold._launch import Launch
    from pinfold._learner import Learner
    from pinfold._record import Record
    from pinfold.call import WorkerCall
    from pinfold.codec.errors import RunsCode
    from pinfold.futures import CallFuture
    from pinfold.limits import Limits
    from pinfold.result import WorkerResult

_DEBUG = 10  # logging.DEBUG
_claimed = _pool.Pool.claimed
_here = _pool.Pool.here
_TRIES = 10  # to close in the background, when handlers raise what is no Exception
_HANDLER_S = 0.05  # how long a result waits for an event's handler in another thread


class State(Enum):
    OPEN = "open"
    DRAINING = "shutting down"
    CLOSED = "shut down"


@contextlib.contextmanager
def loading() -> Iterator[None]:
    """What is imported when it is used may not be there: no descriptors are left, say. Raises
    PoolError."""
    try:
        yield
    except (OSError, ImportError) as error:
        raise PoolError(f"the pool could not load what calls need: {error}") from error


class Engine:
    """One pool and its calls. Any thread may use it; none of its methods needs an event loop."""

    # What calls need; `prepare` imports it.
    future: type[CallFuture]
    request_of: Callable[[WorkerCall, str, Limits], list[bytes | memoryview]]
    _result_of: Callable[[_pool.Result, Record, Origin], WorkerResult]
    _exception_of: Callable[[WorkerResult], BaseException]
    _runs_code: type[RunsCode]
    _log: Logger

    def __init__(self, launch: Launch, hooks: Hooks) -> None:
        self.launch = launch
        self.hooks = hooks
        self.origin = Origin(launch.config.pool_id, launch.config.node_id)
        self.state = State.OPEN
        self._pid = os.getpid()
        if _green.patched():
            _pool.Pool.identify(threading.get_ident)
        self._prepared = False
        self._pool: _pool.Pool | None = None
        self._pending: dict[int, Record] = {}
        self._settling: dict[int, int] = {}  # keys that are claimed, and the thread that has them
        self._submitting: dict[int, int] = {}  # the same, while handlers are told of the submit
        self._counts: dict[str, object] = {}
        boxed = launch.config.sandbox != "none"
        self._result_bytes = BOXED_RESULT_BYTES if boxed else 0
        self.learner: Learner | None = None
        if launch.config.preload == "auto":
            from pinfold._learner import Learner

            self.learner = Learner(launch)
        self._keys = count(1)
        # Opening, channels, the completer, the order of closing. Reentrant, because a collection in
        # the middle of it may be what forgets the backend.
        self._lock = threading.RLock()
        self._telling: dict[int, int] = {}  # the claim to tell events, and the thread that has it
        self._untold: deque[_pool.Event] = deque()  # what is left of a pool that was closed
        self._late: dict[int, WorkerCall] = {}  # calls that were settled before those were told
        self._watching = False
        self._channels: dict[AbstractEventLoop, Channel] = {}
        self._completer: threading.Thread | None = None
        self._completer_ends = False
        self._idle = threading.Condition()  # told about every settled call once we drain
        self._closing: dict[int, int] = {}  # the claim to close it, and the thread that has it
        self._ending: list[tuple[int, int]] = []  # the threads that wait for its end, with `beside`
        self._shutdown_told = False
        self._closed = False

    # ---- submitting ---------------------------------------------------------------------------

    @property
    def serves(self) -> bool:
        """Whether it takes calls, of this process."""
        return self.state is State.OPEN and os.getpid() == self._pid

    def check_open(self) -> None:
        """Raises PoolClosed."""
        if os.getpid() != self._pid:
            raise PoolClosed(
                f"this backend belongs to process {self._pid}, from which this one was forked;"
                " make a backend in this process"
            )
        if self.state is not State.OPEN:
            raise PoolClosed("the backend is shut down; it takes no more calls")

    def prepare(self) -> None:
        """Before the first call: starts the pool, and imports what calls need while the template's
        interpreter starts in a process of its own. Why a pool cannot be started, `start` tells.
        Raises PoolError."""
        if self._prepared:
            return
        with contextlib.suppress(OSError, PoolError):
            self.pool()
        with loading():
            from pinfold._log import log
            from pinfold._outcome import exception_of, result_of
            from pinfold._request import request_of
            from pinfold.codec.errors import RunsCode
            from pinfold.futures import CallFuture

        self.future = CallFuture
        self.request_of = request_of
        self._result_of = result_of
        self._exception_of = exception_of
        self._runs_code = RunsCode
        self._log = log
        self._prepared = True

    def pool(self) -> _pool.Pool:
        """The pool, opened on first use. Raises OSError, PoolClosed."""
        pool = self._pool
        if pool is not None:
            return pool
        with self._lock:
            self.check_open()
            if self._pool is None:
                watching = self.hooks.of_workers
                opened = self.launch.open(events=watching)
                if self.state is not State.OPEN:  # a signal handler has closed the backend
                    opened.close()
                    self.launch.clean()
                    self.check_open()
                atexit.register(self.close)
                self._pool = opened
                _open.add(self)
                self._watching = watching
                if watching:
                    self._start_completer(opened)
                stats = opened.stats()
                if stats["spill_in_memory"]:
                    from pinfold._log import log

                    log.info(
                        "%s: spills in %s cost memory",
                        self.origin.pool_id,
                        self.launch.config.spill_dir,
                    )
            return self._pool

    def start(
        self,
        record: Record,
        segments: list[bytes | memoryview],
        limits: Limits,
        began: int,
    ) -> None:
        """Hands a call to the pool; its deadline counts from `began` (monotonic nanoseconds), but
        for the time in which the pool opens.

        A call that the pool cannot take for reasons of its own ends ``internal``. Raises
        PoolClosed, QueueFull and InvalidCall; the call is complete then, too.
        """
        record.key = next(self._keys)
        self._pending[record.key] = record
        try:
            if self.hooks.submit:
                _claimed(self._submitting, record.key, self.hooks.call, "submit", record.call)
            pool = self.pool()
            queue = record.queue_in(pool)
            record.result_bytes = limits.result_bytes or self._result_bytes
            left = record.deadline_ns
            if left != FOREVER_NS:
                left = max(1, left - (monotonic_ns() - began))
            pool.submit(
                record,
                segments,
                queue,
                record.key,
                left,
                limits.output_bytes,
                record.result_bytes,
                limits.memory_bytes or 0,
                limits.cpu_ns,
                limits.processes or 0,
                limits.file_bytes or 0,
                record.wall_ns,
            )
        except BaseException as error:
            _claimed(self._settling, record.key, self._not_taken, record, error)

    def has_room(self) -> bool:
        """Whether the pool's queue would take one more call, as things are."""
        most = self.launch.config.max_queue
        if most is None or self._pool is None:
            return True
        with contextlib.suppress(ValueError):  # closed: a submit will say so
            stats = self._pool.stats()
            under_way = stats["submitted"] - sum(stats["outcomes"].values())
            return under_way < self.launch.max_workers + most
        return True

    def _not_taken(self, record: Record, error: BaseException) -> None:
        if record.key not in self._pending:  # it was closed under our hands, and the call with it
            return None
        from pinfold._outcome import failed

        told = self._refusal(error) if isinstance(error, OSError) else error
        result = failed("internal", str(told))
        if type(told) is PoolError:
            told.result = result
            return self._finish(record, result, told)
        try:
            if self._pool is not None and record.call_id:  # it was taken before the interrupt came
                self._pool.cancel(record.call_id)
            self._tell(record, result, told)
        finally:
            self._pending.pop(record.key, None)
        raise told from (None if told is not error else error.__cause__)

    def _refusal(self, error: OSError) -> BaseException:
        if error.errno == errno.EAGAIN:
            return QueueFull(
                f"{self.launch.config.max_queue} calls are waiting already (max_queue)"
            )
        if error.errno in (errno.ESHUTDOWN, errno.ECHILD):
            return PoolClosed("the backend is shut down; it takes no more calls")
        if error.errno == errno.EINVAL:
            return InvalidCall(str(error.strerror))
        return PoolError(f"the pool could not take the call: {error.strerror}")

    # ---- settling -----------------------------------------------------------------------------

    def settle(
        self,
        take: Callable[..., list[_pool.Result]],
        *args: Any,
        here: AbstractEventLoop | None = None,
        errors: list[BaseException] | None = None,
    ) -> bool:
        """Settles the results that ``take(*args)`` takes out of the library, in order; False if
        there was none. A handler that waits for a call, or closes the backend, settles the rest
        from inside. What handlers and callbacks raise goes to `errors`, or the first of it is
        raised when all are settled. `here`: the loop that this thread runs."""
        first: BaseException | None = None
        try:
            raws = take(*args)
            if not raws:
                return False
            try:
                if not self.tell_events():
                    for raw in raws:
                        self._is_late(raw.key)
            except BaseException as error:
                first = error
            for raw in raws:
                try:
                    _claimed(self._settling, raw.key, self._settle, raw, here)
                except BaseException as error:
                    if first is None:
                        first = error
            if first is not None:
                if errors is None:
                    raise first
                errors.append(first)
            return True
        except BaseException:
            self._leave()
            raise
        finally:
            first = None  # it refers to this frame
            if self.state is not State.OPEN:
                self._news()

    def _settle(self, raw: _pool.Result, here: AbstractEventLoop | None) -> None:
        """Makes of a result what the caller is told, and tells it. A result of a call that was
        given up is dropped."""
        record = self._pending.get(raw.key)
        if record is None:
            raw.told()
            return
        result = record.ended
        if result is None:
            try:
                try:
                    result = self._result_of(raw, record, self.origin)
                except self._runs_code:
                    result = self._read(raw, record)
                    if result is None:
                        return
            except BaseException as error:  # an interrupt came while the value was read
                from pinfold._outcome import failed

                self._finish(record, failed("internal", f"interrupted: {error!r}"), None, here)
                raise
        self._finish(record, result, None, here)
        raw.told()
        if self.learner is not None:
            try:
                self.learner.take(self._pool, raw.note, result.metrics)
            except Exception:
                self._log.exception("%s: nothing was learned from a call", self.origin.pool_id)

    def _read(self, raw: _pool.Result, record: Record) -> WorkerResult | None:
        from pinfold import _reading

        return _reading.read(self, raw, record)

    def settle_read(self, record: Record, result: WorkerResult) -> None:
        """Settles a call whose value was read, or was to be read, in a thread of its own, unless
        somebody else has meanwhile. Called in such a thread."""
        try:
            while not _claimed(self._settling, record.key, self._settle_read, record, result):
                # Whoever left the value to that thread is about to go.
                _green.sleep(_naps.THREADS.first_s)
        except BaseException:  # of a handler or a callback
            self._log.exception("a call was settled with an error")
        finally:
            if self.state is not State.OPEN:
                self._news()

    def _settle_read(self, record: Record, result: WorkerResult) -> bool:
        if record.key in self._pending:
            self._finish(record, record.ended or result, None)
        return True

    def _finish(
        self,
        record: Record,
        result: WorkerResult,
        error: BaseException | None,
        here: AbstractEventLoop | None = None,
        *,
        given_up: bool = False,
    ) -> None:
        """Tells the handlers, if they were not told before, and whoever waits."""
        try:
            if record.ended is None:
                record.ended = result
                self._tell(record, result, error)
        finally:  # Ctrl-C in a handler
            try:
                if given_up:
                    record.give_up()
                else:
                    record.deliver(result, here)
            finally:
                if record.backend is None:  # it was told, whatever a callback raised
                    self._pending.pop(record.key, None)

    def _leave(self) -> None:
        """An exception drives this thread out: the completer settles what it leaves."""
        pool = self._pool
        if pool is not None and pool.leave():
            with contextlib.suppress(PoolError):  # whoever waits for a result still gets it
                self.need_completer(pool)
            pool.wake()

    def _news(self) -> None:
        """Whoever ends the backend looks again."""
        with self._idle:
            self._idle.notify_all()

    def _tell(self, record: Record, result: WorkerResult, error: BaseException | None) -> None:
        if self.hooks.complete:
            if error is None and result.outcome != "ok":
                error = self._exception_of(result)
            self.hooks.call("complete", record.call, result.metrics, error)
        if self._log.isEnabledFor(_DEBUG):
            from pinfold._text import call_line

            self._log.debug("%s", call_line(self.origin, record.call, result))

    def abandon(self, record: Record) -> bool:
        """Cancels a call: it is complete at once, and dies as soon as the kernel lets it. False if
        it has ended, or somebody is just settling it."""
        if os.getpid() != self._pid:
            return False
        try:
            if not self.tell_events():
                self._is_late(record.key)
        finally:
            done = _claimed(self._settling, record.key, self._abandon, record)
            if self.state is not State.OPEN:
                self._news()
        return bool(done)

    def _abandon(self, record: Record) -> bool:
        if record.key not in self._pending or record.ended is not None:
            return False
        from pinfold._outcome import cancelled_error, failed

        try:
            if self._pool is not None and record.call_id:
                self._pool.cancel(record.call_id)
        finally:
            result = failed("cancelled", "cancelled by the caller")
            self._finish(record, result, cancelled_error(), given_up=True)
        return True

    def abandon_all(self, records: list[Record]) -> BaseException | None:
        """Cancels calls, whatever handlers and callbacks raise; the first of it is returned."""
        errors: list[BaseException] = []
        for record in records:
            try:
                self.abandon(record)
            except BaseException as error:
                errors.append(error)
        return errors[0] if errors else None

    def wait_for(
        self, record: Record, timeout_ns: int, errors: list[BaseException] | None = None
    ) -> None:
        """Waits for this one call and settles it; returns early if somebody else settles it. Before
        it waits, settles what a handler of this thread stands in the way of. `errors` is as for
        `settle`. Raises TimeoutError."""
        if os.getpid() != self._pid:
            self.check_open()
        pool = self._pool
        if pool is not None and record.call_id:
            if pool.taken(False):
                self.settle(pool.taken, False, errors=errors)
            if _green.patched():
                return self._look_for(pool, record, timeout_ns, errors)
            self.settle(pool.wait, record.call_id, timeout_ns, errors=errors)
        return None

    def _look_for(
        self,
        pool: _pool.Pool,
        record: Record,
        timeout_ns: int,
        errors: list[BaseException] | None,
    ) -> None:
        """As `wait_for`, where what waits must let other greenlets run."""
        until = monotonic_ns() + timeout_ns
        naps = _naps.GREENLETS.lengths()
        while record.key in self._pending:
            with contextlib.suppress(TimeoutError):
                self.settle(pool.wait, record.call_id, 0, errors=errors)
                return
            left = (until - monotonic_ns()) / 1e9
            if left <= 0:
                raise TimeoutError
            _green.sleep(min(left, next(naps)))

    # ---- events -------------------------------------------------------------------------------

    def watch(self) -> None:
        """Sees to it that events reach the handlers from now on."""
        with self._lock:
            if self._pool is None or self._watching or self.state is State.CLOSED:
                return
            self._pool.watch()
            self._watching = True
            self._start_completer(self._pool)

    def tell_events(self, most_s: float = _HANDLER_S) -> bool:
        """Tells the handlers what happened to workers so far, in its order: one thread at a time
        does. False if another one is at it for longer than `most_s`: it is in a handler, which may
        wait for this thread. It tells the rest when that is done. What handlers raise is raised,
        the first of it, when all are told."""
        pool = self._pool
        if not self._watching or pool is None:
            return True
        if self._telling.get(0) == _here():  # we are in a handler
            return self._tell_all(pool)
        waited, naps = 0.0, _naps.THREADS.lengths()
        while not _claimed(self._telling, 0, self._tell_all, pool):
            if waited >= most_s:
                return False
            nap = next(naps)
            time.sleep(nap)
            waited += nap
        return not self._untold or self.tell_events(most_s)

    def _tell_all(self, pool: _pool.Pool) -> bool:
        first: BaseException | None = None
        late = list(self._late)  # what happened to these is in line already
        try:
            while (event := self._next_event(pool)) is not None:
                try:
                    self._tell_event(*event)
                except BaseException as error:
                    if first is None:
                        first = error
            for key in late:
                self._late.pop(key, None)
            if first is not None:
                raise first
            return True
        finally:
            first = None  # it refers to this frame

    def _next_event(self, pool: _pool.Pool) -> _pool.Event | None:
        return self._untold.popleft() if self._untold else pool.next_event()

    def _keep_events(self, pool: _pool.Pool) -> None:
        """Before the pool is closed: whoever is telling them finds the rest here."""
        while (event := pool.next_event()) is not None:
            self._untold.append(event)
        self.tell_events(0)

    def _is_late(self, key: int) -> None:
        """This call is settled, and the event of its start is not told yet."""
        record = self._pending.get(key)
        if record is not None and self.hooks.start:
            self._late[key] = record.call

    def _tell_event(self, kind: int, pid: int, key: int, worker_id: str, reason: str) -> None:
        from pinfold.result import Worker

        worker = Worker(worker_id, self.origin.node_id, pid)
        if kind == _pool.EVENT_CALL_START:
            call = self._late.pop(key, None)
            record = self._pending.get(key)
            if call is None and record is not None and key not in self._settling:
                call = record.call
            if call is not None:
                self.hooks.call("start", call, worker)
        elif kind == _pool.EVENT_WORKER_START:
            self.hooks.call("worker_start", worker)
        elif kind == _pool.EVENT_WORKER_EXIT:
            self.hooks.call("worker_exit", worker, reason)

    # ---- the completer thread, and the channels of event loops -----------------------------------

    def need_completer(self, pool: _pool.Pool) -> None:
        """Makes sure that somebody takes what comes to the pool's own queue. Raises PoolError."""
        if self._completer is None:
            with self._lock:
                self._start_completer(pool)

    def _start_completer(self, pool: _pool.Pool) -> None:
        if self._completer is None and not self._completer_ends:
            self._completer = threading.Thread(
                target=self._complete,
                args=(pool,),
                name=f"pinfold-{self.origin.pool_id}",
                daemon=True,
            )
            try:
                self._completer.start()
            except RuntimeError as error:
                self._completer = None
                # At the interpreter's end whoever waits for a result still gets it.
                if threading.main_thread().is_alive():
                    raise PoolError(f"the pool could not start a thread: {error}") from None

    def _complete(self, pool: _pool.Pool) -> None:
        with _green.polling(pool) as poll:
            while not self._completer_ends:
                poll()
                try:
                    self.tell_events()
                    self.settle(pool.take)
                except BaseException:  # of a handler or a callback: others wait to be told, too
                    from pinfold._log import log

                    log.exception("the completer thread goes on after an error")

    def channel(self, loop: AbstractEventLoop, pool: _pool.Pool) -> Channel:
        """The channel to a running event loop. Raises OSError."""
        channel = self._channels.get(loop)
        if channel is None:
            self._forget_closed_loops()
            from pinfold._channel import Channel

            channel = Channel(self, pool, loop)
            with self._lock:
                closed = self.state is State.CLOSED
                if not closed:
                    self._channels[loop] = channel
            if closed:
                channel.close()
                raise PoolClosed("the backend is shut down; it takes no more calls")
        return channel

    def _forget_closed_loops(self) -> None:
        # While we drain, somebody may wait in C for a call whose queue this would close.
        if self.state is not State.OPEN:
            return
        for loop, channel in list(self._channels.items()):
            if loop.is_closed() and self._channels.pop(loop, None) is not None:
                error = self.abandon_all(
                    [each for each in list(self._pending.values()) if each.waits_in(loop)]
                )
                channel.close()
                if error is not None:
                    raise error

    # ---- the end ------------------------------------------------------------------------------

    def counts(self) -> dict[str, object]:
        """The library's figures; none before the pool was opened or after it was closed."""
        if self._pool is None or os.getpid() != self._pid:
            return {}
        with contextlib.suppress(ValueError):
            self._counts = dict(self._pool.stats())
            del self._counts["template_start_ns"]
            if self.learner is not None:
                self.learner.look(self._pool)
                self._counts |= self.learner.told()
        return dict(self._counts)

    def memory(self) -> tuple[int, int, int, int] | None:
        """What the processes cost, as the library tells; None when there are none."""
        if self._pool is not None and os.getpid() == self._pid:
            with contextlib.suppress(ValueError):
                return self._pool.memory()
        return None

    def refuse(self) -> None:
        """Takes no more calls."""
        with self._lock:
            if self.state is State.OPEN:
                self.state = State.DRAINING

    def shutdown(self, *, wait: bool, beside: int = 0) -> None:
        """Waits until all calls have ended, or starts to end them all and returns at once. `beside`
        is a thread that waits for this one, if there is one: it may stand in a handler."""
        if os.getpid() != self._pid:
            return self._forget()
        self.refuse()
        if (self._closing or self._closed) and not wait:
            return None
        if wait:
            return self._as_one_that_ends(self._shutdown, beside)
        if self._pool is None:
            return self.close()
        # Not a daemon: the interpreter waits for it at its end.
        closer = threading.Thread(
            target=self._close_beside, name=f"pinfold-{self.origin.pool_id}-close"
        )
        try:
            closer.start()
        except RuntimeError:  # the interpreter is at its end already
            self.close()
        return None

    def _shutdown(self, beside: int) -> None:
        error = self._drain(beside, to_the_end=True)
        self.close(beside)
        if error is not None:
            raise error

    def _close_beside(self) -> None:
        """What a thread of its own does: nobody else would go on where a handler has ended it."""
        for _ in range(_TRIES):
            try:
                self.close()
            except BaseException:  # of a handler or a callback
                from pinfold._log import log

                log.exception("%s was closed with an error", self.origin.pool_id)
            if self._closed:
                break

    def close(self, beside: int = 0) -> None:
        """Ends every call and every process, and returns when they are gone and everybody is told.
        If that is under way already, a handler that calls it does not wait for it: it would wait
        for itself. If an exception ends it, whoever waits for it, or calls it next, goes on."""
        if os.getpid() != self._pid:
            return self._forget()
        self.refuse()
        if self._pool is not None:
            self._pool.shutdown()
        return self._as_one_that_ends(self._close, beside)

    def _close(self, beside: int) -> None:
        while not self._closed:
            try:
                if _claimed(self._closing, 0, self._end, beside):
                    return
            finally:
                self._news()
            busy = self._in_handlers() | set(self._closing.copy().values())
            if {_here(), beside} & busy:
                return
            with self._idle:
                if self._closing and not self._closed:
                    self._idle.wait(_naps.STRAY_S)

    def _as_one_that_ends(self, end: Callable[[int], None], beside: int) -> None:
        """Other threads that do the same in a handler do not wait for this one: see `_is_idle`."""
        this = (_here(), beside)
        try:
            self._ending.append(this)
            self._news()
            end(beside)
        finally:
            with contextlib.suppress(ValueError):
                self._ending.remove(this)

    def _in_handlers(self) -> set[int]:
        """The threads that take in, settle or tell something: they may be in a handler."""
        claims = (self._submitting, self._settling, self._telling)
        return {thread for each in claims for thread in each.copy().values()}

    def _end(self, beside: int) -> bool:
        error = self._drain(beside, to_the_end=False)
        self._tear_down(beside)
        if error is not None:
            raise error
        return True

    def _drain(self, beside: int, *, to_the_end: bool) -> BaseException | None:
        """Returns when no call is pending and no handler runs, but in this thread or the one beside
        it, or where it would wait for this one. Unless `to_the_end`, gives up calls of which there
        is no news: there will be none. What a handler or a callback raises does not end it; the
        first is returned."""
        errors: list[BaseException] = []
        while True:
            if self._pool is not None:
                self.settle(self._pool.taken, True, errors=errors)
            for record in list(self._pending.values()):
                self.wait_for(record, FOREVER_NS, errors)
            with self._idle:
                if self._is_idle(beside):
                    return errors[0] if errors else None
                # Not for ever: whoever has news may be thrown out before it tells.
                news = self._idle.wait(_naps.STRAY_S)
            if not news and not to_the_end:
                error = self.abandon_all(list(self._pending.values()))
                if error is not None:
                    errors.append(error)

    def _is_idle(self, beside: int) -> bool:
        """Whether there is nothing to wait for. Where this thread is in a handler, others that wait
        for the end in theirs may wait for it."""
        but = {_here(), beside}
        if but & self._in_handlers():
            but.update(*self._ending.copy())
        settling, submitting = self._settling.copy(), self._submitting.copy()
        ours = {key for key, thread in submitting.items() if thread in but}
        return but.issuperset(settling.values()) and settling.keys() | ours >= set(self._pending)

    def _tear_down(self, beside: int) -> None:
        """May be called again if an exception came before its end."""
        with self._lock:
            self.state = State.CLOSED
            self._completer_ends = True
        pool = self._pool
        try:
            if not self.tell_events(_naps.STRAY_S) and pool is not None:
                self._keep_events(pool)
        finally:
            if pool is not None:
                pool.wake()
                completer = self._completer
                if completer is not None and completer.ident not in (_here(), beside):
                    self._join(completer)
                for loop, channel in list(self._channels.items()):
                    channel.close()
                    self._channels.pop(loop, None)
                self.counts()  # stay to be read
                pool.close()
        self.launch.clean()
        atexit.unregister(self.close)
        try:
            if not self._shutdown_told:
                self._shutdown_told = True
                self.hooks.call("shutdown")
        finally:
            self._closed = True

    def _join(self, completer: threading.Thread) -> None:
        """But for one in an event's handler that does not end: it may wait for this thread; and for
        a greenlet of a thread that lets none of its own run."""
        while completer.is_alive():
            completer.join(_naps.STRAY_S)
            if completer.ident in self._telling.copy().values() or _green.patched():
                break

    def _forget(self) -> None:
        """In a forked child: gives back what this process holds, and touches nothing else."""
        self.state = State.CLOSED
        if self._pool is not None:
            self._pool.close()
            atexit.unregister(self.close)


_open: weakref.WeakSet[Engine] = weakref.WeakSet()


def _let_go() -> None:
    """In a fork: what is left open there is closed while its number still means what it did."""
    for engine in list(_open):
        if engine._pool is not None:
            engine._pool.let_go()


os.register_at_fork(after_in_child=_let_go)

# SPDX-License-Identifier: Apache-2.0
"""The package's record of a call between its submit and its end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from pinfold.call import FOREVER_NS

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop
    from collections.abc import Callable

    from pinfold._ext._pool import Pool, Queue, Result
    from pinfold.call import Call
    from pinfold.config import WorkerConfig
    from pinfold.result import WorkerResult


class Origin(NamedTuple):
    """The origin of results: the fields that every result of one pool has in common."""

    pool_id: str
    node_id: str


class Settler(Protocol):
    """The part of an engine that loop queues and readers of values use."""

    origin: Origin

    def settle(
        self,
        take: Callable[..., list[Result]],
        *args: Any,
        here: AbstractEventLoop | None = None,
        errors: list[BaseException] | None = None,
    ) -> bool: ...
    def settle_read(self, record: Record, result: WorkerResult) -> None: ...


class CallEngine(Settler, Protocol):
    """The part of an engine that records use."""

    def abandon(self, record: Record) -> bool: ...
    def abandon_all(self, records: list[Record]) -> BaseException | None: ...
    def wait_for(
        self, record: Record, timeout_ns: int, errors: list[BaseException] | None = None
    ) -> None: ...
    def has_room(self) -> bool: ...
    def need_completer(self, pool: Pool) -> None: ...
    def loop_queue(self, loop: AbstractEventLoop, pool: Pool) -> HasQueue: ...


class HasQueue(Protocol):
    """The part of a loop queue that a record uses."""

    queue: Queue


class Owner(Protocol):
    """The part of a backend that a record uses. The record's reference keeps it alive."""

    @property
    def _engine(self) -> CallEngine: ...
    @property
    def config(self) -> WorkerConfig: ...
    @property
    def max_workers(self) -> int: ...
    def _start(self, record: Record) -> int: ...


class Record:
    """The base of all kinds of pending calls.

    `key` names the call in the engine's table, and comes back with its result. `call_id` is the
    library's name for it, 0 until the library has taken the call. `deadline_ns` counts from the
    submit, `wall_ns` from the moment when a worker begins the call (0: no bound; else given to
    `map`). `result_bytes` bounds the value, 0: no bound. `asks`: the worker was asked for the
    source's compiled form. `ended` is the result, set before the handlers get it. The record holds
    the backend until the caller has the result, so that the garbage collector does not close a
    backend that a caller waits for. `deliver` and `give_up` drop this reference last, and may be
    called again if an exception came before.
    """

    __slots__ = (
        *("asks", "backend", "call", "call_id", "codec", "deadline_ns", "ended", "key"),
        *("result_bytes", "wall_ns"),
    )

    asks: bool
    backend: Owner | None
    call: Call
    codec: str
    deadline_ns: int
    wall_ns: int
    key: int
    call_id: int
    result_bytes: int
    ended: WorkerResult | None

    def __init__(self, backend: Owner, call: Call, codec: str) -> None:
        self.asks = False
        self.backend = backend
        self.call = call
        self.codec = codec
        self.deadline_ns = FOREVER_NS
        self.wall_ns = 0
        self.key = 0
        self.call_id = 0
        self.result_bytes = 0
        self.ended = None

    def queue_in(self, pool: Pool) -> Queue | None:
        """Return the queue for the result; None: the completer thread's. May raise OSError."""
        raise NotImplementedError

    def waits_in(self, loop: AbstractEventLoop) -> bool:
        """Return whether this event loop gets the result."""
        return False

    def deliver(self, result: WorkerResult, here: AbstractEventLoop | None) -> None:
        """Deliver the result to its caller. `here` is the event loop that this thread runs, or None
        if that is not known."""
        raise NotImplementedError

    def give_up(self) -> None:
        """Report to the call's caller that the call was cancelled."""
        raise NotImplementedError

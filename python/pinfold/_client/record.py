"""A call between its submit and its end, as the package keeps it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from pinfold.call import FOREVER_NS

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop
    from collections.abc import Callable

    from pinfold._ext._pool import Pool, Queue, Result
    from pinfold.call import WorkerCall
    from pinfold.config import WorkerConfig
    from pinfold.result import WorkerResult


class Origin(NamedTuple):
    """Where results come from: what every result of one pool has in common."""

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
    """The part of a backend that a record uses, and holds so that it is not collected."""

    @property
    def _engine(self) -> CallEngine: ...
    @property
    def config(self) -> WorkerConfig: ...
    @property
    def max_workers(self) -> int: ...
    def _start(self, record: Record) -> int: ...


class Record:
    """What all kinds of pending calls have in common.

    `key` names it in the engine's table, and comes back with its result; `call_id` is the library's
    name for it, 0 until it has taken the call. `deadline_ns` counts from the submit, `wall_ns` from
    when a worker begins it (0: no bound; else what `map` was given). `result_bytes` bounds the
    value, 0: nothing does. `ended` is how it ended, once the handlers were told. The backend is
    held until whoever waits was told, so that nobody who waits for a call loses it to the garbage
    collector; `deliver` and `give_up` let go of it last, and may be called again if an exception
    came before.
    """

    __slots__ = (
        *("backend", "call", "call_id", "codec", "deadline_ns", "ended", "key"),
        *("result_bytes", "wall_ns"),
    )

    backend: Owner | None
    call: WorkerCall
    codec: str
    deadline_ns: int
    wall_ns: int
    key: int
    call_id: int
    result_bytes: int
    ended: WorkerResult | None

    def __init__(self, backend: Owner, call: WorkerCall, codec: str) -> None:
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
        """Where its end shall be told; None: to the completer thread. May raise OSError."""
        raise NotImplementedError

    def waits_in(self, loop: AbstractEventLoop) -> bool:
        """Whether its end is told to this event loop."""
        return False

    def deliver(self, result: WorkerResult, here: AbstractEventLoop | None) -> None:
        """Tell whoever waits. `here` is the event loop that this thread runs, if the caller
        knows."""
        raise NotImplementedError

    def give_up(self) -> None:
        """Tell whoever waits that the call was cancelled."""
        raise NotImplementedError

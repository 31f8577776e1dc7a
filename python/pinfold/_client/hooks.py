# SPDX-License-Identifier: Apache-2.0
"""The handlers that a backend's owner has registered for events."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from pinfold.protocols import WE, WS, C, D, S, T

H = TypeVar("H", bound=Callable[..., object])


class Hooks:
    """The handlers of one backend. Each event has a tuple, which `add` replaces, so that calls of
    the handlers need no lock."""

    __slots__ = (
        "_adding",
        "complete",
        "shutdown",
        "start",
        "submit",
        "worker_exit",
        "worker_start",
    )

    def __init__(self) -> None:
        self._adding = threading.Lock()
        self.submit: tuple[Callable[..., object], ...] = ()
        self.start: tuple[Callable[..., object], ...] = ()
        self.complete: tuple[Callable[..., object], ...] = ()
        self.shutdown: tuple[Callable[..., object], ...] = ()
        self.worker_start: tuple[Callable[..., object], ...] = ()
        self.worker_exit: tuple[Callable[..., object], ...] = ()

    def add(self, event: str, handler: H) -> H:
        if not callable(handler):
            raise TypeError(f"a handler must be callable, not {type(handler).__name__}")
        with self._adding:
            setattr(self, event, (*getattr(self, event), handler))
        return handler

    @property
    def of_workers(self) -> bool:
        """Whether a handler wants the events that the library reports only on request."""
        return bool(self.start or self.worker_start or self.worker_exit)

    def call(self, event: str, *args: Any) -> None:
        """Call every handler, even after one raises. An Exception is logged. Of other exceptions
        (a signal handler exits, say, while a handler runs) the first is raised."""
        first: BaseException | None = None
        for handler in getattr(self, event):
            try:
                handler(*args)
            except BaseException as error:
                if not isinstance(error, Exception) and not _is_cancel(error):
                    if first is None:
                        first = error
                    continue
                from pinfold._common.log import log

                log.exception("an on_%s handler raised: %r", event, handler)
        try:
            if first is not None:
                raise first
        finally:
            first = None  # it refers to this frame


class Observable:
    """The part of a backend that registers handlers. See `LifecycleObservable` for their rules."""

    _hooks: Hooks

    def _watch(self) -> None:
        """Have the events of workers reported, which may be reported only on request."""

    def on_submit(self, handler: S) -> S:
        """Call ``handler(call)`` when a call is accepted. Return the handler.

        See `LifecycleObservable` for the rules of all handlers.
        """
        return self._hooks.add("submit", handler)

    def on_start(self, handler: T) -> T:
        """Call ``handler(call, worker)`` when a worker got a call. `worker` is a `Worker`."""
        return self._of_workers("start", handler)

    def on_complete(self, handler: C) -> C:
        """Call ``handler(call, metrics, exc)`` when a call has ended, once for each submitted call.

        `metrics` is the `ExecutionMetrics`, or None if no worker reported. `exc` is None if there
        is a value, else the exception that `execute` raises.
        """
        return self._hooks.add("complete", handler)

    def on_shutdown(self, handler: D) -> D:
        """Call ``handler()`` once, when the backend is shut down and nothing of it is left."""
        return self._hooks.add("shutdown", handler)

    def on_worker_start(self, handler: WS) -> WS:
        """Call ``handler(worker)`` when a worker has started."""
        return self._of_workers("worker_start", handler)

    def on_worker_exit(self, handler: WE) -> WE:
        """Call ``handler(worker, reason)`` when a worker is gone; `reason` is a short text."""
        return self._of_workers("worker_exit", handler)

    def _of_workers(self, event: str, handler: H) -> H:
        self._hooks.add(event, handler)
        self._watch()
        return handler


def _is_cancel(error: BaseException) -> bool:
    """Return whether the error is the cancellation of a task that a handler waited for, which does
    not concern the backend."""
    asyncio = sys.modules.get("asyncio")
    return asyncio is not None and isinstance(error, asyncio.CancelledError)

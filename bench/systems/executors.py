# SPDX-License-Identifier: Apache-2.0
"""loky, concurrent.futures, pebble and deadpool: executors with futures."""

from __future__ import annotations

import sys

from bench.systems.base import Call, CannotDo, FutureSystem
from bench.worker import run_source

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from concurrent.futures import Executor, Future
    from typing import Any


class Loky(FutureSystem):
    cannot_kill = "no deadline per call: a hung worker stays"

    def open(self, workers: int, preload: Sequence[str] = (), fresh: bool = False) -> None:
        if fresh:
            raise CannotDo("no new process per call")
        from loky import get_reusable_executor  # type: ignore[import-not-found]

        self.executor: Executor = get_reusable_executor(max_workers=workers)

    def submit(self, call: Call, deadline_s: float | None = None) -> Future[Any]:
        return self.executor.submit(run_source, call.code, call.function, call.args)

    def close(self) -> None:
        self.executor.shutdown()


class Standard(FutureSystem):
    """`concurrent.futures.ProcessPoolExecutor`."""

    cannot_kill = "no deadline per call: a hung worker stays"

    def __init__(self, method: str) -> None:
        self.method = method

    def open(self, workers: int, preload: Sequence[str] = (), fresh: bool = False) -> None:
        import multiprocessing
        from concurrent.futures import ProcessPoolExecutor

        context = multiprocessing.get_context(self.method)
        if self.method == "forkserver" and preload:
            context.set_forkserver_preload(["__main__", *preload])
        once: dict[str, Any] = {"max_tasks_per_child": 1} if fresh else {}
        if once and sys.version_info < (3, 11):
            raise CannotDo("no new process per call before Python 3.11")
        self.executor = ProcessPoolExecutor(max_workers=workers, mp_context=context, **once)

    def submit(self, call: Call, deadline_s: float | None = None) -> Future[Any]:
        return self.executor.submit(run_source, call.code, call.function, call.args)

    def close(self) -> None:
        self.executor.shutdown()


class Pebble(FutureSystem):
    def open(self, workers: int, preload: Sequence[str] = (), fresh: bool = False) -> None:
        from pebble import ProcessPool  # type: ignore[import-not-found]

        for name in preload:  # workers are forked from the caller
            __import__(name)
        self.pool = ProcessPool(max_workers=workers, max_tasks=1 if fresh else 0)

    def submit(self, call: Call, deadline_s: float | None = None) -> Future[Any]:
        arguments = (call.code, call.function, call.args)
        future: Future[Any] = self.pool.schedule(run_source, args=arguments, timeout=deadline_s)
        return future

    def close(self) -> None:
        self.pool.stop()
        self.pool.join()


class Deadpool(FutureSystem):
    def open(self, workers: int, preload: Sequence[str] = (), fresh: bool = False) -> None:
        import deadpool  # type: ignore[import-not-found]

        if preload:  # workers come from the standard library's forkserver
            import multiprocessing

            multiprocessing.set_forkserver_preload(["__main__", *preload])
        self.executor = deadpool.Deadpool(
            max_workers=workers, max_tasks_per_child=1 if fresh else None
        )

    def submit(self, call: Call, deadline_s: float | None = None) -> Future[Any]:
        future: Future[Any] = self.executor.submit(
            run_source, call.code, call.function, call.args, deadpool_timeout=deadline_s
        )
        return future

    def submit_only(self, call: Call) -> object:
        raise CannotDo("submit waits while its backlog, 1,000 calls by default, is full")

    def close(self) -> None:
        self.executor.shutdown(wait=True)

# SPDX-License-Identifier: Apache-2.0
"""multiprocessing.Pool, mpire and joblib: pools without futures."""

from __future__ import annotations

from bench.systems.base import Call, CannotDo, System, error_name
from bench.worker import run_source

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

    from bench.systems.base import Done


class MultiprocessingPool(System):
    cannot_kill = "no deadline per call: a hung worker stays"

    def open(self, workers: int, preload: Sequence[str] = (), fresh: bool = False) -> None:
        import multiprocessing

        for name in preload:  # workers are forked from the caller
            __import__(name)
        self.pool = multiprocessing.Pool(workers, maxtasksperchild=1 if fresh else None)

    def submit_only(self, call: Call) -> Any:
        return self.pool.apply_async(run_source, (call.code, call.function, call.args))

    def call(self, call: Call) -> Any:
        return self.submit_only(call).get()

    def run(self, calls: Sequence[Call]) -> None:
        for pending in [self.submit_only(call) for call in calls]:
            pending.get()

    def start(self, call: Call, deadline_s: float | None, done: Done) -> None:
        self.pool.apply_async(
            run_source,
            (call.code, call.function, call.args),
            callback=lambda value: done("ok"),
            error_callback=lambda error: done(error_name(error)),
        )

    def close(self) -> None:
        self.pool.terminate()
        self.pool.join()


class Mpire(System):
    def open(self, workers: int, preload: Sequence[str] = (), fresh: bool = False) -> None:
        from mpire import WorkerPool  # type: ignore[import-not-found]

        for name in preload:  # workers are forked from the caller
            __import__(name)
        self.fresh = fresh
        self.pool = WorkerPool(n_jobs=workers, keep_alive=not fresh)

    def submit_only(self, call: Call) -> Any:
        if self.fresh:
            raise CannotDo("a new process per call only within a batch (map)")
        return self.pool.apply_async(run_source, (call.code, call.function, call.args))

    def call(self, call: Call) -> Any:
        return self.submit_only(call).get()

    def run(self, calls: Sequence[Call]) -> None:
        if self.fresh:
            arguments = [(call.code, call.function, call.args) for call in calls]
            self.pool.map(run_source, arguments, worker_lifespan=1, chunk_size=1)
            return
        for pending in [self.submit_only(call) for call in calls]:
            pending.get()

    def start(self, call: Call, deadline_s: float | None, done: Done) -> None:
        self.pool.apply_async(
            run_source,
            (call.code, call.function, call.args),
            callback=lambda value: done("ok"),
            error_callback=lambda error: done(error_name(error)),
            task_timeout=deadline_s,
        )

    def close(self) -> None:
        self.pool.terminate()


class Joblib(System):
    cannot_kill = "a deadline ends the whole batch"

    def open(self, workers: int, preload: Sequence[str] = (), fresh: bool = False) -> None:
        if fresh:
            raise CannotDo("no new process per call")
        if workers == 1:
            raise CannotDo("n_jobs=1 runs the calls in the caller itself")
        from joblib import Parallel, delayed  # type: ignore[import-not-found]

        self.parallel = Parallel(n_jobs=workers, return_as="generator")
        self.parallel.__enter__()
        self.delayed = delayed(run_source)

    def call(self, call: Call) -> Any:
        (value,) = self.parallel([self.delayed(call.code, call.function, call.args)])
        return value

    def run(self, calls: Sequence[Call]) -> None:
        for _ in self.values(calls):
            pass

    def values(self, calls: Sequence[Call]) -> Iterator[Any]:
        """Yield the values of a batch as they come, until the batch fails."""
        tasks = (self.delayed(call.code, call.function, call.args) for call in calls)
        yield from self.parallel(tasks)

    def start(self, call: Call, deadline_s: float | None, done: Done) -> None:
        raise CannotDo("one batch at a time: no call beside it")

    def close(self) -> None:
        self.parallel.__exit__(None, None, None)

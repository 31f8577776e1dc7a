# SPDX-License-Identifier: Apache-2.0
"""Ray tasks on one machine."""

from __future__ import annotations

from bench.systems.base import Call, FutureSystem
from bench.worker import run_source

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from concurrent.futures import Future
    from typing import Any

    from bench.systems.base import Done


class Ray(FutureSystem):
    def open(self, workers: int, preload: Sequence[str] = (), fresh: bool = False) -> None:
        import os
        import threading

        import ray  # type: ignore[import-not-found]

        self.ray = ray
        self.timer = threading.Timer
        ray.init(
            num_cpus=workers,
            include_dashboard=False,
            log_to_driver=False,
            logging_level="ERROR",
            _temp_dir=os.environ["TMPDIR"],
        )
        self.task = ray.remote(max_retries=0, max_calls=1 if fresh else 0)(run_source)

    def call(self, call: Call) -> Any:
        return self.ray.get(self.task.remote(call.code, call.function, call.args))

    def run(self, calls: Sequence[Call]) -> None:
        self.ray.get([self.task.remote(c.code, c.function, c.args) for c in calls])

    def submit(self, call: Call, deadline_s: float | None = None) -> Future[Any]:
        future: Future[Any] = self.task.remote(call.code, call.function, call.args).future()
        return future

    def start(self, call: Call, deadline_s: float | None, done: Done) -> None:
        """Start a call. At the deadline, a timer in the caller cancels the task by force."""
        reference = self.task.remote(call.code, call.function, call.args)
        passed: list[bool] = []
        timer = None
        if deadline_s is not None:

            def cancel() -> None:
                passed.append(True)
                self.ray.cancel(reference, force=True)

            timer = self.timer(deadline_s, cancel)
            timer.daemon = True
            timer.start()

        def ended(future: Future[Any]) -> None:
            if timer is not None:
                timer.cancel()
            error = future.exception()
            done("ok" if error is None else "timeout" if passed else type(error).__name__)

        reference.future().add_done_callback(ended)

    def submit_only(self, call: Call) -> object:
        return self.task.remote(call.code, call.function, call.args)

    def close(self) -> None:
        self.ray.shutdown()

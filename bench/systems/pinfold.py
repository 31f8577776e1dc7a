# SPDX-License-Identifier: Apache-2.0
"""Pinfold itself, in each isolation mode."""

from __future__ import annotations

from bench.systems.base import Call, FutureSystem

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from concurrent.futures import Future
    from typing import Any

    from bench.systems.base import Done


class Pinfold(FutureSystem):
    def __init__(self, isolation: Any) -> None:
        self.isolation = isolation

    def open(self, workers: int, preload: Sequence[str] = (), fresh: bool = False) -> None:
        self.open_with(max_workers=workers, preload=tuple(preload))

    def open_with(self, **fields: Any) -> None:
        """Start with these fields of the configuration."""
        import pinfold

        self.pinfold = pinfold
        config = pinfold.WorkerConfig(isolation=self.isolation, **fields)
        self.backend = pinfold.LocalBackend(config)

    def submit(self, call: Call, deadline_s: float | None = None) -> Future[Any]:
        made = self.pinfold.WorkerCall(call.code, call.function, call.args, limits=call.limits)
        return self.backend.submit(made, deadline_s=deadline_s)

    def call(self, call: Call) -> Any:
        return self.submit(call).result().unwrap()

    def run(self, calls: Sequence[Call]) -> None:
        futures = [self.submit(call) for call in calls]
        for future in futures:
            future.result().unwrap()

    def start(self, call: Call, deadline_s: float | None, done: Done) -> None:
        future = self.submit(call, deadline_s)
        future.add_done_callback(lambda future: done(future.result().outcome))

    def close(self) -> None:
        self.backend.close()

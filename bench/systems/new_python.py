# SPDX-License-Identifier: Apache-2.0
"""A new interpreter per call, as code sandboxes do, but without their containers."""

from __future__ import annotations

from bench.systems.base import Call, FutureSystem

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from concurrent.futures import Future
    from typing import Any

PROGRAM = """\
import pickle, sys
code, function, args = pickle.load(sys.stdin.buffer)
namespace = {"__name__": "user_code"}
exec(compile(code, "user_code.py", "exec"), namespace)
pickle.dump(namespace[function](*args), sys.stdout.buffer, protocol=5)
"""


class NewPython(FutureSystem):
    def open(self, workers: int, preload: Sequence[str] = (), fresh: bool = False) -> None:
        from concurrent.futures import ThreadPoolExecutor

        self.threads = ThreadPoolExecutor(workers)

    def call(self, call: Call, deadline_s: float | None = None) -> Any:
        import pickle
        import subprocess
        import sys

        request = pickle.dumps((call.code, call.function, call.args), protocol=5)
        ended = subprocess.run(
            [sys.executable, "-c", PROGRAM],
            input=request,
            stdout=subprocess.PIPE,
            timeout=deadline_s,
            check=True,
        )
        return pickle.loads(ended.stdout)

    def submit(self, call: Call, deadline_s: float | None = None) -> Future[Any]:
        return self.threads.submit(self.call, call, deadline_s)

    def close(self) -> None:
        self.threads.shutdown(cancel_futures=True)

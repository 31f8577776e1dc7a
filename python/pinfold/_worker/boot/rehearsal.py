# SPDX-License-Identifier: Apache-2.0
"""Rehearsals: calls that a template runs before it forks, or between its first forks.

The interpreter specialises code (PEP 659), fills attribute caches and creates objects on first use.
A worker forked after a rehearsal inherits the results. It saves the time, and the copies of the
pages that it would have written.
"""

from __future__ import annotations

import atexit
import linecache
import os
import signal
import sys

from pinfold._wire import Segments, pack_request
from pinfold._worker.call.execute import Executor
from pinfold._worker.code.program import FILE, NAME
from pinfold._worker.code.source import slot
from pinfold._worker.ext import _runtime
from pinfold._worker.ext._runtime import RESULT_ENDED, RESULT_OK
from pinfold._worker.main.ending import keep_exits
from pinfold._worker.main.revival import revive
from pinfold._worker.main.streams import open_stdin

TIMES = 24  # code is specialised after about eight runs, and the functions that it calls later

SOURCE = """
import math

class Value:
    def __init__(self, x):
        self.x = x

def f(a, b, c=None):
    total = 0.0
    for i, value in enumerate(b):
        total += value * i
    print("", end="", flush=True)
    return {"total": math.sqrt(total), "a": a, "c": [Value(c).x, (1, None, True)]}
"""

SCRIPT = """
import sys

def main():
    text = input()
    print(text[:0], file=sys.stderr, end="")
    print("", end="", flush=True)

main()
"""


def rehearse(sources: str) -> None:
    """Run calls as a worker does, then remove their traces."""
    arguments: list[object] = [1, [1.5, 2.5]]
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        arguments[0] = numpy.arange(3.0)
    play(SOURCE, arguments, {"c": "text"}, TIMES, sources)


def play_once(sources: str) -> None:
    """Run one call that does only what every call does."""
    play("def f(x):\n    return x\n", [1], {}, 1, sources)


def play(
    source: str, args: list[object], kwargs: dict[str, object], times: int, sources: str
) -> None:
    request = pack_request(
        code=source,
        function="f",
        args=args,
        kwargs=kwargs,
        python_path=[],
        env={},
        codec="data",
    )
    _play(request, times, sources, RESULT_OK)
    sys.modules.pop(NAME, None)


def rehearse_script(sources: str) -> None:
    """Run programs as a worker does, then remove their traces."""
    if not sources:
        return
    names = ("stdin", "__stdin__", "argv", "orig_argv")
    was = {name: getattr(sys, name) for name in names}
    cwd, stdin = os.open(".", os.O_PATH | os.O_DIRECTORY), os.dup(0)
    atexit._clear()  # an end runs them, and the template's own is not near
    sys.__stdin__ = open_stdin()  # type: ignore[misc]  # the template's must not have been read
    request = pack_request(
        code=SCRIPT, function="", encoded=[b"text\n"], python_path=[], env={}, codec="data"
    )
    _play(request, TIMES, sources, RESULT_ENDED)
    _runtime.exact_streams(False)
    revive()
    keep_exits()
    vars(sys).update(was)
    os.dup2(stdin, 0)
    os.fchdir(cwd)
    os.close(stdin)
    os.close(cwd)


def _play(request: Segments, times: int, sources: str, good: int) -> None:
    path = list(sys.path)
    file = slot(sources) if sources else None
    executor = Executor(worker_id="", node_id="", isolation="fresh", identity=(), source=file)
    segments = tuple(memoryview(bytearray(segment)) for segment in request)
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    for _ in range(times):
        if file is not None:
            file.clear()
        status, _, _ = executor.run(segments, 0)
        if status != good:
            break  # a preload has broken what calls need; real calls will report it
        revive()
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)  # a fresh call leaves signals blocked
    linecache.cache.pop(FILE if file is None else file.path, None)
    if file is not None:
        file.clear()
        file.close()
    sys.path[:] = path

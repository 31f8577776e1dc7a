# SPDX-License-Identifier: Apache-2.0
"""Reading, each in its own thread, of values of the codec ``pickle`` whose reading runs code.

Such code may raise exceptions that are not an `Exception`, and may take any time. In a thread of
its own it interrupts no other code. The thread that settles the call waits for the value for a
moment, which suffices for most values. After that the reading thread settles the call. If the
call's time passes first, a timer settles it as ``timeout``. No thread can be killed, so the reading
thread goes on until the code ends.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from pinfold._client.outcome import failed, late_result, result_of
from pinfold.call import FOREVER_NS

if TYPE_CHECKING:
    from pinfold._client.record import Record, Settler
    from pinfold._ext._pool import Result
    from pinfold.result import WorkerResult

_MOMENT_S = 0.005  # how long a settling thread, which may run an event loop, waits for the value
_LEAST_S = 0.05  # the time for the reading if the call has used up its own


def read(engine: Settler, raw: Result, record: Record) -> WorkerResult | None:
    """Read a result in another thread. Return None if that takes longer than a moment: then another
    thread settles the call, and `raw` is marked as delivered."""
    reading = _Reading(engine, raw, record)
    try:
        threading.Thread(target=reading.run, name="pinfold-read", daemon=True).start()
    except RuntimeError:  # at the interpreter's end
        return result_of(raw, record, engine.origin, runs=True)
    result = reading.wait()
    if result is None:
        raw.delivered()
    return result


class _Reading:
    """The state that the reading thread and the waiting thread share."""

    def __init__(self, engine: Settler, raw: Result, record: Record) -> None:
        self._engine = engine
        self._raw = raw
        self._record = record
        self._left_s = _left_s(raw, record)
        self._result: WorkerResult | None = None
        self._alone = False  # the settling thread no longer waits
        self._lock = threading.Lock()
        self._done = threading.Event()

    def run(self) -> None:
        try:
            result = result_of(self._raw, self._record, self._engine.origin, runs=True)
        except BaseException as error:
            result = failed("internal", f"the call's value cannot be read: {error!r}")
        with self._lock:
            self._result = result
            alone = self._alone
        self._done.set()
        if alone:
            self._engine.settle_read(self._record, result)

    def wait(self) -> WorkerResult | None:
        self._done.wait(_MOMENT_S)
        with self._lock:
            if self._result is None:
                self._alone = True
                self._start_timer()
            return self._result

    def _start_timer(self) -> None:
        if self._left_s is not None:
            timer = threading.Thread(target=self._end, name="pinfold-read-timer", daemon=True)
            timer.start()

    def _end(self) -> None:
        if not self._done.wait(self._left_s):
            late = late_result(self._raw, self._record, self._engine.origin)
            self._engine.settle_read(self._record, late)


def _left_s(raw: Result, record: Record) -> float | None:
    """Return the rest of the call's time, None if the call has no bound."""
    figures = raw.metrics()
    queue_ns, wall_ns = (figures.queue_ns, figures.wall_ns) if figures is not None else (0, 0)
    left = []
    if record.deadline_ns < FOREVER_NS:
        left.append(record.deadline_ns - queue_ns - wall_ns)
    if record.wall_ns:
        left.append(record.wall_ns - wall_ns)
    return max(min(left) / 1e9, _LEAST_S) if left else None

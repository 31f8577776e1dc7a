"""Values whose reading runs code, of the codec ``pickle``: each is read in a thread of its own.

Such code may raise what is no `Exception`, and may take as long as it likes. In a thread of its own
it interrupts nobody. Whoever settles the call waits for it for a moment, which most values take
less than. After that the call is settled by the thread that reads, or, if the call's time passes
first, by a timer: then its outcome is ``timeout``. No thread can be ended, so the one that reads
goes on until the code lets it.
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

_MOMENT_S = 0.005  # how long whoever settles a call, an event loop even, waits for its value
_LEAST_S = 0.05  # what a call that has used up its time has to be read in


def read(engine: Settler, raw: Result, record: Record) -> WorkerResult | None:
    """Read a result in another thread. None if that takes longer than a moment: then another thread
    settles the call, and `raw` is told."""
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
    """What the thread that reads a value shares with the one that waits for it."""

    def __init__(self, engine: Settler, raw: Result, record: Record) -> None:
        self._engine = engine
        self._raw = raw
        self._record = record
        self._left_s = _left_s(raw, record)
        self._result: WorkerResult | None = None
        self._alone = False  # nobody waits any more
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
    """What is left of the call's time; None: it has all the time there is."""
    figures = raw.metrics()
    queue_ns, wall_ns = (figures.queue_ns, figures.wall_ns) if figures is not None else (0, 0)
    left = []
    if record.deadline_ns < FOREVER_NS:
        left.append(record.deadline_ns - queue_ns - wall_ns)
    if record.wall_ns:
        left.append(record.wall_ns - wall_ns)
    return max(min(left) / 1e9, _LEAST_S) if left else None

# SPDX-License-Identifier: Apache-2.0
"""Learned modules: which ones a pool with ``preload="auto"`` learns, and when it preloads them.

Workers report, beside the result of a call, which installed modules it had to load and how long
each took (_worker/code/imports.py). The learner sums up the cost of each module over the calls.
When the sum exceeds the start time of a template with the module, the pool renews its template. The
new template preloads this module besides those learned before. It takes over when it is ready; if
it fails, the pool drops it.

A candidate may forge a worker's report. A report counts for no more time than its call took. A lie
so costs the pool one start in the background, and the liar as much time before. The template looks
up the names itself, among the installed modules.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pinfold._client.launch import Launch
    from pinfold._ext import _pool
    from pinfold.result import ExecutionMetrics

log = logging.getLogger("pinfold")

_NAMES_MOST = 1000  # modules whose costs are summed up
_NAME_MOST = 200  # characters
_FAILURES_MOST = 5  # after so many templates that could not start, nothing more is learned


class Learner:
    """The learned modules of one pool. Any thread may use it."""

    def __init__(self, launch: Launch) -> None:
        self._launch = launch
        self._lock = threading.RLock()  # reentrant: a garbage collection may settle calls
        self._cost_ns: dict[str, int] = {}
        self._learned: tuple[str, ...] = ()
        self._refused: tuple[str, ...] = ()
        self._trying: str | None = None

    def figures(self) -> dict[str, object]:
        """Return the fields for `PoolStats`."""
        return {"learned": self._learned, "not_learned": self._refused}

    def take(self, pool: _pool.Pool | None, note: bytes, metrics: ExecutionMetrics | None) -> None:
        """Learn from the note that a worker sent with the result of a call."""
        if pool is None or not (note or self._trying):
            return
        self.look(pool)
        if not note or metrics is None:
            return
        costs = read_note(note, int(metrics.wall_time_s * 1e9))
        with self._lock:
            for name, cost in costs.items():
                if name in self._cost_ns or len(self._cost_ns) < _NAMES_MOST:
                    self._cost_ns[name] = self._cost_ns.get(name, 0) + cost
            self._renew(pool, costs)

    def _renew(self, pool: _pool.Pool, costs: dict[str, int]) -> None:
        """Start a template with one of these modules, if one costs more than the start."""
        known = {*self._learned, *self._refused}
        if self._trying is not None or len(self._refused) >= _FAILURES_MOST:
            return
        with contextlib.suppress(ValueError, OSError):  # the pool closes
            start_ns = pool.stats()["template_start_ns"]
            for name, cost in costs.items():
                if name not in known and self._cost_ns.get(name, 0) > start_ns + cost:
                    pool.renew(self._launch.command([*self._learned, name]))
                    self._trying = name
                    return

    def look(self, pool: _pool.Pool) -> None:
        """Check whether the renewal under way has succeeded or failed."""
        failure = None
        with self._lock:
            name = self._trying
            if name is None:
                return
            try:
                if not pool.renewal():
                    return
                self._learned += (name,)
            except OSError as error:
                if error.errno == errno.ESHUTDOWN:  # the pool closed before the renewal ended
                    return
                failure = _one_line(error.strerror or "")
                self._refused += (name,)
            self._trying = None
            self._cost_ns.pop(name, None)
        pool_id = self._launch.config.pool_id
        if failure is None:
            log.info("%s: the template preloads %s from now on", pool_id, name)
        else:
            log.warning("%s: %s is not preloaded, nor tried again: %s", pool_id, name, failure)


def _one_line(failure: str) -> str:
    """Return the first and the last line of the reason why a template could not start."""
    lines = failure.partition("\nIt printed:\n")[0].strip().splitlines() or [""]
    return lines[0] if len(lines) == 1 else f"{lines[0]} {lines[-1]}"


def read_note(note: bytes, most_ns: int) -> dict[str, int]:
    """Return the modules in a worker's note and their nanoseconds. An invalid note yields nothing,
    and so does one with a sum above `most_ns`."""
    costs: dict[str, int] = {}
    try:
        for line in note.decode("ascii").splitlines():
            name, _, cost = line.partition(" ")
            if len(name) > _NAME_MOST or not all(map(str.isidentifier, name.split("."))):
                return {}
            if not cost.isdigit() or len(cost) > 18:
                return {}
            costs[name] = int(cost)
    except UnicodeDecodeError:
        return {}
    return costs if sum(costs.values()) <= most_ns else {}

"""What a pool with ``preload="auto"`` learns from its calls, and when it acts on it.

Workers tell, beside the result of a call, which installed modules it had to load and how long each
took (_worker/code/imports.py). What a module has cost is summed up over the calls. When that is
more than a template with it takes to start, the pool renews its template: it starts one with this
module besides those learned before, which takes over when it is ready, or is dropped.

What a worker tells is the word of a candidate. It is taken for no more time than its call took, so
that a lie costs the pool one start in the background, and the liar as much time before; and what a
template imports is looked up by the template, in what is installed.
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

_NAMES_MOST = 1000  # modules that are summed up
_NAME_MOST = 200  # characters
_FAILURES_MOST = 5  # after so many templates that could not start, nothing more is learned


class Learner:
    """What one pool has learned. Any thread may use it."""

    def __init__(self, launch: Launch) -> None:
        self._launch = launch
        self._lock = threading.RLock()  # a collection in the middle may settle calls
        self._cost_ns: dict[str, int] = {}
        self._learned: tuple[str, ...] = ()
        self._refused: tuple[str, ...] = ()
        self._trying: str | None = None

    def figures(self) -> dict[str, object]:
        """For `PoolStats`."""
        return {"learned": self._learned, "not_learned": self._refused}

    def take(self, pool: _pool.Pool | None, note: bytes, metrics: ExecutionMetrics | None) -> None:
        """A call has ended, and its worker told this."""
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
        """Starts a template with one of these modules, if one is worth it."""
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
        """Looks what became of a template that was started."""
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
                if error.errno == errno.ESHUTDOWN:  # nobody will know
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
    """The first and the last line of why a template could not start."""
    lines = failure.partition("\nIt printed:\n")[0].strip().splitlines() or [""]
    return lines[0] if len(lines) == 1 else f"{lines[0]} {lines[-1]}"


def read_note(note: bytes, most_ns: int) -> dict[str, int]:
    """The modules that a worker tells of, and their nanoseconds: together no more than `most_ns`.
    Nothing, if that or anything else is wrong with it."""
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

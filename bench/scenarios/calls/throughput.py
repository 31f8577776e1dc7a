# SPDX-License-Identifier: Apache-2.0
"""Throughput of trivial calls, by the number of workers."""

from __future__ import annotations

from bench.measure import now, timed
from bench.programs import SLEEP, TRIVIAL
from bench.systems import PEERS, make
from bench.systems.base import Call, CannotDo, System

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from bench.results import Results
    from bench.tables import Table

TITLE = "Throughput of 5,000 trivial calls"
ABOUT = (
    "All calls are submitted at once, then their values are taken. A system that would need more"
    " than about two seconds gets fewer calls, in proportion to its time for 100."
)
LIMIT_S = 35.0
WORKERS = (1, 2, 8, 64)
CALLS = 5000
BUDGET_S = 0.8
ENTRIES = {
    "pinfold-fresh": 2,
    "pinfold-reuse": 2,
    **dict.fromkeys(PEERS, 1),
    "loky": 2,
    "pool": 2,
}


def measure(system: str, number: int) -> Iterator[dict[str, Any]]:
    trivial = Call(TRIVIAL, 7)
    for workers in WORKERS:
        if workers == WORKERS[-1] and number > 0:
            return  # most systems take long to start so many workers: one round is enough
        if system == "ray" and workers == 64:
            yield {"cannot 64": "64 Ray workers need more memory and time than there is"}
            return
        under_test = make(system)
        try:
            under_test.open(workers)
        except CannotDo as reason:
            yield {f"cannot {workers}": str(reason)}
            continue
        if system != "new-python":  # it has no workers between calls
            all_up(under_test, workers)
        probe = 20 if system == "new-python" else 100
        took = timed(lambda: under_test.run([trivial] * probe))  # noqa: B023
        calls = [trivial] * min(CALLS, max(20, int(probe * BUDGET_S / took)))
        took = timed(lambda: under_test.run(calls))  # noqa: B023
        yield {str(workers): len(calls) / took}
        under_test.close()


def all_up(system: System, workers: int) -> None:
    """Wait until all workers run: as many sleeping calls then take little more time than one."""
    sleepers = [Call(SLEEP, 0.05)] * workers
    until = now() + 5.0
    while timed(lambda: system.run(sleepers)) > 0.5 and now() < until:
        pass


def tables(results: Results) -> list[Table]:
    from bench.results import number
    from bench.tables import Column, grid

    columns = [
        Column(str(n), "1 worker" if n == 1 else f"{n} workers", number, less_is_better=False)
        for n in WORKERS
    ]
    return [grid(f"{TITLE}, calls/s", results, columns, "pinfold-reuse")]

# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: RUF001
"""The cost of a call with more workers, and with more calls in the queue."""

from __future__ import annotations

import os
import time

from bench.measure import now
from bench.programs import SLEEP, TRIVIAL
from bench.systems.base import Call
from bench.systems.pinfold import Pinfold

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

    from bench.results import Results
    from bench.tables import Table

TITLE = "Cost of a call against the number of workers and of queued calls"
ABOUT = (
    "Many trivial calls are submitted at once: with 1, 10 and 100 workers, all of them up, in "
    "turns; and with 10 to 100,000 calls in the queue of two workers. Processor time is that of "
    "the caller and the template, all their threads, for each call; a ratio of 1 means no "
    "growth. Elapsed time depends on the machine's other load."
)
LIMIT_S = 120.0
WORKERS = (1, 10, 100)
QUEUED = {"pinfold-fresh": (10, 100, 1_000), "pinfold-reuse": (10, 100, 1_000, 10_000, 100_000)}
CALLS = {"pinfold-fresh": 300, "pinfold-reuse": 2000}
TURNS = 3
ENTRIES = {"pinfold-fresh": 1, "pinfold-reuse": 1}


def measure(system: str, number: int) -> Iterator[dict[str, Any]]:
    count = CALLS[system]
    pools = {}
    for workers in WORKERS:
        pools[workers] = pool = Pinfold(system.removeprefix("pinfold-"))
        pool.open_with(max_workers=workers)
        pool.run([Call(SLEEP, 0.5)] * workers)
    costs: dict[int, list[Cost]] = {workers: [] for workers in WORKERS}
    for _ in range(TURNS):
        for workers, pool in pools.items():
            costs[workers].append(Cost(pool, 1, count))
    for pool in pools.values():
        pool.close()
    yield figures("workers", costs)

    under_test = Pinfold(system.removeprefix("pinfold-"))
    under_test.open_with(max_workers=2)
    under_test.run([Call(TRIVIAL, 7)] * 100)
    costs = {}
    for queued in QUEUED[system]:
        costs[queued] = [Cost(under_test, max(1, 1000 // queued), queued)]
    under_test.close()
    yield figures("queued", costs)


class Cost:
    """The cost of each of `times` times `count` calls: seconds that passed, processor seconds."""

    def __init__(self, pool: Pinfold, times: int, count: int) -> None:
        calls = [Call(TRIVIAL, 7)] * count
        template = pool.backend.stats().template_pid
        began, computed = now(), time.process_time() + processor_time(template)
        for _ in range(times):
            pool.run(calls)
        each = 1 / (times * count)
        self.passed = (now() - began) * each
        self.computed = (time.process_time() + processor_time(template) - computed) * each


def processor_time(pid: int) -> float:
    """Return the processor time of a process in seconds, proc(5)."""
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def figures(of: str, costs: dict[int, list[Cost]]) -> dict[str, float]:
    found = {}
    base = 0.0
    for number, all_ in costs.items():
        computed = sum(cost.computed for cost in all_) / len(all_)
        base = base or computed
        found[f"{number} {of}_s"] = sum(cost.passed for cost in all_) / len(all_)
        found[f"{number} {of} computed_s"] = computed
        found[f"{number} {of}"] = computed / base
    return found


def tables(results: Results) -> list[Table]:
    return [
        one("Against the number of workers", "workers", WORKERS, results),
        one("Against the number of queued calls", "queued", QUEUED["pinfold-reuse"], results),
    ]


def one(heading: str, of: str, numbers: Sequence[int], results: Results) -> Table:
    from bench.results import number, seconds
    from bench.tables import of_figures

    rows = []
    for count in numbers:
        rows.append(
            (f"{count:,} {of}: processor time of a call", f"{count} {of} computed_s", seconds)
        )
        rows.append((f"{count:,} {of}: time of a call", f"{count} {of}_s", seconds))
        if count != numbers[0]:
            name = f"{count:,} {of}: processor time, to {numbers[0]}"
            rows.append((name, f"{count} {of}", lambda value: f"× {number(value)}"))
    return of_figures(heading, results, rows)

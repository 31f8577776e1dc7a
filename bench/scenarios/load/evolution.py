# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: RUF001
"""A load shaped like a generation of an evolutionary search."""

from __future__ import annotations

from bench.measure import cpus, timed
from bench.programs import TRIVIAL, evolved_programs
from bench.systems import PEERS, make
from bench.systems.base import Call

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from bench.results import Results
    from bench.tables import Table

TITLE = "A generation of an evolutionary search"
COUNT, SEED = 24, 7
ABOUT = (
    f"{COUNT} different programs of 2 to 8 kB import numpy and compute between 50 ms and 5 s of "
    "processor time, with a heavy tail. All are submitted at once on two workers. Ideal is the "
    "sum of that time, shared evenly by two cores. Only the rows with `fresh` or *new* isolate "
    "the programs from each other."
)
LIMIT_S = 45.0
ENTRIES = {
    "pinfold-fresh": 2,
    "pinfold-reuse": 1,
    **dict.fromkeys(PEERS, 1),
}


def measure(system: str, number: int) -> Iterator[dict[str, Any]]:
    programs = evolved_programs(COUNT, SEED)
    calls = [Call(code, seconds, index) for index, (code, seconds) in enumerate(programs)]
    under_test = make(system)
    under_test.open(2, preload=["numpy"])
    under_test.run([Call(TRIVIAL, 7)] * 4)
    took = timed(lambda: under_test.run(calls))
    ideal = sum(seconds for _, seconds in programs) / min(2, cpus())
    yield {"took_s": took, "over_ideal": took / ideal}
    under_test.close()


def tables(results: Results) -> list[Table]:
    from bench.results import number, seconds
    from bench.tables import Column, by_system

    columns = [
        Column("took_s", "took", seconds),
        Column("over_ideal", "of the ideal", lambda value: f"× {number(value)}", compared=False),
    ]
    return [by_system(TITLE, results, columns)]

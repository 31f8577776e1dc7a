# SPDX-License-Identifier: Apache-2.0
"""A new process for every call, with numpy."""

from __future__ import annotations

from bench import limits
from bench.measure import timed
from bench.programs import NUMPY
from bench.systems import PEERS, make
from bench.systems.base import Call

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from bench.results import Results
    from bench.tables import Table

TITLE = "A new process for every call, with numpy"
ABOUT = (
    "The source imports numpy, and no process runs two calls. Two workers. Systems that can "
    "preload numpy do so."
)
LIMIT_S = 25.0
BUDGET_S = 1.5
ENTRIES = {
    "limit-fork": 4,
    "limit-python": 2,
    "pinfold-fresh": 4,
    **dict.fromkeys(PEERS, 1),
    "pool": 2,
    "new-python": 2,
}


def measure(system: str, number: int) -> Iterator[dict[str, Any]]:
    if system == "limit-fork":
        yield {"rate": limits.fork_loop(1.0)}
        return
    if system == "limit-python":
        yield {"rate": limits.python_loop(1.0)}
        return
    under_test = make(system)
    under_test.open(2, preload=["numpy"], fresh=True)
    call = Call(NUMPY, 7)
    under_test.run([call] * 2)
    took = timed(lambda: under_test.run([call] * 10))
    count = min(5000, max(10, int(10 * BUDGET_S / took)))
    took = timed(lambda: under_test.run([call] * count))
    yield {"rate": count / took}
    under_test.close()


def tables(results: Results) -> list[Table]:
    from bench.results import number
    from bench.tables import Column, by_system

    return [by_system(TITLE, results, [Column("rate", "calls/s", number, less_is_better=False)])]

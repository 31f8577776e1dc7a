# SPDX-License-Identifier: Apache-2.0
"""A new process for every call, with a library that takes two seconds to import."""

from __future__ import annotations

from bench.measure import timed
from bench.programs import SLOW_IMPORT
from bench.systems import PEERS, make
from bench.systems.base import Call

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from bench.results import Results
    from bench.tables import Table

TITLE = "A new process for every call, with a library that takes 2 s to import"
ABOUT = (
    "Two workers. The library computes for two seconds of processor time when it is imported. "
    "Systems that can preload it do so before the clock starts."
)
LIMIT_S = 25.0
BUDGET_S = 1.0
ENTRIES = {
    "pinfold-fresh": 2,
    **dict.fromkeys(PEERS, 1),
}


def measure(system: str, number: int) -> Iterator[dict[str, Any]]:
    under_test = make(system)
    under_test.open(2, preload=["pinfold_bench_slow_library"], fresh=True)
    call = Call(SLOW_IMPORT, 7)
    took = timed(lambda: under_test.run([call] * 2))
    count = 2
    if took < 5 * BUDGET_S or system == "pinfold-fresh":  # fast enough to measure for longer
        took = timed(lambda: under_test.run([call] * 4))
        count = min(2000, max(2, int(4 * BUDGET_S / took)))
        took = timed(lambda: under_test.run([call] * count))
    yield {"rate": count / took}
    under_test.close()


def tables(results: Results) -> list[Table]:
    from bench.results import number
    from bench.tables import Column, by_system

    return [by_system(TITLE, results, [Column("rate", "calls/s", number, less_is_better=False)])]

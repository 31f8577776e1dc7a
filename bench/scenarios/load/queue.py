# SPDX-License-Identifier: Apache-2.0
"""The cost of 100,000 queued calls to the caller."""

from __future__ import annotations

import os

from bench.measure import now, status_kb
from bench.programs import SLEEP, TRIVIAL
from bench.systems import PEERS, make
from bench.systems.base import Call

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from bench.results import Results
    from bench.tables import Table

TITLE = "100,000 queued calls"
ABOUT = (
    "While the workers sleep, trivial calls are submitted, up to 100,000 of them or for 8 s. "
    "Memory is the growth of the caller's resident memory, with all that it holds for a call."
)
LIMIT_S = 30.0
CALLS = 100_000
ENTRIES = {
    "pinfold-fresh": 1,
    "pinfold-reuse": 2,
    **dict.fromkeys(PEERS, 1),
}


def measure(system: str, number: int) -> Iterator[dict[str, Any]]:
    under_test = make(system)
    under_test.open(2)
    under_test.run([Call(TRIVIAL, 7)] * 4)
    kept = [under_test.submit_only(Call(SLEEP, 60)) for _ in range(2)]
    call = Call(TRIVIAL, 7)
    for _ in range(100):
        kept.append(under_test.submit_only(call))
    before = status_kb("VmRSS")
    count = 0
    began = now()
    while count < CALLS and now() < began + 8:
        for _ in range(100):
            kept.append(under_test.submit_only(call))
        count += 100
    took = now() - began
    grown = (status_kb("VmRSS") - before) * 1024
    yield {"bytes": grown / count, "submit_s": took / count, "count": count}
    os.write(3, b"{}\n")
    os._exit(0)


def tables(results: Results) -> list[Table]:
    from bench.results import seconds, size
    from bench.tables import Column, by_system

    columns = [
        Column("bytes", "memory per call", size),
        Column("submit_s", "time per submit", seconds),
        Column("count", "calls", "{:,.0f}".format, compared=False),
    ]
    return [by_system(TITLE, results, columns)]

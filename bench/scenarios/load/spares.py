# SPDX-License-Identifier: Apache-2.0
"""The memory of idle workers."""

from __future__ import annotations

import time

from bench.measure import now, timed
from bench.programs import TRIVIAL
from bench.systems.base import Call, CannotDo
from bench.systems.pinfold import Pinfold

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from bench.results import Results
    from bench.tables import Table

TITLE = "Idle workers"
SPARES = 64
ABOUT = (
    f"{SPARES} workers of a template that has loaded numpy wait for their first call. "
    "`stats(memory=True)` reports the figures. Private memory is shared with no other process. "
    "Pss counts a shared page once, however many processes use it, the template included."
)
LIMIT_S = 30.0
ENTRIES = {"pinfold-fresh": 3}


def measure(system: str, number: int) -> Iterator[dict[str, Any]]:
    under_test = Pinfold(system.removeprefix("pinfold-"))
    under_test.open_with(max_workers=SPARES, preload=("numpy",))
    under_test.run([Call(TRIVIAL, 7)] * 4 * SPARES)
    until = now() + 10
    while (stats := under_test.backend.stats()).idle < SPARES or stats.ending:
        if now() > until:
            raise CannotDo("they did not come up within 10 s")
        time.sleep(0.01)
    time.sleep(0.5)  # until the last workers have become idle
    took = timed(lambda: under_test.backend.stats(memory=True))
    memory = under_test.backend.stats(memory=True).memory
    yield {
        "private": memory.private_kb * 1024 / memory.workers,
        "private_most": memory.private_most_kb * 1024,
        "pss": memory.pss_kb * 1024,
        "took_s": took,
    }
    under_test.close()


def tables(results: Results) -> list[Table]:
    from bench.results import seconds, size
    from bench.tables import of_figures

    rows = [
        ("private memory of each, on average", "private", size),
        ("private memory of the largest", "private_most", size),
        (f"Pss of all {SPARES} and the template", "pss", size),
        ("to look it up", "took_s", seconds),
    ]
    return [of_figures(TITLE, results, rows)]

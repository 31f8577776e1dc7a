# SPDX-License-Identifier: Apache-2.0
"""The cost of a box to a call in a fresh worker."""

from __future__ import annotations

import time

from bench.measure import median, now, percentile, timed
from bench.programs import NUMPY
from bench.systems.base import Call, CannotDo
from bench.systems.pinfold import Pinfold

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from bench.results import Results
    from bench.tables import Table

TITLE = "The price of a sandbox"
ABOUT = (
    "The same trivial call, numpy preloaded, runs in `fresh` workers without a box and in a box "
    "of each level. The three take turns in one process, call by call (every 5 ms) and batch by "
    "batch. *More* is the difference to a call without a box."
)
LIMIT_S = 40.0
LEVELS = ("none", "standard", "strict")
ENTRIES = {"pinfold-fresh": 2}
BATCH = 200
PACE_S = 0.005


def measure(system: str, number: int) -> Iterator[dict[str, Any]]:
    call = Call(NUMPY, 7)
    boxes = {level: Pinfold("fresh") for level in LEVELS}
    for level, box in boxes.items():
        box.open_with(max_workers=2, preload=("numpy",), sandbox=level)
        try:
            box.run([call] * 20)
        except Exception as error:
            raise CannotDo(f"{level}: {error}") from None
    times: dict[str, list[float]] = {level: [] for level in LEVELS}
    until = now() + 4.0
    while now() < until:
        for level, box in boxes.items():
            time.sleep(PACE_S)
            times[level].append(timed(lambda: box.call(call)))  # noqa: B023
    rates: dict[str, list[float]] = {level: [] for level in LEVELS}
    until = now() + 6.0
    while now() < until:
        for level, box in boxes.items():
            rates[level].append(BATCH / timed(lambda: box.run([call] * BATCH)))  # noqa: B023
    for level in LEVELS:
        yield {
            f"{level} trip_s": median(times[level]),
            f"{level} p99_s": percentile(times[level], 99),
            f"{level} rate": median(rates[level]),
        }
        if level != "none":
            yield {
                f"{level} more_s": median(times[level]) - median(times["none"]),
                f"{level} each_s": 1 / median(rates[level]) - 1 / median(rates["none"]),
            }
    for box in boxes.values():
        box.close()


def tables(results: Results) -> list[Table]:
    from bench.results import number, seconds
    from bench.tables import Table

    made = Table(
        TITLE,
        ["level", "round trip", "p99", "more", "calls/s, 2 workers", "more time per call"],
    )

    def shown(level: str, metric: str, how: Any) -> str:
        found = results.median("pinfold-fresh", f"{level} {metric}")
        return how(found) if found is not None else ""

    for level in LEVELS:
        made.rows.append(
            [
                f"`{level}`",
                shown(level, "trip_s", seconds),
                shown(level, "p99_s", seconds),
                shown(level, "more_s", seconds),
                shown(level, "rate", number),
                shown(level, "each_s", seconds),
            ]
        )
    return [made]

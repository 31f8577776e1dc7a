# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: RUF001
"""Programs that all import a library: learned, or preloaded by hand."""

from __future__ import annotations

from bench.measure import timed
from bench.programs import LIBRARY_IMPORT
from bench.systems.base import Call
from bench.systems.pinfold import Pinfold

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from bench.results import Results
    from bench.tables import Table

TITLE = "A template that learns"
ABOUT = (
    "Each program imports a library that computes for 500 ms of processor time when it is "
    'imported. Each call gets a new process on two workers. `preload="auto"` and a preload by '
    "hand take turns in one process, after the first 20 calls."
)
LIMIT_S = 40.0
LIBRARY = "pinfold_bench_library"
FIRST, THEN, TURNS = 20, 100, 10
ENTRIES = {"pinfold-fresh": 2}


def measure(system: str, number: int) -> Iterator[dict[str, Any]]:
    call = Call(LIBRARY_IMPORT, 7)
    ways: dict[str, Pinfold] = {}
    for way, preload in (("auto", "auto"), ("hand", (LIBRARY,))):
        ways[way] = under_test = Pinfold(system.removeprefix("pinfold-"))
        under_test.open_with(max_workers=2, preload=preload)
        yield {f"{way} first_s": timed(lambda: under_test.run([call] * FIRST))}  # noqa: B023
    took = {"auto": 0.0, "hand": 0.0}
    for _ in range(TURNS):
        for way in took:
            took[way] += timed(lambda: ways[way].run([call] * THEN))  # noqa: B023
    yield {f"{way} rate": TURNS * THEN / seconds for way, seconds in took.items()}
    yield {"behind": took["auto"] / took["hand"]}
    for way in took:
        ways[way].close()


def tables(results: Results) -> list[Table]:
    from bench.results import number, seconds
    from bench.tables import of_figures

    rows = [
        (f'the first {FIRST} calls, `preload="auto"`', "auto first_s", seconds),
        (f"the first {FIRST} calls, preloaded by hand", "hand first_s", seconds),
        ('then, calls/s, `preload="auto"`', "auto rate", number),
        ("then, calls/s, preloaded by hand", "hand rate", number),
        ("by hand is faster by", "behind", lambda value: f"× {number(value)}"),
    ]
    return [of_figures(TITLE, results, rows)]

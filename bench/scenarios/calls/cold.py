# SPDX-License-Identifier: Apache-2.0
"""Cold start: from the import of the library to the first value."""

from __future__ import annotations

import sys
import time

TITLE = "Cold start to the first value"
ABOUT = (
    "The time runs from the first line of a program, the library's import included, through "
    "opening a pool of two workers to the value of a first, trivial call. The start of the "
    "program's own interpreter does not count."
)
LIMIT_S = 20.0
ENTRIES = {
    "pinfold-fresh": 7,
    "pinfold-reuse": 7,
    "loky": 7,
    "futures-spawn": 3,
    "futures-forkserver": 3,
    "pool": 3,
    "joblib": 3,
    "pebble": 3,
    "deadpool": 3,
    "mpire": 3,
    "ray": 2,
    "new-python": 3,
}

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.results import Results
    from bench.tables import Table


def measure(system: str, number: int) -> Iterator[dict[str, float]]:
    from bench.systems import make
    from bench.systems.base import Call

    under_test = make(system)
    under_test.open(2)
    value = under_test.call(Call("def f(x):\n    return x\n", 7))
    took = time.perf_counter() - sys.modules["__main__"].began
    assert value == 7
    yield {"first_value_s": took}
    under_test.close()


def tables(results: Results) -> list[Table]:
    from bench.results import seconds
    from bench.tables import Column, by_system

    return [by_system(TITLE, results, [Column("first_value_s", "to the first value", seconds)])]

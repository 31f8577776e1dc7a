# SPDX-License-Identifier: Apache-2.0
"""An array of 4 GiB as a result."""

from __future__ import annotations

from bench.measure import now, reset_peak, status_kb
from bench.programs import MAKE
from bench.systems import make
from bench.systems.base import Call, CannotDo

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from bench.results import Results
    from bench.tables import Table

TITLE = "A 4 GiB array as a result"
ABOUT = (
    "One call. The memory is the caller's peak of resident memory until it has the value, before"
    " it touches the value. The last column is the time to read all of it once, by a sum."
)
LIMIT_S = 40.0
SIZE = 4 << 30
NEEDED_KB = 18 << 20
ENTRIES = {
    "pinfold-fresh": 2,
    "pinfold-reuse": 1,
    "loky": 1,
    "ray": 1,
}


def measure(system: str, number: int) -> Iterator[dict[str, Any]]:
    with open("/proc/meminfo") as meminfo:
        available = next(int(line.split()[1]) for line in meminfo if "MemAvailable" in line)
    if available < NEEDED_KB:
        raise CannotDo("this machine has not the 18 GiB of free memory that pickling pools need")
    under_test = make(system)
    under_test.open(2, preload=["numpy"])
    under_test.call(Call(MAKE["array"], 1 << 20))
    before = reset_peak()
    began = now()
    value = under_test.call(Call(MAKE["array"], SIZE))
    took = now() - began
    yield {"value_s": took, "rss": max(0, status_kb("VmHWM") - before) * 1024}
    began = now()
    total = value.sum()
    yield {"read_s": now() - began}
    assert total == SIZE // 8
    del value
    under_test.close()


def tables(results: Results) -> list[Table]:
    from bench.results import seconds, size
    from bench.tables import Column, by_system

    columns = [
        Column("value_s", "to the value", seconds),
        Column("rss", "caller's memory", size, compared=False),
        Column("read_s", "to read it once", seconds, compared=False),
    ]
    note = (
        "The other pools, left out to save time, do as loky: they pickle the array and send it "
        "through a pipe."
    )
    return [by_system(TITLE, results, columns, [note])]

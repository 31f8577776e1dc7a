# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: RUF001
"""Calls beside a large dataset that the set-up loaded once."""

from __future__ import annotations

from bench.measure import median, now, timed
from bench.programs import TRIVIAL
from bench.systems.base import Call, CannotDo
from bench.systems.pinfold import Pinfold

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from bench.results import Results
    from bench.tables import Table

TITLE = "A dataset of 1 GiB, set up once"
ABOUT = (
    "`setup` makes 1 GiB in the template: one array, 1,024 byte strings, or 30 million floats. "
    "Each trivial call gets a new process on two workers, in turns with a pool without a set-up."
    " The round trip is that of one call after another; *slower by* is the ratio of the medians."
)
LIMIT_S = 90.0
NEEDED_KB = 4 << 20
DATA = {
    "array": "import numpy\ndata = numpy.ones(1 << 27)\n",
    "strings": "data = [bytes([i % 256]) * (1 << 20) for i in range(1024)]\n",
    "floats": "data = [float(i) for i in range(30_000_000)]\n",
}
TURNS, TIMES = 20, 10
ENTRIES = {"pinfold-fresh": 2}


def measure(system: str, number: int) -> Iterator[dict[str, Any]]:
    with open("/proc/meminfo") as meminfo:
        available = next(int(line.split()[1]) for line in meminfo if "MemAvailable" in line)
    if available < NEEDED_KB:
        raise CannotDo("this machine has not 4 GiB of free memory")
    call = Call(TRIVIAL, 7)
    for kind, setup in DATA.items():
        pools = {}
        for name, source in (("plain", None), ("loaded", setup)):
            pools[name] = Pinfold(system.removeprefix("pinfold-"))
            pools[name].open_with(
                max_workers=2, preload=("numpy",), setup=source, setup_timeout_s=60
            )
            began = now()
            pools[name].run([call] * 4)
            if source:
                yield {f"{kind} start_s": now() - began}
        times: dict[str, list[float]] = {name: [] for name in pools}
        for _ in range(TURNS):
            for name, pool in pools.items():
                times[name] += [timed(lambda: pool.call(call)) for _ in range(TIMES)]  # noqa: B023
        for pool in pools.values():
            pool.close()
        plain, loaded = median(times["plain"]), median(times["loaded"])
        yield {f"{kind} plain_s": plain, f"{kind} loaded_s": loaded, f"{kind}": loaded / plain}


def tables(results: Results) -> list[Table]:
    from bench.results import number, seconds
    from bench.tables import of_figures

    rows = []
    for kind in DATA:
        rows += [
            (f"{kind}: time to the first calls", f"{kind} start_s", seconds),
            (f"{kind}: round trip without it", f"{kind} plain_s", seconds),
            (f"{kind}: round trip with it", f"{kind} loaded_s", seconds),
            (f"{kind}: slower by", kind, lambda value: f"× {number(value)}"),
        ]
    return [of_figures(TITLE, results, rows)]

# SPDX-License-Identifier: Apache-2.0
"""Values of every size, as the argument of a call."""

from __future__ import annotations

from bench.programs import MAKE, TAKE
from bench.scenarios.values.results import transfer
from bench.systems import PEERS, make
from bench.systems.base import Call
from bench.worker import run_source

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from bench.results import Results
    from bench.tables import Table

TITLE = "Arguments of every size"
ABOUT = (
    "The same values travel as arguments: the function returns their size. The memory is the "
    "caller's growth during the largest call, above what it had with the argument made."
)
LIMIT_S = 40.0
KIB, MIB = 1 << 10, 1 << 20
SIZES = {
    "array": (KIB, MIB, 256 * MIB),
    "bytes": (MIB, 64 * MIB),
    "nested": (MIB, 64 * MIB),
}
ENTRIES = {
    "pinfold-fresh": 2,
    "pinfold-reuse": 2,
    **dict.fromkeys(PEERS, 1),
}


def measure(system: str, number: int) -> Iterator[dict[str, Any]]:
    under_test = make(system)
    under_test.open(2, preload=["numpy"])
    for kind, sizes in SIZES.items():
        for size in sizes:
            name = f"{kind} {size}"
            value = run_source(MAKE[kind], "f", [size])
            try:
                took, peak = transfer(under_test, Call(TAKE[kind], value), size)
            except Exception as error:
                yield {f"cannot {name}": f"{type(error).__name__}: {str(error)[:100]}"}
            else:
                yield {name: took, f"{name} rss": peak}
    under_test.close()


def tables(results: Results) -> list[Table]:
    from bench.results import seconds
    from bench.results import size as shown_size
    from bench.tables import Column, grid

    made = []
    for kind, sizes in SIZES.items():
        columns = [Column(f"{kind} {size}", shown_size(size), seconds) for size in sizes]
        memory = Column(f"{kind} {sizes[-1]} rss", "caller's memory", shown_size, compared=False)
        made.append(grid(f"{TITLE}: {kind}", results, [*columns, memory], "pinfold-fresh"))
    return made

# SPDX-License-Identifier: Apache-2.0
"""The cost of print in a call, compared with plain Python whose output is a pipe."""

from __future__ import annotations

from bench.measure import median
from bench.systems.base import Call
from bench.systems.pinfold import Pinfold

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from bench.results import Results
    from bench.tables import Table

TITLE = "300,000 prints"
ABOUT = (
    "A program prints 300,000 numbers, flushes, and reports how long that took: in plain "
    "`python -c` with its output on a pipe that a process reads, in a call of each isolation mode "
    "without a box, and in each box. All take turns; the ratio is that of the medians of one round."
)
LIMIT_S = 60.0
ENTRIES = {"pinfold-fresh": 3}
TURNS = 5
PROGRAM = """
def f(count):
    import sys, time
    began = time.perf_counter()
    for i in range(count):
        print(i)
    sys.stdout.flush()
    return time.perf_counter() - began
"""
PLAIN = PROGRAM + "\nimport sys\nsys.stderr.write(str(f(int(sys.argv[1]))))\n"
COUNT = 300_000
MODES = {
    "fresh": ("fresh", "none"),
    "reuse": ("reuse", "none"),
    "spawn": ("spawn", "none"),
    "standard": ("fresh", "standard"),
    "strict": ("fresh", "strict"),
}


def plain() -> float:
    import os
    import subprocess
    import sys

    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    command = [sys.executable, "-c", PLAIN, str(COUNT)]
    ended = subprocess.run(command, capture_output=True, check=True, env=environment)
    return float(ended.stderr)


def measure(system: str, number: int) -> Iterator[dict[str, Any]]:
    import os

    os.environ.pop("PYTHONUNBUFFERED", None)
    pools = {}
    for mode, (isolation, sandbox) in MODES.items():
        pools[mode] = pool = Pinfold(isolation)
        pool.open_with(max_workers=1, sandbox=sandbox)
        try:
            pool.call(Call(PROGRAM, 1))
        except Exception as error:
            pool.close()
            del pools[mode]
            yield {f"cannot {mode}": str(error)}
    times: dict[str, list[float]] = {mode: [] for mode in ("plain", *pools)}
    for _ in range(TURNS):
        times["plain"].append(plain())
        for mode, pool in pools.items():
            times[mode].append(pool.call(Call(PROGRAM, COUNT)))
    for mode, found in times.items():
        yield {f"{mode}_s": median(found)}
        if mode != "plain":
            yield {f"{mode} ratio": median(found) / median(times["plain"])}
    for pool in pools.values():
        pool.close()


def tables(results: Results) -> list[Table]:
    from bench.results import seconds
    from bench.tables import Table

    made = Table(TITLE, ["where", "time", "against plain Python"])
    for mode in ("plain", *MODES):
        took = results.median("pinfold-fresh", f"{mode}_s")
        share = results.median("pinfold-fresh", f"{mode} ratio")
        made.rows.append(
            [
                "plain Python" if mode == "plain" else f"`{mode}`",
                "" if took is None else seconds(took),
                "" if share is None else f"\N{MULTIPLICATION SIGN} {share:.2f}",
            ]
        )
    return [made]

# SPDX-License-Identifier: Apache-2.0
"""Write docs/lab/benchmarks.md and its chart."""

from __future__ import annotations

import os
import platform
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from bench import chart
from bench.results import Results
from bench.tables import Table

HEAD = """\
# Benchmarks

`make bench` writes this page (no root needed); nothing here is typed by hand. It compares Pinfold
with what a user would pick instead, each at its newest release, in an environment of its own, used
as its documentation advises. The peers get the same programs, through the helper that their users
write (`bench/worker.py`). Every measurement is a process of its own. All systems take turns, round
after round; a ratio is the median of the ratios of the single rounds, with the least and the
largest in parentheses. A ratio above 1 means that Pinfold is better by that much; where it is
worse, the table says **behind**. Where a system has no means for a scenario, the table says why.
*Limits* are not rivals: they show the bounds of the machine.

"""


@dataclass(frozen=True)
class Machine:
    """The machine, the versions and the date of a run."""

    lines: list[tuple[str, str]]

    @staticmethod
    def this(versions: Mapping[str, str], began: float) -> Machine:
        lines = [
            ("date", time.strftime("%Y-%m-%d", time.gmtime(began))),
            ("took", f"{(time.time() - began) / 60:.1f} minutes"),
            ("processor", f"{_processor()}, {len(os.sched_getaffinity(0))} cores"),
            ("memory", f"{_memory_gib():.0f} GiB"),
            ("load average at the end", _load()),
            ("kernel", re.match(r"[\d.]+", platform.release()).group()),  # type: ignore[union-attr]
            ("C library", " ".join(platform.libc_ver())),
            *versions.items(),
        ]
        return Machine(lines)

    def table(self) -> Table:
        return Table("", ["", ""], [list(line) for line in self.lines])


def write(
    directory: Path,
    machine: Machine,
    modules: Mapping[str, ModuleType],
    measured: Mapping[str, Results],
    reached: Table,
) -> Iterator[Path]:
    """Write the document and the chart. Yield their paths."""
    drawn = directory / "benchmarks.svg"
    drawn.write_text(chart.draw(measured))
    yield drawn
    document = directory / "benchmarks.md"
    document.write_text("".join(_document(machine, modules, measured, reached)))
    yield document


def _document(
    machine: Machine,
    modules: Mapping[str, ModuleType],
    measured: Mapping[str, Results],
    reached: Table,
) -> Iterator[str]:
    yield HEAD
    reached.heading = ""
    yield f"## Goals\n\n`make bench`\n\n{reached.markdown()}\n"
    yield "![Pinfold beside other pools](benchmarks.svg)\n\n"
    yield f"## Machine and versions\n\n{machine.table().markdown()}\n"
    for name, module in modules.items():
        yield f"## {module.TITLE}\n\n{module.ABOUT}\n\n`make bench BENCH={name}`\n\n"
        for table in module.tables(measured[name]):
            if table.heading == module.TITLE:
                table.heading = ""
            yield table.markdown() + "\n"


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _load() -> str:
    one, five, fifteen = os.getloadavg()
    return f"{one:.1f}, {five:.1f}, {fifteen:.1f} (1, 5 and 15 minutes)"


def _memory_gib() -> float:
    with open("/proc/meminfo") as meminfo:
        return int(next(meminfo).split()[1]) / (1 << 20)

# SPDX-License-Identifier: Apache-2.0
"""Sample the resources that a process holds, and decide whether they grow."""

from __future__ import annotations

import ctypes
import math
import os
from array import array
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

# KiB, of /proc/PID/smaps_rollup. Private and proportional figures depend on the other processes of
# the machine that map the same libraries; anonymous memory does not.
MEMORY = ("Rss", "Anonymous")
MALLOC = "malloc"
COUNTS = ("descriptors", "threads", "mappings")

# A page for each 100,000 calls. A leak at every call, or at every thousandth, is larger.
PAGE_KB = 4.0


def memory_of(pid: int) -> list[float]:
    fields = dict.fromkeys(MEMORY, 0.0)
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]:
        name, _, rest = line.partition(":")
        if name in fields:
            fields[name] = float(rest.split()[0])
    return list(fields.values())


class _Mallinfo(ctypes.Structure):
    """The struct of mallinfo(3)."""

    _fields_ = [
        ("arena", ctypes.c_size_t),
        ("ordblks", ctypes.c_size_t),
        ("smblks", ctypes.c_size_t),
        ("hblks", ctypes.c_size_t),
        ("hblkhd", ctypes.c_size_t),
        ("usmblks", ctypes.c_size_t),
        ("fsmblks", ctypes.c_size_t),
        ("uordblks", ctypes.c_size_t),
        ("fordblks", ctypes.c_size_t),
        ("keepcost", ctypes.c_size_t),
    ]


_libc = ctypes.CDLL(None)
_libc.mallinfo2.restype = _Mallinfo

# malloc's figure is exact without its caches of freed memory, which fill for hours. With one heap
# for all threads, the process's memory settles earlier.
TUNABLES = ":".join(
    f"glibc.malloc.{name}" for name in ("tcache_count=0", "mxfast=0", "arena_max=1")
)


def malloc_in_use() -> float:
    """Return the memory that this process has allocated and not freed, in KiB."""
    info = _libc.mallinfo2()
    return float(info.uordblks + info.hblkhd) / 1024


def counts_of(pid: int) -> list[float]:
    place = Path(f"/proc/{pid}")
    with (place / "maps").open("rb") as maps:
        mappings = sum(1 for _ in maps)
    return [
        float(len(os.listdir(place / "fd"))),
        float(len(os.listdir(place / "task"))),
        float(mappings),
    ]


def descendants_of(pid: int) -> int:
    """Return the number of processes below it."""
    children = [
        int(child)
        for task in os.listdir(f"/proc/{pid}/task")
        for child in Path(f"/proc/{pid}/task/{task}/children").read_text().split()
    ]
    return len(children) + sum(map(descendants_of, children))


@dataclass(frozen=True)
class Slope:
    """The least-squares line through a row of samples, and its confidence interval."""

    name: str
    first: float
    last: float
    per_100k: float
    error: float
    """Half of the 95 % confidence interval."""
    memory: bool

    @property
    def grows(self) -> bool:
        return self.per_100k - self.error > (PAGE_KB if self.memory else 0.0)

    def __str__(self) -> str:
        unit = " KiB" if self.memory else ""
        word = "GROWS" if self.grows else "no"
        return (
            f"| {self.name} | {self.first:,.0f}{unit} | {self.last:,.0f}{unit} "
            f"| {self.per_100k:+.2f} ± {self.error:.2f}{unit} | {word} |"
        )


class Samples:
    """A row of samples for each resource. All memory is allocated at the start, so that the samples
    themselves do not grow."""

    def __init__(self, names: Iterable[str], most: int) -> None:
        self.names = list(names)
        self.n = 0
        self._calls = array("d", bytes(8 * most))
        self._rows = [array("d", bytes(8 * most)) for _ in self.names]

    def add(self, calls: int, values: Iterable[float]) -> None:
        self._calls[self.n] = calls
        for row, value in zip(self._rows, values, strict=True):
            row[self.n] = value
        self.n += 1

    def slopes(self, skipped: int) -> list[Slope]:
        """Return the slopes over all samples but the first ones, during which caches fill."""
        x = [calls / 1e5 for calls in self._calls[skipped : self.n]]
        return [
            _fit(name, x, list(row[skipped : self.n]))
            for name, row in zip(self.names, self._rows, strict=True)
        ]


def _fit(name: str, x: list[float], y: list[float]) -> Slope:
    n = len(x)
    mean_x, mean_y = sum(x) / n, sum(y) / n
    spread = sum((at - mean_x) ** 2 for at in x)
    slope = sum((at - mean_x) * (value - mean_y) for at, value in zip(x, y, strict=True)) / spread
    rest = sum(
        (value - mean_y - slope * (at - mean_x)) ** 2 for at, value in zip(x, y, strict=True)
    )
    # Student's t for 95 %, within 1 % from 6 degrees of freedom on (Abramowitz and Stegun 26.7.5).
    freedom = n - 2
    t = 1.96 + 2.372 / freedom + 2.822 / freedom**2 + 2.56 / freedom**3
    error = t * math.sqrt(rest / freedom / spread)
    return Slope(name, y[0], y[-1], slope, error, name.rpartition(" ")[2] in (*MEMORY, MALLOC))

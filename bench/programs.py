# SPDX-License-Identifier: Apache-2.0
"""The source texts that all systems run."""

from __future__ import annotations

import random

TRIVIAL = "def f(x):\n    return x\n"

NUMPY = "import numpy as np\n\ndef f(x):\n    return int(np.int64(x))\n"

# Stand-ins for large libraries: the seconds of processor time that their import takes.
LIBRARIES = {"pinfold_bench_slow_library": 2.0, "pinfold_bench_library": 0.5}

SLOW_IMPORT = "import pinfold_bench_slow_library\n\ndef f(x):\n    return x\n"
LIBRARY_IMPORT = "import pinfold_bench_library\n\ndef f(x):\n    return x\n"

LIBRARY = """\
import time

_until = time.process_time() + {seconds}
tables = []
while time.process_time() < _until:
    tables.append([len(tables)] * 8)
    del tables[20_000:]
"""

BURN = """\
import time

def f(seconds):
    until = time.process_time() + seconds
    n = 0
    while time.process_time() < until:
        n += 1
    return n
"""

# The same work every time. The value is how long it took.
WORK = """\
import time

def f(seed):
    began = time.perf_counter()
    total = seed
    for i in range(300_000):
        total = (total * 31 + i) % 1_000_003
    return time.perf_counter() - began
"""

SLEEP = "import time\n\ndef f(seconds):\n    time.sleep(seconds)\n    return seconds\n"

# Bad programs. Each takes the same arguments as TRIVIAL.
SPIN = "def f(x):\n    while True:\n        pass\n"
DEADLOCK = """\
import threading

def f(x):
    lock = threading.Lock()
    lock.acquire()
    lock.acquire()
"""
CRASH = "import ctypes\n\ndef f(x):\n    ctypes.string_at(0)\n"
EAT_MEMORY = "def f(x):\n    held = []\n    while True:\n        held.append(bytearray(16 << 20))\n"

# For each kind of value, a program that makes one of `size` bytes.
MAKE = {
    "bytes": "def f(size):\n    return b'x' * size\n",
    "array": "import numpy as np\n\ndef f(size):\n    return np.ones(size // 8)\n",
    "nested": """\
import numpy as np

def f(size):
    part = max(1, size // 8 // 16)
    return {
        f"generation {i}": {"best": np.ones(part), "score": i / 3, "parents": [i - 1, i - 2]}
        for i in range(16)
    }
""",
}

TAKE = {
    "bytes": "def f(value):\n    return len(value)\n",
    "array": "def f(value):\n    return value.nbytes\n",
    "nested": "def f(value):\n    return sum(v['best'].nbytes for v in value.values())\n",
}

# What programs of contests import; a judge preloads it.
CONTEST_MODULES = tuple(
    "argparse bisect collections copy datetime decimal fractions functools heapq io itertools json"
    " math operator queue random re statistics string threading typing numpy".split()
)

# Programs that read a case from stdin. For each case both print the same.
CONTEST = """\
import sys
from bisect import bisect_left
from collections import Counter


def main():
    data = sys.stdin.read().split()
    n, numbers = int(data[0]), list(map(int, data[1:]))
    assert len(numbers) == n
    ordered = sorted(numbers)
    print(sum(numbers), max(Counter(numbers).values()), bisect_left(ordered, 500))


if __name__ == "__main__":
    main()
"""
NUMPY_CONTEST = """\
import sys

import numpy as np

n, *numbers = map(int, sys.stdin.read().split())
a = np.array(numbers)
print(a.sum(), np.unique(a, return_counts=True)[1].max(), np.searchsorted(np.sort(a), 500))
"""


def _cases(count: int, seed: int) -> list[tuple[bytes, bytes]]:
    """Return cases for the programs of contests, with what is right to print."""
    chance = random.Random(seed)
    cases = []
    for _ in range(count):
        numbers = [chance.randrange(1000) for _ in range(chance.randrange(1, 100))]
        most = max(numbers.count(n) for n in numbers)
        right = f"{sum(numbers)} {most} {sum(n < 500 for n in numbers)}\n"
        cases.append((f"{len(numbers)}\n{' '.join(map(str, numbers))}\n".encode(), right.encode()))
    return cases


CASES = _cases(20, seed=7)


def evolved_programs(count: int, seed: int) -> list[tuple[str, float]]:
    """Return `count` different programs of an evolutionary search, with their CPU seconds.

    Each has 2 to 8 kB of source and imports numpy. The running times have a heavy tail: a Pareto
    distribution from 50 ms, cut off at 5 s.
    """
    chance = random.Random(seed)
    programs = []
    for number in range(count):
        seconds = min(5.0, 0.05 * chance.paretovariate(0.9))
        size = chance.randint(2_000, 8_000)
        lines = [f'"""Candidate {number}."""', "import time", "import numpy as np", ""]
        helper = 0
        while sum(map(len, lines)) + len(lines) < size - 700:
            lines += [
                f"def helper_{helper}(points, step={chance.random():.6f}):",
                f"    # Variation {chance.randrange(10**9)}: pull the points towards their mean.",
                "    centre = points.mean(axis=0)",
                f"    moved = points + step * (centre - points) * {chance.random():.6f}",
                "    return np.clip(moved, 0.0, 1.0)",
                "",
            ]
            helper += 1
        lines += [
            "def f(seconds, seed):",
            "    rng = np.random.default_rng(seed)",
            "    points = rng.random((26, 2))",
            "    until = time.process_time() + seconds",
            "    while time.process_time() < until:",
            *(f"        points = helper_{i}(points)" for i in range(min(helper, 4))),
            "    return {'points': points, 'score': float(points.sum())}",
            "",
        ]
        programs.append(("\n".join(lines), seconds))
    return programs

"""The part that the targets in Python share: run a corpus as a test, without a fuzzer."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

sys.path.append(str(Path(__file__).parent.parent / "tests" / "python"))


def split(data: bytes) -> list[bytes]:
    """Split the input into segments: a byte (bits 0 and 1) gives the number after the first, a
    byte each their sizes. Then comes the first segment, then the others."""
    n = data[0] & 3 if data else 0
    sizes, rest = data[1 : 1 + n], data[1 + n :]
    others = []
    for size in sizes:
        others.append(rest[max(len(rest) - size, 0) :])
        rest = rest[: len(rest) - len(others[-1])]
    return [rest, *others]


def main(one_input: Callable[[bytes], bool]) -> None:
    """Run a target over the files of directories. Print how many were accepted and how many not."""
    ends = Counter(
        one_input(path.read_bytes())
        for directory in sys.argv[1:]
        for path in sorted(Path(directory).iterdir())
    )
    print(ends[True], ends[False])

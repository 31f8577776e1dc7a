# SPDX-License-Identifier: Apache-2.0
"""What the targets in Python share, and the replay of a corpus as a test, without a fuzzer."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import corpus

sys.path.append(str(Path(__file__).parent.parent / "tests" / "python"))


def split(data: bytes) -> list[bytes]:
    """Segments: a byte (bits 0 and 1) says how many follow the first, a byte each how large they
    are; then comes the first, then the others."""
    n = data[0] & 3 if data else 0
    sizes, rest = data[1 : 1 + n], data[1 + n :]
    others = []
    for size in sizes:
        others.append(rest[max(len(rest) - size, 0) :])
        rest = rest[: len(rest) - len(others[-1])]
    return [rest, *others]


def main(one_input: Callable[[bytes], bool]) -> None:
    """Run a target over the inputs of archives; print how many it took, and how many it refused."""
    ends = Counter(
        one_input(content)
        for path in sys.argv[1:]
        for _, content in sorted(corpus.read(Path(path)).items())
    )
    print(ends[True], ends[False])

# SPDX-License-Identifier: Apache-2.0
"""Types of `box.c`."""

from typing import NewType

READ: int
DEVICE: int
ALL: int
VIEW_READ: int
VIEW_DEVICE: int
VIEW_STILL: int
STANDARD: int
STRICT: int
STRICT_FIRST: int
STRICT_REST: int
STANDARD_FIRST: int
STANDARD_REST: int
OUTSIDE: str

Filter = NewType("Filter", object)
Held = NewType("Held", object)

def compile(kind: int, network: bool, abi: int, reused: bool, /) -> Filter: ...
def load(filter: Filter, /) -> None: ...
def hold(rules: list[tuple[str, int]], descriptors: int, /) -> Held: ...
def allow(ruleset: int, abi: int, rules: list[tuple[str, int]], /) -> None: ...
def draft(abi: int, network: bool, held: Held, path: str, /) -> int: ...
def drop() -> None: ...
def close(
    ruleset: int, abi: int, rules: list[tuple[str, int]], held: Held, filter: Filter | None, /
) -> None: ...
def view(root: str, paths: list[tuple[str, int]], proc: list[str], /) -> None: ...
def part(back: int, paths: list[str], scratch: str, bytes: int, /) -> None: ...
def clear(directory: int, budget: int, /) -> bool: ...

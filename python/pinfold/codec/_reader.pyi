# SPDX-License-Identifier: Apache-2.0
"""Types of `reader.c`."""

from collections.abc import Callable
from typing import Any

MAX_DEPTH: int
MAX_DIGITS: int
OUT_OF_LINE: int
HASH_OF_RATIONAL: int
POSITIVE_BIGNUM: int
NEGATIVE_BIGNUM: int
RATIONAL: int
UUID: int
SET: int
COMPLEX: int
TUPLE: int
FROZENSET: int
PAIRS: int
BYTEARRAY: int
SEGMENT: int
SURROGATES: int
NOT_A_NUMBER: int
ELLIPSIS: int
RANGE: int
SLICE: int
DATETIME: int
DATE: int
TIME: int
TIMEDELTA: int
TIMEZONE: int
ZONE: int
DECIMAL: int
PATH: int
PURE_PATH: int
ARRAY: int
SCALAR: int

class Reader:
    """Reads one value from segments, within bounds of memory and time."""

    at: int
    memo: dict[Any, Any]
    memory: int
    steps: int

    def __new__(
        cls,
        segments: tuple[memoryview, ...],
        decoders: dict[int, Callable[..., object]],
        most: int,
        trusted: bool,
        /,
    ) -> Reader: ...
    def read(self) -> object: ...
    def read_json(self) -> object: ...
    def spend(self, bytes: int, /) -> None: ...
    def work(self, steps: int, /) -> None: ...

def describe(description: bytes, /) -> object: ...
def is_plain_pickle(buffer: bytes | memoryview, /) -> bool: ...
def are_bools(buffer: bytearray | bytes | memoryview, /) -> bool: ...
def are_characters(buffer: bytearray | bytes | memoryview, big: bool, /) -> bool: ...

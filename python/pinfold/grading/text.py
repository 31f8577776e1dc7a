# SPDX-License-Identifier: Apache-2.0
"""Comparison of outputs: `exact`, `lines`, `tokens`.

Each takes time linear in the sizes of both texts, and memory for a small part of them at a time.
White space is that of ASCII.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from itertools import chain, zip_longest

from pinfold.grading.numbers import close
from pinfold.grading.shown import MOST, cut, shown_bytes
from pinfold.grading.verdict import Difference

_PIECE = 1 << 16  # bytes that are split at a time
_SPACE = re.compile(rb"\s")
_END = "(the end)"

Find = Callable[[bytes, int], int]


def exact(got: bytes, expected: bytes) -> Difference | None:
    """Compare byte for byte."""
    if got == expected:
        return None
    at = _first_difference(got, expected)
    line = expected.count(b"\n", 0, at) + 1
    return Difference(f"byte {at + 1}, line {line}", _part(expected, at), _part(got, at))


def lines(got: bytes, expected: bytes) -> Difference | None:
    """Compare line by line, without white space at the end of each, and blank lines at the end."""
    pairs = zip_longest(_lines(got), _lines(expected), fillvalue=b"")
    for number, (ours, theirs) in enumerate(pairs, 1):
        if ours != theirs:
            at = _first_difference(ours, theirs)
            where = f"line {number}, column {at + 1}"
            return Difference(where, _around(theirs, at), _around(ours, at))
    return None


def tokens(got: bytes, expected: bytes) -> Difference | None:
    """Compare what white space separates: the same text, or the same number (`close`)."""
    pairs = zip_longest(_tokens(got), _tokens(expected))
    for number, (ours, theirs) in enumerate(pairs, 1):
        if ours == theirs:
            continue
        if ours is None or theirs is None or not close(ours, theirs):
            at = _first_difference(ours or b"", theirs or b"")
            return Difference(f"token {number}", _token(theirs, at), _token(ours, at))
    return None


def _token(token: bytes | None, at: int) -> str:
    return _END if token is None else _around(token, at)


def _around(text: bytes, at: int) -> str:
    """Return the part of a text around a difference, or its beginning if that shows it."""
    return (
        shown_bytes(text) if at < MOST // 2 else cut(f"...{shown_bytes(text[at - 20 : at + MOST])}")
    )


def _part(text: bytes, at: int) -> str:
    return shown_bytes(text[at : at + MOST + 1]) if at < len(text) else _END


def _first_difference(one: bytes, other: bytes) -> int:
    at = 0
    while one[at : at + _PIECE] == other[at : at + _PIECE]:
        at += _PIECE
    pairs = zip(one[at : at + _PIECE], other[at : at + _PIECE], strict=False)
    for more, (a, b) in enumerate(pairs):
        if a != b:
            return at + more
    return min(len(one), len(other))


def _lines(text: bytes) -> Iterator[bytes]:
    for piece in _pieces(text, lambda data, at: data.find(b"\n", at)):
        for line in piece.split(b"\n"):
            yield line.rstrip()


def _tokens(text: bytes) -> Iterator[bytes]:
    return chain.from_iterable(piece.split() for piece in _pieces(text, _next_space))


def _next_space(text: bytes, at: int) -> int:
    found = _SPACE.search(text, at)
    return -1 if found is None else found.start()


def _pieces(text: bytes, find: Find) -> Iterator[bytes]:
    """Cut a text where `find` finds a separator, which is left out."""
    at = 0
    while at < len(text):
        end = find(text, at + _PIECE) if at + _PIECE < len(text) else -1
        if end < 0:
            end = len(text)
        yield text[at:end]
        at = end + 1

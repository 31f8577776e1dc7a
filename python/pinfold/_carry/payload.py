# SPDX-License-Identifier: Apache-2.0
"""The layout of segments in one piece (docs/design.md, "Payloads")."""

from __future__ import annotations

import struct
from collections.abc import Sequence

from pinfold.codec import Malformed

MAGIC = 0x4C504650
ALIGN = 64
SEGMENTS_MOST = 1 << 20

_HEAD = struct.Struct("<II")


def pack(segments: Sequence[bytes | memoryview]) -> list[bytes | memoryview]:
    """Return the pieces of a payload, in order. Segments are not copied."""
    sizes = [memoryview(segment).nbytes for segment in segments]
    table = _HEAD.pack(MAGIC, len(segments)) + struct.pack(f"<{len(sizes)}Q", *sizes)
    pieces: list[bytes | memoryview] = [table]
    at = len(table)
    for segment, size in zip(segments, sizes, strict=True):
        if padding := -at % ALIGN:
            pieces.append(bytes(padding))
        pieces.append(segment)
        at += padding + size
    return pieces


def split(payload: bytes | memoryview) -> list[memoryview]:
    """Return views of a payload's segments. No byte is trusted. Raises `Malformed`."""
    whole = memoryview(payload).cast("B")
    if whole.nbytes < _HEAD.size:
        raise Malformed("not a payload: it is too short")
    magic, n = _HEAD.unpack_from(whole)
    at = _HEAD.size + 8 * n
    if magic != MAGIC or not 0 < n <= SEGMENTS_MOST or whole.nbytes < at:
        raise Malformed("not a payload: its table is damaged")
    segments = []
    for size in struct.unpack_from(f"<{n}Q", whole, _HEAD.size):
        begin = at + -at % ALIGN
        at = begin + size
        if at > whole.nbytes or any(whole[begin - begin % ALIGN : begin]):
            raise Malformed("not a payload: a segment does not fit")
        segments.append(whole[begin:at])
    if at != whole.nbytes:
        raise Malformed("not a payload: bytes follow its last segment")
    return segments

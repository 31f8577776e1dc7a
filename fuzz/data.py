# SPDX-License-Identifier: Apache-2.0
"""Fuzz what the caller's Python reads from a worker: a value in the codec `data` or `json`, the
account of a failure, a note. The codec's reader refuses bytes as `Malformed`, or finds a value that
the codec itself would have sent. None of the readers runs, opens or imports anything.

A value costs no more than docs/security.md says: its bytes, repeated in a list until there are
enough to measure, take at most `NS` a byte and `TIMES` their size. The time is this thread's, and
measured again before it counts. Only the fuzzer measures it, not the replay.

Input: segments, as `replay.split` finds them. Bit 2 of the first byte: the first segment is a note.
The upper bits are `JSON`: the codec is `json`.
"""

from __future__ import annotations

import contextlib
import datetime  # noqa: F401  the reader imports each of these on demand
import decimal  # noqa: F401
import fractions  # noqa: F401
import os
import pathlib  # noqa: F401
import sys
import time
import tracemalloc
import uuid  # noqa: F401
import warnings
import zoneinfo

import numpy as np  # noqa: F401
import replay

from codec_support import received, same
from pinfold import _wire, codec
from pinfold._client.learner import read_note
from pinfold.codec import json_text  # noqa: F401

NS, FREE_NS = 300, 10_000_000
TIMES, FREE = 100, 1 << 17
SIZE = 1 << 13  # bytes measured at first
AGAIN = 1 << 16  # .. if that took too long
TRIES = 5
# How much the sanitizers slow the code down. 0: no time counts.
SLOWER = int(os.environ.get("PINFOLD_FUZZ_SLOWER", "0"))

JSON = 0x70

_watching = False
# A time zone may be opened: it is a file with a checked name.
_ZONES = ("zoneinfo", "tzdata")


def _audit(event: str, args: tuple[object, ...]) -> None:
    global _watching
    if not _watching or event in ("object.__setattr__", "object.__getattr__"):
        return
    if any(place in str(args[0]) for place in _ZONES):
        return
    _watching = False
    raise AssertionError(f"{event} {args!r:.200}")


sys.addaudithook(_audit)
warnings.simplefilter("error")
for zone in ("UTC", "Europe/Berlin"):
    zoneinfo.ZoneInfo(zone)


def _read_failure(segments: list[bytes]) -> None:
    with contextlib.suppress(codec.Malformed):
        failure = _wire.unpack_failure(received(segments))
        assert type(failure.text) is str and type(failure.returncode) is int


def _repeated(stream: bytes, size: int, name: str) -> bytes:
    n = max(size // len(stream), 1)
    if name == "json":
        return b"[" + b",".join([stream] * n) + b"]"
    return b"\x9a" + n.to_bytes(4, "big") + stream * n


def _cost(stream: bytes, name: str) -> tuple[int, int]:
    """Return the nanoseconds and the bytes that it takes to read or refuse a stream."""
    segments = [memoryview(bytearray(stream))]
    tracemalloc.start()
    with contextlib.suppress(codec.Malformed):
        codec.decode(segments, name)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    began = time.thread_time_ns()
    with contextlib.suppress(codec.Malformed):
        codec.decode(segments, name)
    return time.thread_time_ns() - began, peak


def _measure(stream: bytes, name: str) -> None:
    """Assert that reading the stream takes no more time or memory than allowed."""
    many = _repeated(stream, SIZE, name)
    if SLOWER:
        sys.settrace(None)  # the fuzzer sets its trace function again
    taken, peak = _cost(many, name)
    assert peak <= TIMES * len(many) + FREE, f"{peak} bytes for {len(many)}"
    if not SLOWER or taken <= NS * SLOWER * len(many):
        return
    many = _repeated(stream, AGAIN, name)
    allowed = SLOWER * (NS * len(many) + FREE_NS)
    taken = min(_cost(many, name)[0] for _ in range(TRIES))
    assert taken <= allowed, f"{taken} ns for {len(many)} bytes"


def one_input(data: bytes) -> bool:
    """Return whether there was a value."""
    global _watching
    segments = replay.split(data)
    if data and data[0] & 4:
        return bool(read_note(segments[0], 1 << 62))
    name = "json" if data and data[0] & ~7 == JSON else "data"
    _watching = True
    try:
        value = codec.decode(received(segments), name)
        if type(value) is dict:
            _read_failure(segments)
    except codec.Malformed:
        return False
    finally:
        _watching = False
        if segments[0]:
            _measure(segments[0], name)
    again = codec.decode(received(codec.encode(value, name)), name)
    assert same(again, value)
    return True


if __name__ == "__main__":
    replay.main(one_input)

"""What the caller's Python reads of what a worker sent: a value in the `data` codec, the account of
a failure, a note. The reader of the codec refuses bytes as `Malformed`, or finds a value that the
codec itself would have sent; and none of them runs, opens or imports anything.

Input: segments, as `replay.split` finds them. Bit 2 of the first byte: the first segment is a note.
"""

from __future__ import annotations

import contextlib
import datetime  # noqa: F401  each of these the reader imports when a value needs it
import decimal  # noqa: F401
import fractions  # noqa: F401
import pathlib  # noqa: F401
import sys
import uuid  # noqa: F401
import warnings
import zoneinfo

import numpy as np  # noqa: F401
import replay

from codec_support import received, same
from pinfold import codec
from pinfold._learner import read_note
from pinfold.runtime import wire

_watching = False
# A time zone is a file, by its checked name.
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
        failure = wire.unpack_failure(received(segments))
        assert type(failure.text) is str and type(failure.returncode) is int


def one_input(data: bytes) -> bool:
    """Whether there was a value."""
    global _watching
    segments = replay.split(data)
    if data and data[0] & 4:
        return bool(read_note(segments[0], 1 << 62))
    _watching = True
    try:
        value = codec.decode(received(segments), "data")
        if type(value) is dict:
            _read_failure(segments)
    except codec.Malformed:
        return False
    finally:
        _watching = False
    again = codec.decode(received(codec.encode(value, "data")), "data")
    assert same(again, value)
    return True


if __name__ == "__main__":
    replay.main(one_input)

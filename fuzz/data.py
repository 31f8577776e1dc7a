"""The reader of the `data` codec: it refuses bytes as `Malformed`, or finds a value that the codec
itself would have sent; and it runs, opens and imports nothing.

Input: segments, as `replay.split` finds them.
"""

from __future__ import annotations

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


def one_input(data: bytes) -> bool:
    """Whether there was a value."""
    global _watching
    views = received(replay.split(data))
    _watching = True
    try:
        value = codec.decode(views, "data")
    except codec.Malformed:
        return False
    finally:
        _watching = False
    again = codec.decode(received(codec.encode(value, "data")), "data")
    assert same(again, value)
    return True


if __name__ == "__main__":
    replay.main(one_input)

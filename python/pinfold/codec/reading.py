# SPDX-License-Identifier: Apache-2.0
"""The readers of the codecs `data` and `json`, for bytes that may be hostile.

`reader.c` reads the bytes within two budgets that grow with their size, one of memory and one of
time. The functions in `_DECODERS` make values whose types are in Python modules.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

from pinfold.codec import scalars, tags
from pinfold.codec._reader import Reader
from pinfold.codec.refusals import Malformed, is_shortage


def _arrays() -> Any:
    # An import statement takes as long as reading a small array.
    return sys.modules.get("pinfold.codec.arrays") or _load_arrays()


def _load_arrays() -> Any:
    try:
        from pinfold.codec import arrays
    except ModuleNotFoundError as error:
        if error.name != "numpy":
            raise
        raise Malformed("a numpy value, and there is no numpy here") from error
    return arrays


def _read_array(reader: Reader, *parts: Any) -> object:
    return _arrays().read_array(*parts)


def _read_scalar(reader: Reader, *parts: Any) -> object:
    return _arrays().read_scalar(*parts)


_DECODERS: dict[int, Callable[..., object]] = {
    **scalars.DECODERS,
    tags.ARRAY: _read_array,
    tags.SCALAR: _read_scalar,
}


def decode(segments: Sequence[memoryview], most: int = 0, *, trusted: bool = False) -> object:
    """Return the value of `segments`; see `pinfold.codec.decode`.

    Raises `Malformed`, or an error for which `is_shortage` is true.
    """
    return _read(Reader.read, segments, most, trusted)


def decode_json(segments: Sequence[memoryview], most: int = 0, *, trusted: bool = False) -> object:
    """Return the value of the JSON text in `segments`, as `decode` does."""
    return _read(Reader.read_json, segments, most, trusted)


def _read(
    read: Callable[[Reader], object], segments: Sequence[memoryview], most: int, trusted: bool
) -> object:
    if not segments:
        raise Malformed("no segments")
    reader = Reader(tuple(segments), _DECODERS, most, trusted)
    try:
        return read(reader)
    except Malformed:
        raise
    except Exception as error:
        if is_shortage(error):
            raise
        place = f"at byte {reader.at} of {segments[0].nbytes}"
        raise Malformed(f"{error!s:.200} ({place})") from error

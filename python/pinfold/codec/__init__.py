# SPDX-License-Identifier: Apache-2.0
"""Codecs: how values cross between the caller and a worker.

A codec turns one value into a list of segments. Segment 0 is the stream; the others are large
buffers (array memory, long byte strings) that are not copied into it. The same module runs on both
sides. It imports numpy only when a value needs it, and cloudpickle only for ``pickle``.

- ``data`` is one CBOR item (RFC 8949). Reading it runs no code, whatever the bytes are. It keeps
  the type, the value and the order of what it carries, and refuses any other value by path and
  type (`NotCarried`). See :mod:`pinfold.codec.data` for the list, and for types that arrive as
  their plain equivalent.
- ``pickle`` is a pickle of protocol 5 (PEP 574) written by cloudpickle. Reading it can run any
  code, so use it only for sources that you trust like your own.
- ``json`` is one JSON text (RFC 8259). Reading it runs no code. It carries less than ``data``, and
  some of that as another type (see :mod:`pinfold.codec.json_text`); every language reads it.
"""

from __future__ import annotations

from collections.abc import Sequence

from pinfold.codec import data
from pinfold.codec.refusals import CannotDecode, Malformed, NotCarried, RunsCode, TooLarge

__all__ = [
    "CODECS",
    "CannotDecode",
    "Malformed",
    "NotCarried",
    "RunsCode",
    "TooLarge",
    "decode",
    "decode_here",
    "encode",
]

CODECS = ("data", "pickle", "json")


def encode(value: object, codec: str, root: str = "result") -> list[bytes | memoryview]:
    """Turn `value` into segments.

    Segment 0 is the stream. Segments 1 and up are contiguous views of the value's own memory, so
    the value must not change before they are written; only a non-contiguous array is copied first.
    `root` is the name with which the path in an error starts: ``result``, ``args``, ``kwargs``.

    Raises `NotCarried` when the codec cannot carry the value, ValueError when `codec` is not one
    of `CODECS`, and MemoryError.
    """
    if codec == "data":
        return data.encode(value, root)
    if codec == "pickle":
        from pinfold.codec import pickled

        return pickled.encode(value, root)
    if codec == "json":
        from pinfold.codec import json_text

        return json_text.encode(value, root)
    raise ValueError(f"no codec {codec!r}: it is one of {', '.join(CODECS)}")


def decode(
    segments: Sequence[memoryview],
    codec: str,
    most: int = 0,
    *,
    trusted: bool = False,
) -> object:
    """Turn segments back into the value.

    Each segment is a writable memoryview, 64-byte aligned. Large arrays come back as writable views
    on the segments, without a copy, and keep them alive; everything else is copied out.

    A ``data`` or ``json`` value may take `most` bytes of memory (0: any number). Unless the
    segments are `trusted`, its memory and time are also bounded in proportion to their size
    (docs/security.md).

    Raises `Malformed` (``data``, ``json``; `TooLarge` for more than `most` bytes), `CannotDecode`
    (``pickle``, also without segments), and ValueError when `codec` is not one of `CODECS`. Errors
    for which `pinfold.codec.refusals.is_shortage` is true mean that this process lacks a resource;
    the value may be good.
    """
    if codec == "data":
        return data.decode(segments, most, trusted=trusted)
    if codec == "pickle":
        from pinfold.codec import pickled

        return pickled.decode(segments)
    if codec == "json":
        from pinfold.codec import json_text

        return json_text.decode(segments, most, trusted=trusted)
    raise ValueError(f"no codec {codec!r}: it is one of {', '.join(CODECS)}")


def decode_here(segments: Sequence[memoryview], codec: str, most: int = 0) -> object:
    """Turn segments back into the value, as `decode` does, but only if that runs no code of the
    value's own. Raises `RunsCode` otherwise."""
    if codec != "pickle":
        return decode(segments, codec, most)
    from pinfold.codec import pickled

    return pickled.decode(segments, runs=False)

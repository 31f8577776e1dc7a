"""How values cross between the caller and a worker.

One value becomes a list of segments: segment 0 is the stream, the others are large buffers (array
memory, long byte strings) that were not copied into it. The same module runs on both sides, and
imports nothing heavy: numpy only when a value needs it, cloudpickle only for ``pickle``.

- ``data`` is one CBOR item (RFC 8949). Reading it runs no code, whatever the bytes are. What it
  carries, it carries exactly: the type, the value, the order. What it does not carry, it refuses by
  path and type (`NotCarried`); it never turns a value into a similar one. See
  :mod:`pinfold.codec.data` for the list.
- ``pickle`` is a pickle of protocol 5 (PEP 574) written by cloudpickle. Reading it can run any
  code: only for sources that are trusted like one's own.
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

CODECS = ("data", "pickle")


def encode(value: object, codec: str, root: str = "result") -> list[bytes | memoryview]:
    """Turn `value` into segments.

    Segment 0 is the stream. Segments 1 and up are contiguous views of the value's own memory (the
    value must not change until they were written); only a non-contiguous array is copied first.
    `root` is the name with which the path of an error starts: ``result``, ``args``, ``kwargs``.

    Raises `NotCarried` when the codec cannot carry the value, ValueError when `codec` is not one
    of `CODECS`, and MemoryError.
    """
    if codec == "data":
        return data.encode(value, root)
    if codec == "pickle":
        from pinfold.codec import pickled

        return pickled.encode(value, root)
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
    on them, without a copy, and keep them alive; everything else is copied out.

    A ``data`` value may take `most` bytes (0: any number; `TooLarge` if it takes more), and never
    more memory and time than are in proportion to its segments (docs/security.md), unless they are
    `trusted`.

    Raises `Malformed` (``data``) or `CannotDecode` (``pickle``, or a missing first segment there),
    ValueError when `codec` is not one of `CODECS`, and what `pinfold.codec.refusals.is_shortage`
    knows: then it is this process that lacks something, and the value may be as good as any.
    """
    if codec == "data":
        return data.decode(segments, most, trusted=trusted)
    if codec == "pickle":
        from pinfold.codec import pickled

        return pickled.decode(segments)
    raise ValueError(f"no codec {codec!r}: it is one of {', '.join(CODECS)}")


def decode_here(segments: Sequence[memoryview], codec: str, most: int = 0) -> object:
    """Turn segments back into the value, as `decode` does, if that runs no code of the value's own;
    else raise `RunsCode`."""
    if codec != "pickle":
        return decode(segments, codec, most)
    from pinfold.codec import pickled

    return pickled.decode(segments, runs=False)

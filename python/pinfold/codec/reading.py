"""The reader of the `data` codec, for bytes that may be hostile."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any, NoReturn

import cbor2

from pinfold.codec import scalars, wire
from pinfold.codec.errors import Malformed, is_shortage, name_of
from pinfold.codec.wire import MAX_DEPTH
from pinfold.codec.writing import CONTAINERS, carries

# What our deepest value needs of cbor2's frames: three for a dict with other keys than text, and
# the structs of one dtype.
_FRAMES = 3 * MAX_DEPTH + 40

# The most memory that the value of one byte of a stream takes: a dict of an empty text and an empty
# list is some 300 bytes in a list, from three.
_MOST_OF_A_BYTE = 128

# The initial bytes of simple values 0 to 19, undefined and simple values above 31 (RFC 8949 section
# 3.3); without any of them a stream cannot hold one.
_SUSPECT = re.compile(rb"[\xe0-\xf3\xf7\xf8]").search


class _Reader:
    """The segments of one decode; each is taken once."""

    __slots__ = ("segments", "taken")

    def __init__(self, segments: Sequence[memoryview]) -> None:
        self.segments = segments
        self.taken: set[int] = set()

    def take(self, index: object) -> memoryview:
        if type(index) is not int or not 0 < index < len(self.segments):
            raise Malformed(f"no segment {index!r:.40}")
        if index in self.taken:
            raise Malformed(f"segment {index} is used twice")
        self.taken.add(index)
        return self.segments[index]

    def bytes_(self, item: object, immutable: bool) -> bytes:
        return bytes(self.take(item))

    def bytearray_(self, item: object, immutable: bool) -> bytearray:
        return bytearray(item if type(item) is bytes else self.take(item))

    def array(self, item: object, immutable: bool) -> object:
        return _arrays().read_array(self.take, item)

    def decoders(self) -> _Decoders:
        own: dict[int, scalars.Decoder] = {
            wire.SEGMENT: self.bytes_,
            wire.BYTEARRAY: self.bytearray_,
            wire.ARRAY: self.array,
        }
        return _Decoders({**_DECODERS, **own})


class _Decoders(dict[int, "scalars.Decoder"]):
    """Answers for every tag, so that cbor2's own meanings of tags are never reached."""

    def __missing__(self, tag: int) -> scalars.Decoder:
        def unknown(item: object, immutable: bool) -> NoReturn:
            raise Malformed(f"unknown tag {tag}")

        return unknown


def _arrays() -> Any:
    try:
        from pinfold.codec import arrays
    except ModuleNotFoundError as error:
        if error.name != "numpy":
            raise
        raise Malformed("a numpy value, and there is no numpy here") from error
    return arrays


def _elements(item: object, name: str) -> list[Any]:
    if type(item) is not list:
        raise Malformed(f"not the elements of a {name}")
    return item


def _read_tuple(item: object, immutable: bool) -> tuple[Any, ...]:
    return tuple(_elements(item, "tuple"))


def _read_set(item: object, immutable: bool) -> set[Any]:
    elements = _elements(item, "set")
    result = set(elements)
    if len(result) != len(elements):
        raise Malformed("a set with equal elements")
    return result


def _read_frozenset(item: object, immutable: bool) -> frozenset[Any]:
    return frozenset(_read_set(item, immutable))


def _read_pairs(item: object, immutable: bool) -> dict[Any, Any]:
    keys, values = wire.fields(item, "dict", (list,), (list,))
    assert type(keys) is list and type(values) is list
    if len(keys) != len(values):
        raise Malformed("a dict with more keys than values, or fewer")
    result = dict(zip(keys, values, strict=True))
    if len(result) != len(keys):
        raise Malformed("a dict with equal keys")
    return result


def _read_scalar(item: object, immutable: bool) -> object:
    return _arrays().read_scalar(item)


_DECODERS: dict[int, scalars.Decoder] = {
    **scalars.DECODERS,
    wire.TUPLE: _read_tuple,
    wire.SET: _read_set,
    wire.FROZENSET: _read_frozenset,
    wire.PAIRS: _read_pairs,
    wire.SCALAR: _read_scalar,
}
_ALONE = _Reader((memoryview(b""),)).decoders()


def decode(segments: Sequence[memoryview]) -> object:
    """The value of `segments`; see `pinfold.codec.decode`. Raises `Malformed`, or what
    `is_shortage` knows."""
    if not segments:
        raise Malformed("no segments")
    stream = bytes(segments[0])
    # Every frame of cbor2 is at least one of ours, so what passes here is not too deep.
    value, _, error = _read(stream, segments, MAX_DEPTH, len(stream))
    if error is None:
        if _SUSPECT(stream):
            _look_over(value)
        return value
    # Again with room for what one level may need at most, and byte by byte, to say where.
    value, end, error = _read(stream, segments, _FRAMES, 1)
    if error is not None:
        raise Malformed(f"{error} (at byte {end} of {len(stream)})") from error.__cause__
    _look_over(value)
    return value


def _read(
    stream: bytes, segments: Sequence[memoryview], frames: int, step: int
) -> tuple[object, int, Malformed | None]:
    """One pass of cbor2: the value, how many bytes were read, and what was wrong."""
    file = io.BytesIO(stream)
    reader = _Reader(segments)
    value = None
    error = None
    try:
        value = cbor2.CBORDecoder(
            file,
            semantic_decoders=_ALONE if len(segments) == 1 else reader.decoders(),
            read_size=max(step, 1),
            max_depth=frames,
            allow_indefinite=False,
            allow_duplicate_keys=False,
            strict_hashable_types=True,
        ).decode()
    except BaseException as raised:
        error = _malformed(raised, len(stream))
    end = file.tell()
    if error is None and end != len(stream):
        error = Malformed(f"{len(stream) - end} bytes after the value")
    if error is None and len(reader.taken) != len(segments) - 1:
        error = Malformed(f"{len(segments) - 1 - len(reader.taken)} segments are not used")
    return value, end, error


def _malformed(raised: BaseException, size: int) -> Malformed:
    """What cbor2 raised on a stream of `size` bytes, as ours: it wraps what a decoder here raised,
    even an interrupt."""
    if isinstance(raised, cbor2.CBORDecodeError) and raised.__cause__ is not None:
        raised = raised.__cause__
    if isinstance(raised, Malformed):
        return raised
    panic = type(raised).__name__ == "PanicException"
    if is_shortage(raised) or not (panic or isinstance(raised, Exception)):
        raise raised
    if panic:
        # For want of memory it panics as well, and says nothing of that. Where all that the stream
        # could ask for is to be had, it is the bytes.
        try:
            bytes(size * _MOST_OF_A_BYTE)  # never touched: addresses, no pages
        except MemoryError:
            raise MemoryError from raised
    error = Malformed(f"{raised!s:.200}")
    error.__cause__ = raised
    return error


def _look_over(value: object) -> None:
    """Check that a value holds only types that the codec carries, not too deep: level by level."""
    level: list[Any] = [[value]]
    for _ in range(MAX_DEPTH + 1):
        deeper: list[Any] = []
        for container in level:
            kinds = set(map(type, _inside(container)))
            for kind in kinds:
                if not carries(kind):
                    raise Malformed(f"a {name_of(kind)}")
            if not kinds.isdisjoint(CONTAINERS):
                deeper.extend(item for item in _inside(container) if type(item) in CONTAINERS)
        if not deeper:
            return
        level = deeper
    raise Malformed(f"more than {MAX_DEPTH} containers inside one another")


def _inside(container: Any) -> Iterable[Any]:
    return chain(container, container.values()) if type(container) is dict else container

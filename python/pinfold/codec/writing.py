# SPDX-License-Identifier: Apache-2.0
"""The writer of the `data` codec.

cbor2 first looks each value's type up in `encoders`, so exact types cost nothing extra. The table
has cbor2's own compiled methods where they are right, functions of this module for types that CBOR
lacks, and a refusal for all others. Writing a list of a million floats never returns to Python.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import cbor2
from cbor2 import CBOREncoder

from pinfold.codec import scalars, tags
from pinfold.codec.culprits import Rules, culprit, plain_of
from pinfold.codec.refusals import name_of
from pinfold.codec.tags import MAX_DEPTH, OUT_OF_LINE, Unfit

_STR = frozenset({str})
# cbor2 writes every NaN as these bytes. A stream that has them, even by chance, is written again
# with the encoders of `scalars.CAREFUL`, which would slow down all other streams.
_SOME_NAN = b"\xf9\x7e\x00"

_NATIVE: dict[type, Any] = {
    bool: CBOREncoder.encode_bool,
    int: CBOREncoder.encode_int,
    float: CBOREncoder.encode_float,
    str: CBOREncoder.encode_string,
}


class _Writer:
    """The state of one encode: its depth, and the buffers that stay out of line."""

    __slots__ = ("buffers", "depth")

    def __init__(self) -> None:
        self.depth = 0
        self.buffers: list[memoryview] = []

    def add(self, view: memoryview) -> int:
        self.buffers.append(view)
        return len(self.buffers)

    def enter(self) -> None:
        # cbor2 recurses on the C stack without a limit, so too deep a value would crash it.
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise Unfit

    def list_(self, encoder: CBOREncoder, value: list[Any]) -> None:
        self.enter()
        encoder.encode_array(value)
        self.depth -= 1

    def tuple_(self, encoder: CBOREncoder, value: tuple[Any, ...]) -> None:
        self.enter()
        encoder.encode_length(6, tags.TUPLE)
        encoder.encode_array(value)
        self.depth -= 1

    def set_(self, encoder: CBOREncoder, value: set[Any]) -> None:
        self.enter()
        encoder.encode_length(6, tags.SET)
        encoder.encode_array(list(value))
        self.depth -= 1

    def frozenset_(self, encoder: CBOREncoder, value: frozenset[Any]) -> None:
        self.enter()
        encoder.encode_length(6, tags.FROZENSET)
        encoder.encode_array(list(value))
        self.depth -= 1

    def dict_(self, encoder: CBOREncoder, value: dict[Any, Any]) -> None:
        self.enter()
        if _STR.issuperset(map(type, value)):
            encoder.encode_map(value)
        else:
            encoder.encode_length(6, tags.PAIRS)
            encoder.encode_length(4, 2)
            encoder.encode_array(list(value))
            encoder.encode_array(list(value.values()))
        self.depth -= 1

    def bytes_(self, encoder: CBOREncoder, value: bytes) -> None:
        # cbor2 also writes a big integer's bytes through this method.
        if len(value) < OUT_OF_LINE:
            encoder.encode_bytes(value)
        else:
            encoder.encode_length(6, tags.SEGMENT)
            encoder.encode_length(0, self.add(memoryview(value)))

    def bytearray_(self, encoder: CBOREncoder, value: bytearray) -> None:
        encoder.encode_length(6, tags.BYTEARRAY)
        if len(value) < OUT_OF_LINE:
            encoder.encode_bytearray(value)
        else:
            encoder.encode_length(0, self.add(memoryview(value)))


class _Encoders(dict[type, Any]):
    """The table for one encode at a time.

    It holds the writer, and not the other way round, so that they form no reference cycle.
    """

    __slots__ = ("writer",)
    writer: _Writer

    def __missing__(self, kind: type) -> Callable[[CBOREncoder, Any], None]:
        encoder: Any = scalars.encoder_of(kind)
        if encoder is None:
            of_array = _array_encoder(kind)
            if of_array is None:
                # Not kept in the table, which would keep a class of a call's alive.
                return partial(_as_plain, self.writer.add)
            encoder = partial(of_array, self.writer.add)
        self[kind] = encoder
        return encoder  # type: ignore[no-any-return]


# Tables that no encode uses now. Making one takes longer than writing a small value.
_idle: list[_Encoders] = []


def _is_numpys(kind: type) -> bool:
    numpy = sys.modules.get("numpy")
    return numpy is not None and issubclass(kind, (numpy.ndarray, numpy.generic))


def _as_plain(add: Callable[[memoryview], int], encoder: CBOREncoder, value: object) -> None:
    kind = type(value)
    make = plain_of(kind)
    if make is not None:
        encoder.encode(make(value))
    elif issubclass(kind, (bytes, bytearray)) or _is_numpys(kind):
        raise Unfit(_WAYS_OUT.get(name_of(kind), ""))
    else:
        _buffer(add, encoder, value)


_WAYS_OUT = dict.fromkeys(
    ("numpy.ma.MaskedArray", "numpy.ma.core.MaskedArray"),
    "a numpy.ma.MaskedArray (but its .filled() and its .mask are carried)",
)


def _buffer(add: Callable[[memoryview], int], encoder: CBOREncoder, value: Any) -> None:
    """Write an exporter of memory (array.array, memoryview, mmap) as an array. Raises `Unfit`."""
    try:
        view = memoryview(value)
    except TypeError:
        raise Unfit from None
    try:
        import numpy

        from pinfold.codec import arrays
    except ModuleNotFoundError:
        raise Unfit(f"a {name_of(type(value))}, and there is no numpy here to carry it") from None
    try:
        array = numpy.asarray(view)
    except (TypeError, ValueError, RuntimeError):
        raise Unfit(f"a {name_of(type(value))} of format {view.format!r:.40}") from None
    arrays.ENCODERS[numpy.ndarray](add, encoder, array)


def _array_encoder(kind: type) -> Any:
    """Return numpy's encoder for the type; None before the program has imported numpy."""
    if "numpy" in sys.modules and scalars.module_of(kind) == "numpy":
        from pinfold.codec import arrays

        return arrays.ENCODERS.get(kind)
    return None


def _write(value: object, careful: bool) -> list[bytes | memoryview]:
    if careful:
        encoders = _new_encoders()
        encoders.update(scalars.CAREFUL)
    else:
        try:
            encoders = _idle.pop()
        except IndexError:
            encoders = _new_encoders()
    stream = cbor2.dumps(value, encoders=encoders)
    segments: list[bytes | memoryview] = [stream, *encoders.writer.buffers]
    if careful:
        return segments
    encoders.writer.buffers.clear()
    _idle.append(encoders)
    return segments if _SOME_NAN not in stream else _write(value, careful=True)


def _new_encoders() -> _Encoders:
    writer = _Writer()
    encoders = _Encoders(_NATIVE)
    encoders.writer = writer
    encoders[list] = writer.list_
    encoders[tuple] = writer.tuple_
    encoders[dict] = writer.dict_
    encoders[set] = writer.set_
    encoders[frozenset] = writer.frozenset_
    encoders[bytes] = writer.bytes_
    encoders[bytearray] = writer.bytearray_
    return encoders


def encode(value: object, root: str = "result") -> list[bytes | memoryview]:
    """Return the segments of `value`; see `pinfold.codec.encode`. Raises `NotCarried`."""
    try:
        try:
            return _write(value, careful=False)
        except UnicodeEncodeError:
            return _write(value, careful=True)
    except MemoryError:
        raise
    except Exception as error:
        quiet = isinstance(error, (Unfit, cbor2.CBOREncodeError))
        raise culprit(value, root, _RULES) from (None if quiet else error)
    except BaseException as error:
        # A Rust panic (another thread changed a dict meanwhile) is not an Exception.
        if type(error).__name__ != "PanicException":
            raise
        raise culprit(value, root, _RULES) from error


def _refused_part(value: object, depth: int) -> Unfit | None:
    try:
        _write(value, careful=True)
    except MemoryError:
        raise
    except Unfit as error:
        return error
    except Exception as error:
        return Unfit(f"a {name_of(type(value))} ({error!s:.200})")
    return None


_RULES = Rules("data", _refused_part)

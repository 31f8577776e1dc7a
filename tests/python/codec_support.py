# SPDX-License-Identifier: Apache-2.0
"""Helpers of the codecs' tests: send a value, compare exactly, generate values."""

from __future__ import annotations

import datetime as dt
import mmap
import struct
import zoneinfo
from collections.abc import Iterable
from decimal import Decimal
from fractions import Fraction
from pathlib import PosixPath, PurePosixPath
from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from pinfold import codec


def received(segments: Iterable[bytes | memoryview]) -> list[memoryview]:
    """Return the segments as the other side gets them: writable, aligned, in separate memory."""
    arrived = []
    for segment in segments:
        size = memoryview(segment).nbytes
        home = mmap.mmap(-1, size) if size >= 4096 else bytearray(size)
        view = memoryview(home)
        view[:] = memoryview(segment).cast("B") if size else b""
        arrived.append(view)
    return arrived


def sent(value: object, name: str = "data") -> Any:
    return codec.decode(received(codec.encode(value, name)), name)


def same(a: Any, b: Any) -> bool:
    """Compare values and types recursively; NaNs by their bits, dicts by their order."""
    if type(a) is not type(b):
        return False
    if type(a) is float:
        return struct.pack("d", a) == struct.pack("d", b)
    if type(a) is complex:
        return same(a.real, b.real) and same(a.imag, b.imag)
    if type(a) in (list, tuple):
        return len(a) == len(b) and all(map(same, a, b))
    if type(a) is dict:
        return same(list(a.items()), list(b.items()))
    if type(a) in (set, frozenset):
        left = list(b)
        for x in a:
            found = [i for i, y in enumerate(left) if same(x, y)]
            if not found:
                return False
            del left[found[0]]
        return not left
    if type(a) is Decimal:
        return a.as_tuple() == b.as_tuple()
    if type(a) in (dt.datetime, dt.time):
        naive = a.replace(tzinfo=None) == b.replace(tzinfo=None)
        return naive and a.fold == b.fold and same(a.tzinfo, b.tzinfo)
    if type(a) is dt.timezone:
        return repr(a) == repr(b)
    if type(a) is zoneinfo.ZoneInfo:
        return a.key == b.key
    if isinstance(a, np.ndarray):
        return (
            same_dtype(a.dtype, b.dtype)
            and a.shape == b.shape
            and a.flags.f_contiguous == b.flags.f_contiguous
            and raw(a) == raw(b)
        )
    if isinstance(a, (np.str_, np.bytes_)):
        return bool(a == b)
    if isinstance(a, np.generic):
        return same_dtype(a.dtype, b.dtype) and a.tobytes() == b.tobytes()
    return bool(a == b)


def raw(array: Any) -> bytes:
    """Return the memory of a contiguous array, with the padding between its fields."""
    flat = array if array.flags.c_contiguous else array.T
    return flat.reshape(-1).view(np.uint8).tobytes() if array.nbytes else b""


def same_dtype(a: Any, b: Any) -> bool:
    return (
        a == b
        and a.char == b.char
        and a.type is b.type
        and a.isalignedstruct == b.isalignedstruct
        and repr(a) == repr(b)
    )


ZONES = [
    key
    for key in ("UTC", "Europe/London", "America/Argentina/Ushuaia")
    if key in zoneinfo.available_timezones()
]

any_float = st.one_of(
    st.floats(),
    st.integers(0, (1 << 64) - 1).map(lambda bits: struct.unpack("=d", struct.pack("=Q", bits))[0]),
)
any_text = st.text(alphabet=st.characters())  # lone surrogates too
big_ints = st.one_of(
    st.integers(),
    st.tuples(st.integers(60, 66), st.integers(-2, 2), st.sampled_from([1, -1])).map(
        lambda t: t[2] * ((1 << t[0]) + t[1])
    ),
)
offsets = st.integers(-86_399_999_999, 86_399_999_999).map(lambda us: dt.timedelta(microseconds=us))
zones = st.one_of(
    st.none(),
    st.builds(dt.timezone, offsets),
    st.builds(dt.timezone, offsets, any_text),
    *([st.sampled_from(ZONES).map(zoneinfo.ZoneInfo)] if ZONES else []),
)
folds = st.integers(0, 1)
decimals = st.one_of(
    st.decimals(),
    st.sampled_from(["-0", "-0E+7", "1E+999999", "1E-999999", "-sNaN12", "NaN7", "0.000"]).map(
        Decimal
    ),
)


@st.composite
def arrays(draw: Any) -> Any:
    """Generate arrays of any dtype but object, with any bits, in C or Fortran order."""
    dtype = draw(st.one_of(npst.scalar_dtypes(), npst.nested_dtypes(max_leaves=6)))
    shape = draw(npst.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=5))
    if dtype.subdtype is not None:
        dtype = np.dtype([("only", dtype)])
    array = np.zeros(shape, dtype, order=draw(st.sampled_from("CF")))
    if array.nbytes:
        octets = draw(st.binary(min_size=1, max_size=64))
        flat = array.T if not array.flags.c_contiguous else array
        flat.reshape(-1).view(np.uint8)[:] = np.resize(
            np.frombuffer(octets, np.uint8), array.nbytes
        )
    settle(array)
    return array


def settle(array: Any) -> None:
    """Turn bits that are not a bool or a character into ones that are."""
    if array.dtype.names is not None:
        for name in array.dtype.names:
            settle(array[name])
    elif array.dtype.kind == "b":
        array.view(np.uint8)[...] &= 1
    elif array.dtype.kind == "U" and array.dtype.itemsize:
        codes = array.view(np.dtype((array.dtype.str[0] + "u4", (array.dtype.itemsize // 4,))))
        codes[...] &= 0xFFFFF


@st.composite
def numpy_scalars(draw: Any) -> Any:
    dtype = draw(npst.scalar_dtypes().filter(lambda d: d.kind not in "SU"))
    octets = draw(st.binary(min_size=dtype.itemsize, max_size=dtype.itemsize))
    array = np.ndarray((), dtype, bytearray(octets or b"\0"))
    settle(array)
    return array[()]


# Functions hide these strategies, because Hypothesis prints strategies and these are large.
_hashable_leaves = st.one_of(
    st.none(),
    st.booleans(),
    big_ints,
    any_float,
    st.builds(complex, any_float, any_float),
    any_text,
    st.binary(),
    st.builds(range, st.integers(), st.integers(), st.integers().filter(bool)),
    st.just(...),
    st.builds(lambda d, z, f: d.replace(tzinfo=z, fold=f), st.datetimes(), zones, folds),
    st.dates(),
    st.builds(lambda t, z, f: t.replace(tzinfo=z, fold=f), st.times(), zones, folds),
    st.timedeltas(),
    zones,
    decimals.filter(lambda d: not d.is_snan()),
    st.fractions(),
    st.builds(Fraction, big_ints, big_ints.filter(bool)),
    st.uuids(),
    any_text.map(PosixPath),
    any_text.map(PurePosixPath),
    any_text.map(np.str_),
    st.binary().map(np.bytes_),
)


@st.composite
def hashable_leaves(draw: Any) -> Any:
    return draw(_hashable_leaves)


_leaves = st.one_of(
    hashable_leaves(),
    decimals,
    st.binary().map(bytearray),
    st.builds(slice, *[st.none() | big_ints] * 3),
    numpy_scalars(),
    arrays(),
)


@st.composite
def leaves(draw: Any) -> Any:
    return draw(_leaves)


_hashables = st.recursive(
    hashable_leaves(),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4).map(tuple), st.frozensets(inner, max_size=4)
    ),
    max_leaves=6,
)


@st.composite
def hashables(draw: Any) -> Any:
    return draw(_hashables)


_values = st.recursive(
    st.one_of(leaves(), hashables()),
    lambda inner: st.one_of(
        st.lists(inner, max_size=5),
        st.lists(inner, max_size=5).map(tuple),
        st.dictionaries(any_text, inner, max_size=5),
        st.dictionaries(hashables(), inner, max_size=5),
        st.sets(hashables(), max_size=5),
    ),
    max_leaves=20,
)


@st.composite
def values(draw: Any) -> Any:
    return draw(_values)

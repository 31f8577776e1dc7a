# SPDX-License-Identifier: Apache-2.0
"""Write and read numpy's arrays and scalars. Imported only when a value needs numpy.

An array is ``[dtype, shape, whether in Fortran order, memory]``. A dtype is a string such as
``<f8`` or, for a structured one, ``[flags, itemsize, [[name, title, offset, dtype, shape], ...]]``.
The reader checks each description itself before numpy's own parser sees it.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from functools import lru_cache
from itertools import pairwise
from math import prod
from typing import TYPE_CHECKING, Any

import cbor2
import numpy as np

from pinfold.codec import tags
from pinfold.codec._reader import are_bools, are_characters, describe
from pinfold.codec.refusals import Malformed
from pinfold.codec.tags import Unfit

if TYPE_CHECKING:
    from cbor2 import CBOREncoder

_PLAIN = re.compile(
    r"[|](?:b1|[iu]1|[SV](?:0|[1-9][0-9]{0,9}))"
    r"|[<>](?:[iu][248]|[qQ]8|f(?:2|4|8|12|16)|c(?:8|16|24|32)|U(?:0|[1-9][0-9]{0,9})"
    r"|[mM]8(?:\[(?:[1-9][0-9]{0,9})?(?:Y|M|W|D|h|m|s|ms|us|ns|ps|fs|as)\])?)"
)
# The numbers of numpy's own types: '?bBhHiIlLqQfdgFDG', then S, U, V, M, m, e (17 is object).
_NUMBERS = frozenset({*range(17), 18, 19, 20, 21, 22, 23})

_ALIGNED = 1
_RECORD = 2
_NESTED = 16  # the deepest nesting of structured dtypes


_KEPT = 256  # bytes of the longest description whose dtype is cached
_OF_NOTHING = 1 << 20  # the most items of an array whose items have no size

# Keeps memory that stays out of line, and returns the number of its segment.
Add = Callable[[memoryview], int]


def _refused(dtype: Any) -> Unfit:
    return Unfit(f"a numpy.ndarray of dtype {dtype!s:.100}")


def _spec(dtype: Any) -> str | list[Any]:
    if dtype.num not in _NUMBERS or dtype.hasobject:
        raise _refused(dtype)
    if dtype.names is None:
        if dtype.subdtype is not None:
            raise _refused(dtype)
        text: str = dtype.str
        # On Linux both long and long long have 8 bytes, but numpy has a dtype for each.
        if dtype.char in "qQ":
            text = f"{text[0]}{dtype.char}8"
        if not _PLAIN.fullmatch(text):
            raise _refused(dtype)
        return text
    members: list[Any] = []
    for name in dtype.names:
        member, offset, *title = dtype.fields[name]
        base, shape = member.subdtype or (member, None)
        if title and type(title[0]) is not str:
            raise _refused(dtype)
        inner = _spec(base)
        dims = None if shape is None else [int(n) for n in shape]
        members.append([name, *(title or [None]), int(offset), inner, dims])
    flags = _ALIGNED * dtype.isalignedstruct + _RECORD * (dtype.type is np.record)
    return [flags, int(dtype.itemsize), members]


def spec_of(dtype: Any) -> str | list[Any]:
    """Return a dtype's description, proven to read back as the same dtype. Raises `Unfit`."""
    spec = _spec(dtype)
    if type(spec) is not str:
        try:
            same = _same(_struct(spec), dtype)
        except Malformed as error:
            raise _refused(dtype) from error
        if not same:
            raise _refused(dtype)
    return spec


def _same(a: Any, b: Any) -> bool:
    return bool(a == b and a.isalignedstruct == b.isalignedstruct and a.type is b.type)


@lru_cache(maxsize=256)
def _plain(text: str) -> Any:
    if not _PLAIN.fullmatch(text):
        raise Malformed(f"no dtype {text[:40]!r}")
    wanted = text
    try:
        if text[1] in "qQ":
            dtype = np.dtype(text[1])
            if dtype.str[0] != text[0]:
                dtype = dtype.newbyteorder("S")
            wanted = text[0] + text[1].replace("q", "i").replace("Q", "u") + "8"
        else:
            dtype = np.dtype(text)
    except (TypeError, ValueError, OverflowError) as error:
        raise Malformed(f"no dtype {text!r} here") from error
    if dtype.str != wanted or dtype.hasobject:
        raise Malformed(f"no dtype {text!r} here")
    return dtype


def dtype_of(description: bytes) -> tuple[Any, str]:
    """Return the dtype of a description (a CBOR item), and its kind if some bits are not values.

    The kind is "" if all bits are values. Raises `Malformed`.
    """
    return _kept(description) if len(description) <= _KEPT else _dtype(description)


def _dtype(description: bytes) -> tuple[Any, str]:
    spec = describe(description)
    dtype = _plain(spec) if type(spec) is str else _struct(spec)
    return dtype, dtype.kind if _is_picky(dtype) else ""


def _is_picky(dtype: Any) -> bool:
    if dtype.names is not None:
        return any(_is_picky(dtype[name]) for name in dtype.names)
    base = dtype if dtype.subdtype is None else dtype.subdtype[0]
    return base.kind in "bU" if base.names is None else _is_picky(base)


_kept = lru_cache(maxsize=256)(_dtype)


def _struct(spec: object, depth: int = 0) -> Any:
    if depth > _NESTED:
        raise Malformed("a dtype nested too deep")
    flags, itemsize, members = tags.fields(spec, "dtype", (int,), (int,), (list,))
    assert type(flags) is int and type(itemsize) is int and type(members) is list
    if not 0 <= flags <= (_ALIGNED | _RECORD) or not 0 <= itemsize < 1 << 31:
        raise Malformed("not the fields of a dtype")
    names, titles, offsets, formats, ends = [], [], [], [], []
    for member in members:
        kinds = ((str,), (str, type(None)), (int,), (str, list), (list, type(None)))
        name, title, offset, inner, dims = tags.fields(member, "dtype's field", *kinds)
        assert type(offset) is int
        base = _plain(inner) if type(inner) is str else _struct(inner, depth + 1)
        size = base.itemsize
        if type(dims) is list:
            size *= _product(dims)
            if size >= 1 << 31:
                raise Malformed("a dtype's field outside its item")
            base = _checked(lambda base=base, dims=dims: np.dtype((base, tuple(dims))))
        if not 0 <= offset <= itemsize - size:
            raise Malformed("a dtype's field outside its item")
        names.append(name)
        titles.append(title)
        offsets.append(offset)
        formats.append(base)
        if size:
            ends.append((offset, offset + size))
    # Checking an item reads each byte once for every field that covers it.
    ends.sort()
    if any(end > start for (_, end), (start, _) in pairwise(ends)):
        raise Malformed("a dtype with fields that overlap")
    layout = {"names": names, "formats": formats, "offsets": offsets, "itemsize": itemsize}
    if any(title is not None for title in titles):
        layout["titles"] = titles
    dtype = _checked(lambda: np.dtype(layout, align=bool(flags & _ALIGNED)))  # type: ignore[call-overload]
    if flags & _RECORD:
        dtype = _checked(lambda: np.dtype((np.record, dtype)))
    if dtype.itemsize != itemsize or dtype.names != tuple(names) or dtype.hasobject:
        raise Malformed("a dtype that numpy reads in another way")
    return dtype


def _checked(make: Any) -> Any:
    try:
        return make()
    except (TypeError, ValueError, OverflowError, KeyError, RuntimeError) as error:
        raise Malformed(f"no dtype: {error!s:.100}") from error


def _product(shape: object) -> int:
    if type(shape) is not list or len(shape) > 64:
        raise Malformed("not a shape")
    size = 1
    for n in shape:
        if type(n) is not int or not 0 <= n < 1 << 63:
            raise Malformed("not a shape")
        size *= n
    return size


# --- arrays ---------------------------------------------------------------------------------------


def _flaw(array: Any) -> str:
    """Return a description of bits in an array that are no values of its dtype, or "".

    numpy accepts any bits as a bool or a character, but its loops and Python's str rely on valid
    ones. An honest array has invalid bits only where `np.empty` left them.
    """
    dtype = array.dtype
    if dtype.names is not None:
        return next(filter(None, (_flaw(array[name]) for name in dtype.names)), "")
    if dtype.kind == "b" and array.size and array.view(np.uint8).max() > 1:
        return "bools that are neither 0 nor 1"
    if dtype.kind == "U" and array.size and dtype.itemsize:
        codes = np.dtype((f"{dtype.str[0]}u4", (dtype.itemsize // 4,)))
        if array.view(codes).max() > sys.maxunicode:
            return "characters beyond Unicode"
    return ""


def _flawless(value: Any) -> Any:
    flaw = _flaw(value)
    if not flaw:
        return value
    if value.dtype == bool:
        return value.view(np.uint8) != 0
    raise Unfit(f"a numpy.ndarray of dtype {value.dtype!s:.100} with {flaw}")


def _on(buffer: Any, shape: tuple[int, ...], dtype: Any, fortran: bool) -> Any:
    """Return an array on a buffer.

    `frombuffer` exports the buffer, which keeps it mapped; the array's own constructor would only
    hold a reference.
    """
    if dtype.itemsize == 0 or not buffer:
        buffer = bytearray(1)
    if type(buffer) is bytearray:  # not shared, so a reference is enough
        return np.ndarray(shape, dtype, buffer, order="F" if fortran else "C")
    return np.frombuffer(buffer, dtype).reshape(shape, order="F" if fortran else "C")


def _array(add: Add, encoder: CBOREncoder, value: Any) -> None:
    spec = spec_of(value.dtype)
    if value.dtype.kind in "bUV":
        value = _flawless(value)
    fortran = False
    if not value.flags.c_contiguous:
        fortran = value.flags.f_contiguous
        value = value.T if fortran else value.copy(order="C")
    encoder.encode_length(6, tags.ARRAY)
    encoder.encode_length(4, 4)
    if type(spec) is str:
        encoder.encode_string(spec)
    else:
        encoder.write(cbor2.dumps(spec))
    shape = value.shape[::-1] if fortran else value.shape
    encoder.encode_length(4, len(shape))
    for n in shape:
        encoder.encode_length(0, n)
    encoder.encode_bool(fortran)
    if value.nbytes < tags.OUT_OF_LINE:
        encoder.encode_bytes(value.tobytes())
    else:
        octets = value.reshape(-1).view(np.uint8)
        encoder.encode_length(0, add(memoryview(octets)))


def _viewed(add: Add, encoder: CBOREncoder, value: Any) -> None:
    # A memmap's file is only its storage, and a recarray's attributes only name its fields.
    _array(add, encoder, value.view(np.ndarray))


def read_array(
    description: bytes, shape: tuple[int, ...], fortran: bool, memory: bytearray | memoryview
) -> Any:
    """Return an array on the memory of its segment, or on a copy of its bytes in the stream.

    Raises `Malformed`.
    """
    dtype, picky = dtype_of(description)
    count = prod(shape)
    if len(memory) != count * dtype.itemsize:
        raise Malformed(f"a numpy.ndarray of {count * dtype.itemsize} bytes on {len(memory)}")
    if count > _OF_NOTHING and not memory:
        raise Malformed("a numpy.ndarray of too many items of no size")
    try:
        array = _on(memory, shape, dtype, fortran)
    except (TypeError, ValueError, OverflowError) as error:
        raise Malformed(f"no such numpy.ndarray: {error!s:.100}") from error
    if picky:
        _check(array, memory, picky)
    return array


def _check(array: Any, memory: bytes | bytearray | memoryview, kind: str) -> None:
    """Raise `Malformed` if some bits of an array are not values. `memory` is all of its memory."""
    if kind == "b":
        good = are_bools(memory)
    elif kind == "U":
        good = are_characters(memory, array.dtype.str[0] == ">")
    else:
        good = not _flaw(array)
    if not good:
        raise Malformed(f"a numpy value with {_flaw(array)}")


# --- scalars --------------------------------------------------------------------------------------


def _scalar(add: Add, encoder: CBOREncoder, value: Any) -> None:
    try:
        spec = spec_of(value.dtype)
        if value.dtype.names is not None:
            _flawless(np.asarray(value))
    except Unfit as error:
        raise Unfit(error.what.replace("ndarray", type(value).__name__)) from None
    encoder.encode_length(6, tags.SCALAR)
    encoder.encode_length(4, 2)
    if type(spec) is str:
        encoder.encode_string(spec)
    else:
        encoder.write(cbor2.dumps(spec))
    encoder.encode_bytes(value.tobytes())


def _str(add: Add, encoder: CBOREncoder, value: Any) -> None:
    # Written as text, because an item of an array would lose trailing NULs.
    encoder.encode_length(6, tags.SCALAR)
    encoder.encode_length(4, 2)
    encoder.encode_string("U")
    encoder.encode(str.__str__(value))


def _bytes(add: Add, encoder: CBOREncoder, value: Any) -> None:
    encoder.encode_length(6, tags.SCALAR)
    encoder.encode_length(4, 2)
    encoder.encode_string("S")
    encoder.encode_bytes(bytes(value))


def read_scalar(description: bytes, content: bytes | str) -> Any:
    """Return a numpy scalar of exactly the dtype that was written. Raises `Malformed`."""
    if type(content) is str:
        if description != b"\x61U":
            raise Malformed("not the content of a numpy scalar")
        return np.str_(content)
    if description == b"\x61S":
        return np.bytes_(content)
    assert type(content) is bytes
    dtype, picky = dtype_of(description)
    if dtype.kind in "SU" or len(content) != dtype.itemsize:
        raise Malformed("not the content of a numpy scalar")
    memory = bytearray(content)
    array = _on(memory, (), dtype, False)
    if picky:
        _check(array, memory, picky)
    return array[()]


_KINDS = {np.dtype(char).type for char in "?bBhHiIlLqQefdgFDGVMm"}

ENCODERS: dict[type, Any] = {
    np.ndarray: _array,
    np.memmap: _viewed,
    np.recarray: _viewed,
    np.str_: _str,
    np.bytes_: _bytes,
    **dict.fromkeys((*_KINDS, np.record), _scalar),
}

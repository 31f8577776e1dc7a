# SPDX-License-Identifier: Apache-2.0
"""The `json` codec: one JSON text (RFC 8259) in UTF-8, for callers in other languages.

The value is one segment. What is read is what JSON has: None, bool, int, float, str, list, and
dict with keys of str. What is written besides arrives as one of these:

- A float that is not finite is ``"NaN"``, ``"Infinity"`` or ``"-Infinity"``, as in protobuf's
  JSON mapping.
- bytes, a bytearray and a memoryview are base64 text (RFC 4648, section 4, with padding).
- Tuples, sets, frozensets, deques and a dict's views are lists. A set has the order in which it
  iterates, which means nothing and differs from run to run.
- Subclasses of dict, list, tuple, int, float and str are the plain type.
- A numpy scalar is what its ``item()`` is, an array what its ``tolist()`` is: nested lists, and for
  an array without dimensions one number. This holds for bools, ints, floats of at most 8 bytes, and
  text. numpy's bytes are base64. Other dtypes are refused, complex numbers and objects among them.

Every other value is refused by its path, and so are: a dict's key that is not a str, a lone
surrogate, an int of more than `MAX_DIGITS` (4,932) digits, and more than `MAX_DEPTH` (200)
containers inside one another. An int may have any size up to that; many readers in other languages
hold 53 or 64 bits of it. A float is written with the fewest digits that read back as the same
float, and always with a ``.`` or an exponent, so that it arrives as a float.

The reader (`reader/json.c`) refuses what RFC 8259 does not have (NaN and Infinity without quotes, a
byte order mark), and what its readers treat in different ways: a name that an object has twice, a
lone surrogate, and a number beyond a float's range (RFC 7493). It has the budgets of the `data`
codec.
"""

from __future__ import annotations

import sys
from _json import encode_basestring, make_encoder
from binascii import b2a_base64
from math import isfinite, isnan
from typing import Any

from pinfold.codec._reader import MAX_DIGITS
from pinfold.codec.culprits import Rules, culprit, plain_of
from pinfold.codec.reading import decode_json as decode
from pinfold.codec.refusals import name_of
from pinfold.codec.tags import MAX_DEPTH, Unfit

__all__ = ["decode", "encode"]

_STR = frozenset({str})
_CAREFUL: frozenset[type] = frozenset({str, bool, type(None)})
# Types that the encoder writes as they are. It raises ValueError for a float that is not finite,
# and for an int with too many digits; the value is then written again, with care.
_QUICK: frozenset[type] = _CAREFUL | {int, float}

_MOST = 10**MAX_DIGITS
_DIGITS = 600  # fewer than any limit on the conversion of ints (sys.set_int_max_str_digits)


# The limit on the conversion of ints, which a few interpreters do not have.
_most_digits = getattr(sys, "get_int_max_str_digits", lambda: 0)


def _never(value: object) -> object:
    raise Unfit


# The standard library's compiled encoder, held here so that a program that replaces parts of the
# module `json` changes no other call.
_dump = make_encoder(None, _never, encode_basestring, None, ":", ",", False, False, False)


def encode(value: object, root: str = "result") -> list[bytes | memoryview]:
    """Return the segment of `value`; see `pinfold.codec.encode`. Raises `NotCarried`."""
    try:
        return [_text(value).encode()]
    except MemoryError:
        raise
    except Exception as error:
        quiet = isinstance(error, (Unfit, UnicodeEncodeError))
        raise culprit(value, root, _RULES) from (None if quiet else error)


def _text(value: object) -> str:
    if 0 < _most_digits() <= MAX_DIGITS:
        plain = _plain(value, _QUICK, 0)
        try:
            return "".join(_dump(plain, 0))
        except ValueError:
            pass
    plain = _plain(value, _CAREFUL, 0)
    try:
        return "".join(_dump(plain, 0))
    except ValueError:  # an int with more digits than this interpreter converts at once
        return _long(plain)


def _plain(value: Any, easy: frozenset[type], depth: int) -> Any:
    """Return a value of the types that the encoder knows. Raises `Unfit`.

    Containers of nothing but `easy` types are returned as they are, because a copy of each item
    would take much longer than writing it.
    """
    kind = type(value)
    if kind in easy:
        return value
    if kind is list or kind is tuple or kind is set or kind is frozenset:
        depth = _deeper(depth)
        if easy.issuperset(map(type, value)):
            return list(value)
        return [_plain(item, easy, depth) for item in value]
    if kind is dict:
        depth = _deeper(depth)
        if _STR.issuperset(map(type, value)):
            if easy.issuperset(map(type, value.values())):
                return value
            return {key: _plain(item, easy, depth) for key, item in value.items()}
        return _of_subclasses(value, easy, depth)
    if kind is float:
        return value if isfinite(value) else _word(value)
    if kind is int:
        if not -_MOST < value < _MOST:
            raise Unfit(f"an int of more than {MAX_DIGITS} digits")
        return value
    return _other(value, kind, easy, depth)


def _deeper(depth: int) -> int:
    if depth == MAX_DEPTH:
        raise Unfit
    return depth + 1


def _of_subclasses(value: dict[Any, Any], easy: frozenset[type], depth: int) -> dict[str, Any]:
    """Return a dict some of whose keys are not exactly str."""
    plain = {}
    for key, item in value.items():
        if not issubclass(type(key), str):
            raise Unfit
        plain[str.__str__(key)] = _plain(item, easy, depth)
    if len(plain) != len(value):
        raise Unfit
    return plain


def _word(value: float) -> str:
    return "NaN" if isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _other(value: Any, kind: type, easy: frozenset[type], depth: int) -> Any:
    if kind is bytes or kind is bytearray:
        return b2a_base64(value, newline=False).decode()
    if kind is memoryview:
        return b2a_base64(value.tobytes(), newline=False).decode()
    numpy = sys.modules.get("numpy")
    if numpy is not None and issubclass(kind, (numpy.ndarray, numpy.generic)):
        return _of_numpy(numpy, value, kind, easy, depth)
    make = plain_of(kind)
    if make is None:
        raise Unfit
    return _plain(make(value), easy, depth)


def _of_numpy(numpy: Any, value: Any, kind: type, easy: frozenset[type], depth: int) -> Any:
    dtype = numpy.ndarray.dtype.__get__(value) if issubclass(kind, numpy.ndarray) else value.dtype
    what = dtype.kind
    if not (what in "biuUS" or (what == "f" and dtype.itemsize <= 8)) or dtype.names is not None:
        raise Unfit(f"a {name_of(kind)} of dtype {dtype!s:.100}")
    if issubclass(kind, numpy.generic):
        item = str.__str__(value) if what == "U" else bytes(value) if what == "S" else value.item()
        return _plain(item, easy, depth)
    if kind is not numpy.ndarray and kind is not numpy.memmap:
        raise Unfit
    if depth + value.ndim > MAX_DEPTH:
        raise Unfit(f"a numpy.ndarray nested more than {MAX_DEPTH} containers deep")
    items = value.tolist()
    is_text = what in "US" or (what == "f" and float not in easy)
    return _plain(items, easy, depth) if is_text else items


def _long(value: Any) -> str:
    """Return the text of a plain value, whatever the limit on the conversion of ints is."""
    kind = type(value)
    if kind is int:
        return _digits(value)
    if kind is list:
        return f"[{','.join(map(_long, value))}]"
    if kind is dict:
        return f"{{{','.join(f'{_long(key)}:{_long(item)}' for key, item in value.items())}}}"
    return "".join(_dump(value, 0))


def _digits(value: int) -> str:
    left, pieces = abs(value), []
    while left >= 10**_DIGITS:
        left, last = divmod(left, 10**_DIGITS)
        pieces.append(f"{last:0{_DIGITS}d}")
    pieces.append(f"{'-' if value < 0 else ''}{left}")
    return "".join(reversed(pieces))


def _refused_part(value: Any, depth: int) -> Unfit | None:
    try:
        _plain(value, _CAREFUL, depth - 1)
        _text(value).encode()
    except MemoryError:
        raise
    except UnicodeEncodeError:
        return Unfit("a str with a lone surrogate")
    except Exception as error:
        return (
            error
            if isinstance(error, Unfit)
            else Unfit(f"a {name_of(type(value))} ({error!s:.200})")
        )
    return None


def _refused_key(key: Any) -> Unfit | None:
    if issubclass(type(key), str):
        return _refused_part(key, 1)
    return Unfit(f"a key of type {name_of(type(key))}")


_RULES = Rules("json", _refused_part, _refused_key, frozenset({bool, float, type(None)}))

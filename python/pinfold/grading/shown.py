# SPDX-License-Identifier: Apache-2.0
"""Short descriptions of values, for what differed.

The time and memory of a description do not depend on the size of the value, which a candidate may
have chosen.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from itertools import islice
from typing import Any

from pinfold.codec.refusals import name_of

MOST = 200
"""The most characters of a description."""

_ITEMS = 6  # that a description shows of a container
_DEPTH = 4
_BITS = 512  # of the largest int shown in digits

_BRACKETS: dict[type, tuple[str, str]] = {
    list: ("[", "]"),
    tuple: ("(", ")"),
    dict: ("{", "}"),
    set: ("{", "}"),
    frozenset: ("frozenset({", "})"),
}

# repr() of these takes little time, whatever the value is.
_SHORT = (
    *("bool", "NoneType", "ellipsis", "float", "complex"),
    *("datetime.datetime", "datetime.date", "datetime.time", "datetime.timedelta"),
    *("datetime.timezone", "zoneinfo.ZoneInfo", "uuid.UUID"),
)


def shown(value: object) -> str:
    """Return a description of at most `MOST` characters, on one line."""
    return cut(_describe(value, _DEPTH))


def cut(text: str, most: int = MOST) -> str:
    """Return `text`, without its end if it has more than `most` characters."""
    return text if len(text) <= most else f"{text[: most - 3]}..."


def shown_bytes(text: bytes) -> str:
    """Return a description of a part of an output."""
    return cut(repr(text[: MOST + 1].decode(errors="backslashreplace")))


def _describe(value: Any, depth: int) -> str:
    kind = type(value)
    name = name_of(kind)
    if kind in (str, bytes, bytearray):
        return repr(value[: MOST + 1])
    if kind is int:
        bits = value.bit_length()
        return repr(value) if bits <= _BITS else f"an int of {bits} bits"
    if name in _SHORT:
        return repr(value)
    if kind in (list, tuple, set, frozenset, dict):
        return _container(value, depth)
    if kind in (range, slice):
        parts = (_describe(part, 0) for part in (value.start, value.stop, value.step))
        return f"{name}({', '.join(parts)})"
    if name == "fractions.Fraction":
        return f"Fraction({_describe(value.numerator, 0)}, {_describe(value.denominator, 0)})"
    if name == "decimal.Decimal":
        return cut(repr(value))
    if name in ("pathlib.PosixPath", "pathlib.PurePosixPath"):
        return f"{kind.__name__}({cut(str(value))!r})"
    numpy = sys.modules.get("numpy")
    if numpy is not None and kind is numpy.ndarray:
        return _array(value)
    if numpy is not None and issubclass(kind, numpy.generic) and name.startswith("numpy."):
        return _array(value)
    return f"a {name}"


def _container(value: Any, depth: int) -> str:
    start, end = _BRACKETS[type(value)]
    if not value:
        return repr(value)
    if depth == 0:
        return f"{start}...{end}"
    if type(value) is dict:
        pairs: Iterable[tuple[object, object]] = islice(value.items(), _ITEMS)
        parts = [f"{_describe(k, depth - 1)}: {_describe(v, depth - 1)}" for k, v in pairs]
    else:
        parts = [_describe(item, depth - 1) for item in islice(value, _ITEMS)]
    if len(value) > _ITEMS:
        parts.append(f"... ({len(value)} items)")
    comma = "," if type(value) is tuple and len(value) == 1 else ""
    return f"{start}{', '.join(parts)}{comma}{end}"


def _array(value: Any) -> str:
    dtype = cut(str(value.dtype), 60)
    if value.dtype.kind == "V" or value.dtype.itemsize > MOST:
        return f"an array of dtype {dtype} and shape {value.shape}"
    first = [repr(item) for item in value.flat[:_ITEMS].tolist()]
    more = ", ..." if value.size > _ITEMS else ""
    if value.ndim == 0:
        return f"{''.join(first)} (dtype {dtype})"
    return f"array([{', '.join(first)}{more}], shape={value.shape}, dtype={dtype})"

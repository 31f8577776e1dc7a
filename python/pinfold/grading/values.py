# SPDX-License-Identifier: Apache-2.0
"""Comparison of values: `equal`, `close`.

Values that come out of the codec `data` are trees of plain types. A value of any other type is
equal to none, and none of its methods is called. The comparison keeps its own stack, and takes time
linear in the sizes of both values.

- The types must be the same: True, 1 and 1.0 are three values, and so are a list and a tuple. A
  scalar of numpy counts as the Python value of its kind.
- A NaN is equal to a NaN, also as a key. 0.0 and -0.0 are equal.
- The order of a dict or a set does not matter.
- Arrays have the same shape and the same kind of dtype (`arrays`).

`close` differs in three ways: numbers but bool may be of different types, and count as the same to
1e-6, absolute or relative to the expected one, but two ints only if they are equal; so do the
numbers of arrays; a list and a tuple may be the same.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from functools import cache
from typing import Any, TypeAlias

from pinfold.codec.refusals import name_of
from pinfold.grading.numbers import floats_close
from pinfold.grading.shown import MOST, cut, shown
from pinfold.grading.verdict import Difference

# One step of a path, and the two values to which it leads.
_Pair: TypeAlias = tuple[str, Any, Any]
# What is left of a container: pairs, or its own difference.
_Pairs: TypeAlias = "Iterator[_Pair | Difference]"
_SEQUENCES = (list, tuple)
_NUMBERS = (int, float, complex)
_BUILTIN = frozenset(
    {
        *(type(None), bool, int, float, complex, str, bytes, bytearray),
        *(range, slice, type(...)),
    }
)
_MISSING: Any = object()


def equal(got: object, expected: object) -> Difference | None:
    """Compare strictly."""
    return _compare(got, expected, loose=False)


def close(got: object, expected: object) -> Difference | None:
    """Compare numbers to 1e-6."""
    return _compare(got, expected, loose=True)


def _compare(got: object, expected: object, *, loose: bool) -> Difference | None:
    path: list[str] = []
    stack: list[_Pairs] = [iter([("result", got, expected)])]
    while stack:
        pair = next(stack[-1], None)
        if pair is None:
            stack.pop()
            if path:
                path.pop()
            continue
        if isinstance(pair, Difference):
            return _at(path, pair)
        step, ours, theirs = pair
        found = _look(_plain(ours), _plain(theirs), loose)
        if isinstance(found, Difference):
            return _at([*path, step], found)
        if found is not None:
            path.append(step)
            stack.append(found)
    return None


def _at(path: list[str], found: Difference) -> Difference:
    where = "".join(path) + found.position
    if len(where) > MOST:
        where = f"{where[: MOST // 2]}...{where[-MOST // 3 :]}"
    return Difference(where, found.expected, found.got)


def _look(got: Any, expected: Any, loose: bool) -> _Pairs | Difference | None:
    """Return the pairs that are left to compare, None if there are none, or the difference."""
    kind = type(expected)
    if loose:
        if kind in _SEQUENCES and type(got) in _SEQUENCES:
            return _items(got, expected)
        if kind in _NUMBERS and type(got) in _NUMBERS:
            return None if _numbers_close(got, expected) else _differ(got, expected)
    if _is_array(expected) and _is_array(got):
        from pinfold.grading import arrays

        where = arrays.difference(got, expected, loose)
        return None if where is None else Difference(*where)
    if type(got) is not kind:
        return Difference("", _typed(expected), _typed(got))
    if kind in _SEQUENCES:
        return _items(got, expected)
    if kind is dict:
        return _entries(got, expected)
    if kind is set or kind is frozenset:
        return _members(got, expected)
    if kind not in _BUILTIN and kind not in _imported():
        return Difference("", f"no {name_of(kind):.100}: such values are not compared", shown(got))
    return None if _same(got, expected) else _differ(got, expected)


def _differ(got: object, expected: object) -> Difference:
    return Difference("", shown(expected), shown(got))


def _typed(value: object) -> str:
    return cut(f"{name_of(type(value)):.100} {shown(value)}")


@cache
def _imported() -> frozenset[type]:
    """Return the types without parts that are in modules of the standard library."""
    import datetime as d
    import decimal
    import fractions
    import pathlib
    import uuid
    import zoneinfo

    return frozenset(
        {
            *(d.date, d.datetime, d.time, d.timedelta, d.timezone, zoneinfo.ZoneInfo),
            *(decimal.Decimal, fractions.Fraction, uuid.UUID),
            *(pathlib.PosixPath, pathlib.PurePosixPath),
        }
    )


# ---- containers ----------------------------------------------------------------------------------


def _items(got: Any, expected: Any) -> _Pairs:
    for number, (ours, theirs) in enumerate(zip(got, expected, strict=False)):
        yield f"[{number}]", ours, theirs
    if len(got) != len(expected):
        yield Difference("", f"{len(expected)} items", f"{len(got)} items")


def _entries(got: dict[Any, Any], expected: dict[Any, Any]) -> _Pairs:
    found = {_key(key): (key, value) for key, value in got.items()}
    for key, theirs in expected.items():
        _, ours = found.pop(_key(key), (None, _MISSING))
        if ours is _MISSING:
            yield Difference("", f"a key {shown(key)}", "no such key")
        yield f"[{shown(key)}]", ours, theirs
    for key, _ in found.values():
        yield Difference("", "no other key", f"a key {shown(key)}")


def _members(got: Any, expected: Any) -> _Pairs:
    found = {_key(item): item for item in got}
    for item in expected:
        if found.pop(_key(item), _MISSING) is _MISSING:
            yield Difference("", f"an item {shown(item)}", "no such item")
    for item in found.values():
        yield Difference("", "no other item", f"an item {shown(item)}")


def _key(value: Any) -> Any:
    """Return what is equal and hashes alike for equal keys alone.

    The reader bounds how deep keys nest, and how often their hashes collide.
    """
    value = _plain(value)
    kind = type(value)
    if kind is str or kind is int:
        return kind, value
    if kind is tuple:
        return kind, tuple(map(_key, value))
    if kind is frozenset:
        return kind, frozenset(map(_key, value))
    if kind is complex:
        return kind, _key(value.real), _key(value.imag)
    if kind in _imported() and kind.__name__ == "Fraction":
        return kind, value.numerator, value.denominator  # its own hash is kept in a cache
    if kind not in _BUILTIN and kind not in _imported() and not _is_array(value):
        return kind, id(value)
    if kind.__name__ == "ZoneInfo" and kind in _imported() and value.key is not None:
        return kind, value.key
    if value != value:  # a NaN
        return kind, "NaN"
    return kind, value


# ---- leaves --------------------------------------------------------------------------------------


def _same(got: Any, expected: Any) -> bool:
    """Compare two values of the same type without parts."""
    kind = type(expected)
    if kind is float:
        return bool(got == expected or (got != got and expected != expected))
    if kind is complex:
        return _same(got.real, expected.real) and _same(got.imag, expected.imag)
    if kind.__name__ == "ZoneInfo":  # its own comparison goes by identity
        return bool(got is expected or (got.key is not None and got.key == expected.key))
    if kind.__name__ == "Decimal" and (got.is_nan() or expected.is_nan()):
        return bool(got.is_nan() and expected.is_nan())  # comparing a signalling NaN raises
    return bool(got == expected)


def _numbers_close(got: complex, expected: complex) -> bool:
    if type(got) is int and type(expected) is int:
        return got == expected
    try:
        ours, theirs = complex(got), complex(expected)
    except OverflowError:  # an int beyond the floats
        return False
    parts = zip((ours.real, ours.imag), (theirs.real, theirs.imag), strict=True)
    return all(_same(a, b) or floats_close(a, b) for a, b in parts)


# ---- numpy ---------------------------------------------------------------------------------------


def _plain(value: Any) -> Any:
    """Return a scalar of numpy as the Python value of its kind, if there is one."""
    if type(value) in _BUILTIN or not _is_array(value):
        return value
    from pinfold.grading import arrays

    return arrays.plain(value)


def _is_array(value: Any) -> bool:
    numpy = sys.modules.get("numpy")
    return numpy is not None and issubclass(type(value), (numpy.ndarray, numpy.generic))

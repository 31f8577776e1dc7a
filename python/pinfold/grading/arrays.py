# SPDX-License-Identifier: Apache-2.0
"""Comparison of numpy's arrays and scalars. Imported only when a value needs numpy.

Two arrays are equal if they have the same shape, dtypes of the same kind, and equal elements.
Signed and unsigned integers are one kind; the size and the byte order of elements do not matter.
Datetimes have the same unit. Structured arrays have the same names, and fields that are equal.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

from pinfold.grading.numbers import TOLERANCE
from pinfold.grading.shown import shown

# Position, expected, got: the fields of a Difference.
Place: TypeAlias = "tuple[str, str, str]"

_KINDS = (
    *((np.bool_, bool), (np.timedelta64, None), (np.integer, int)),
    *((np.str_, str), (np.bytes_, bytes)),
    *((np.longdouble, None), (np.floating, float)),
    *((np.clongdouble, None), (np.complexfloating, complex)),
)
# The Python type that carries a scalar type exactly: for a longdouble, a datetime64 and a record
# there is none.
_PYTHONS = {
    kind: next((python for base, python in _KINDS if issubclass(kind, base)), None)
    for kind in set(np.sctypeDict.values())
}


def plain(value: Any) -> Any:
    """Return a scalar as the Python value of its kind, anything else as it is."""
    python = _PYTHONS.get(type(value))
    return value if python is None else python(value)


def difference(got: Any, expected: Any, loose: bool) -> Place | None:
    """Return where two arrays or scalars differ first. `loose`: numbers count to 1e-6."""
    if issubclass(type(got), np.ndarray) != issubclass(type(expected), np.ndarray):
        return "", shown(expected), shown(got)
    ours, theirs = np.asarray(got), np.asarray(expected)
    if ours.shape != theirs.shape:
        return "", f"the shape {theirs.shape}", f"the shape {ours.shape}"
    with np.errstate(all="ignore"):
        return _differ(ours, theirs, loose)


def _differ(got: Any, expected: Any, loose: bool) -> Place | None:
    names = expected.dtype.names
    if names is not None and got.dtype.names == names:
        for name in names:
            if (place := _field(got[name], expected[name], loose)) is not None:
                return f"[{name!r:.100}]{place[0]}", place[1], place[2]
        return None
    if not _kinds_match(got.dtype, expected.dtype, loose):
        return "", f"the dtype {expected.dtype!s:.100}", f"the dtype {got.dtype!s:.100}"
    same = np.atleast_1d(_elements(got, expected, loose))
    if same.all():
        return None
    at = np.unravel_index(int(np.argmin(same)), got.shape) if got.ndim else ()
    index = ", ".join(map(str, map(int, at)))
    return f"[{index}]" if at else "", shown(plain(expected[at])), shown(plain(got[at]))


def _field(got: Any, expected: Any, loose: bool) -> Place | None:
    if got.shape != expected.shape:
        return "", f"the shape {expected.shape}", f"the shape {got.shape}"
    return _differ(got, expected, loose)


def _kinds_match(got: Any, expected: Any, loose: bool) -> bool:
    ours, theirs = _kind(got), _kind(expected)
    if loose and ours in "ifc" and theirs in "ifc":
        return True
    if ours in "mM" and ours == theirs:
        return bool(np.datetime_data(got) == np.datetime_data(expected))
    if "O" in (ours, theirs):
        return False
    if ours == "V":
        return bool(theirs == "V" and got.names is None and got.itemsize == expected.itemsize)
    return ours == theirs


def _kind(dtype: Any) -> str:
    return "i" if dtype.kind == "u" else str(dtype.kind)


def _elements(got: Any, expected: Any, loose: bool) -> Any:
    kinds = {got.dtype.kind, expected.dtype.kind}
    if kinds == {"i", "u"}:
        signed, other = (got, expected) if got.dtype.kind == "i" else (expected, got)
        # numpy compares both as float64 in some versions, which is not exact.
        return (signed >= 0) & (signed.astype(np.uint64) == other.astype(np.uint64))
    if kinds == {"V"}:
        return _bytes_of(got) == _bytes_of(expected)
    same = got == expected
    if kinds & set("fcmM"):
        same = same | ((got != got) & (expected != expected))
    if "c" in kinds:  # a NaN in one part
        same = _elements(got.real, expected.real, loose) & _elements(got.imag, expected.imag, loose)
    elif loose and "f" in kinds:
        ours, theirs = got.astype(np.longdouble), expected.astype(np.longdouble)
        bound = TOLERANCE * np.maximum(1, abs(theirs))
        same = same | (np.isfinite(ours) & np.isfinite(theirs) & (abs(ours - theirs) <= bound))
    return same


def _bytes_of(array: Any) -> Any:
    """Return the elements of an unstructured dtype as objects of bytes, which compare whole."""
    flat = np.ascontiguousarray(array)
    return np.array([item.tobytes() for item in flat.reshape(-1)], dtype=object).reshape(flat.shape)

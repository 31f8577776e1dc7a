# SPDX-License-Identifier: Apache-2.0
"""Numbers in text: whether two tokens are the same number."""

from __future__ import annotations

import math
import re
from decimal import Context, Decimal

TOLERANCE = 1e-6

# A longer token compares as text alone. Decimals and floats of this size take microseconds to
# read.
LONGEST = 512

_INTEGER = re.compile(rb"[+-]?[0-9]+")
_NUMBER = re.compile(rb"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")

# Exact for numbers of `LONGEST` digits. No signal raises: a number with an exponent out of range
# becomes infinite or zero.
_EXACT = Context(prec=4 * LONGEST, Emax=999_999, Emin=-999_999, traps=[])
_EXACT_TOLERANCE = Decimal("1e-6")


def close(got: bytes, expected: bytes) -> bool:
    """Return whether two tokens are numbers that count as the same.

    If `expected` is written as an integer, `got` must be that number to 1e-6, so that another
    integer never counts as the same, however large both are. Else `TOLERANCE` holds, absolute or
    relative to `expected`.
    """
    if len(got) > LONGEST or len(expected) > LONGEST:
        return False
    if not (_NUMBER.fullmatch(got) and _NUMBER.fullmatch(expected)):
        return False
    if not _INTEGER.fullmatch(expected):
        return floats_close(float(got), float(expected))
    if _INTEGER.fullmatch(got):
        return _canonical(got) == _canonical(expected)
    ours, theirs = (_EXACT.create_decimal(token.decode()) for token in (got, expected))
    difference = _EXACT.subtract(ours, theirs)
    return difference.is_finite() and difference.copy_abs() <= _EXACT_TOLERANCE


def floats_close(got: float, expected: float) -> bool:
    """Return whether two finite numbers are the same to `TOLERANCE`, absolute or relative."""
    if not (math.isfinite(got) and math.isfinite(expected)):
        return False
    return abs(got - expected) <= TOLERANCE * max(1.0, abs(expected))


def _canonical(token: bytes) -> tuple[bool, bytes]:
    digits = token.lstrip(b"+-").lstrip(b"0")
    return token[:1] == b"-" and bool(digits), digits

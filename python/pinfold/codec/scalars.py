# SPDX-License-Identifier: Apache-2.0
"""Write and read the standard library's value types.

Their modules are imported only when a value needs them. Constructors get only arguments whose exact
types were checked, so that their special cases for pickles and for text stay out of reach.
"""

from __future__ import annotations

import re
import struct
import sys
from collections.abc import Callable
from functools import cache
from math import gcd
from typing import TYPE_CHECKING, Any

from pinfold.codec import tags
from pinfold.codec.refusals import Malformed, is_shortage, name_of
from pinfold.codec.tags import Unfit

if TYPE_CHECKING:
    from cbor2 import CBOREncoder

    from pinfold.codec._reader import Reader

Encoder = Callable[["CBOREncoder", Any], None]

_NONE = type(None)

_DECIMAL = re.compile(r"-?(?:[0-9]+(?:\.[0-9]+)?(?:E[+-]?[0-9]{1,19})?|Infinity|s?NaN[0-9]*)")
_ZONE = re.compile(r"(?=.{1,200}\Z)[A-Za-z0-9_+-]+(?:/[A-Za-z0-9_+-]+)*")

# Above this many bits the reader does not check that a fraction is in lowest terms. The check is
# quadratic, and an unreduced fraction does no harm but to compare unequal.
_GCD_BITS = 1 << 14

# The cost of reading the file of a time zone that is not loaded yet, in steps and bytes.
_ZONE_STEPS = 12_000
_ZONE_BYTES = 8192


def _put(encoder: CBOREncoder, tag: int, *items: object) -> None:
    encoder.encode_length(6, tag)
    encoder.encode_length(4, len(items))
    for item in items:
        encoder.encode(item)


# --- int, float, complex, str ---------------------------------------------------------------------


def _none(encoder: CBOREncoder, value: None) -> None:
    encoder.encode_none()


def _complex(encoder: CBOREncoder, value: complex) -> None:
    encoder.encode_length(6, tags.COMPLEX)
    encoder.encode_length(4, 2)
    encoder.encode(value.real)
    encoder.encode(value.imag)


def _any_float(encoder: CBOREncoder, value: float) -> None:
    """Write a float, with a NaN's sign and payload; cbor2 writes all NaNs alike."""
    if value != value:
        bits = struct.pack(">d", value)
        if bits != b"\x7f\xf8\0\0\0\0\0\0":
            encoder.encode_length(6, tags.NOT_A_NUMBER)
            encoder.encode_bytes(bits)
            return
    encoder.encode_float(value)


def _any_str(encoder: CBOREncoder, value: str) -> None:
    """Write a str that may hold lone surrogates, which CBOR text (section 3.1) may not."""
    try:
        encoder.encode_string(value)
    except UnicodeEncodeError:
        encoder.encode_length(6, tags.SURROGATES)
        encoder.encode_bytes(value.encode("utf-8", "surrogatepass"))


# --- range, slice, Ellipsis -----------------------------------------------------------------------


def _range(encoder: CBOREncoder, value: range) -> None:
    _put(encoder, tags.RANGE, value.start, value.stop, value.step)


def _slice(encoder: CBOREncoder, value: slice) -> None:
    for name in ("start", "stop", "step"):
        part = getattr(value, name)
        if type(part) not in (int, _NONE):
            raise Unfit(attribute=f".{name}", type_name=name_of(type(part)))
    _put(encoder, tags.SLICE, value.start, value.stop, value.step)


def _ellipsis(encoder: CBOREncoder, value: object) -> None:
    encoder.encode_length(6, tags.ELLIPSIS)
    encoder.encode_none()


# --- datetime, zoneinfo ---------------------------------------------------------------------------


def _zone_of(value: Any) -> object:
    zone = value.tzinfo
    if zone is not None and encoder_of(type(zone)) is None:
        raise Unfit(attribute=".tzinfo", type_name=name_of(type(zone)))
    return zone


def _datetime(encoder: CBOREncoder, v: Any) -> None:
    day = (v.year, v.month, v.day, v.hour, v.minute, v.second, v.microsecond)
    _put(encoder, tags.DATETIME, *day, v.fold, _zone_of(v))


def _date(encoder: CBOREncoder, v: Any) -> None:
    _put(encoder, tags.DATE, v.year, v.month, v.day)


def _time(encoder: CBOREncoder, v: Any) -> None:
    _put(encoder, tags.TIME, v.hour, v.minute, v.second, v.microsecond, v.fold, _zone_of(v))


def _timedelta(encoder: CBOREncoder, v: Any) -> None:
    _put(encoder, tags.TIMEDELTA, v.days, v.seconds, v.microseconds)


def _timezone(encoder: CBOREncoder, v: Any) -> None:
    # Only the constructor's arguments show whether the name was given or derived.
    offset, *name = v.__getinitargs__()
    _put(encoder, tags.TIMEZONE, offset, *(name or [None]))


def _zoneinfo(encoder: CBOREncoder, v: Any) -> None:
    if type(v.key) is not str or not _ZONE.fullmatch(v.key):
        raise Unfit("a zoneinfo.ZoneInfo without a time zone's name")
    encoder.encode_length(6, tags.ZONE)
    encoder.encode_string(v.key)


def _read_zone(reader: Reader, key: str) -> object:
    zone = reader.memo.get(key)
    return zone if zone is not None else _load_zone(reader, key)


def _load_zone(reader: Reader, key: str) -> object:
    import zoneinfo

    # The name becomes a path below the system's time zones, and a package of tzdata.
    if not _ZONE.fullmatch(key):
        raise Malformed("not the name of a time zone")
    reader.work(_ZONE_STEPS)
    reader.spend(_ZONE_BYTES)
    try:
        zone = reader.memo[key] = zoneinfo.ZoneInfo(key)
    except (ValueError, zoneinfo.ZoneInfoNotFoundError, OSError) as error:
        if is_shortage(error):
            raise
        raise Malformed(f"no time zone {key!r} on this machine") from error
    return zone


# --- decimal, fractions, uuid, pathlib ------------------------------------------------------------


def _decimal(encoder: CBOREncoder, value: Any) -> None:
    # As text, because tag 4 has no signed zero, no NaN and no infinity. With a thread's context the
    # text may have a lower-case e.
    encoder.encode_length(6, tags.DECIMAL)
    encoder.encode_string(str(value).replace("e", "E"))


def _fraction(encoder: CBOREncoder, value: Any) -> None:
    parts = (value.numerator, value.denominator)
    for name, part in zip(("numerator", "denominator"), parts, strict=True):
        if type(part) is not int:
            raise Unfit(attribute=f".{name}", type_name=name_of(type(part)))
    _put(encoder, tags.RATIONAL, *parts)


def _uuid(encoder: CBOREncoder, value: Any) -> None:
    encoder.encode_length(6, tags.UUID)
    encoder.encode_bytes(value.bytes)


def _path(encoder: CBOREncoder, value: Any) -> None:
    encoder.encode_length(6, tags.PATH)
    encoder.encode(str(value))


def _pure_path(encoder: CBOREncoder, value: Any) -> None:
    encoder.encode_length(6, tags.PURE_PATH)
    encoder.encode(str(value))


@cache
def _decimal_type() -> Any:
    import decimal

    return decimal.Decimal


def _read_decimal(reader: Reader, text: str) -> object:
    if not _DECIMAL.fullmatch(text):
        raise Malformed("not a Decimal")
    value = _decimal_type()(text)
    # By the thread's context, an exponent out of range raises or gives a NaN.
    if value.is_nan() and "NaN" not in text:
        raise Malformed("a Decimal out of range")
    return value


@cache
def _fraction_type() -> Any:
    import fractions

    return fractions.Fraction


def _read_fraction(reader: Reader, numerator: int, denominator: int) -> object:
    if denominator < 1:
        raise Malformed("a Fraction's denominator is positive")
    if (
        denominator.bit_length() <= _GCD_BITS
        and numerator.bit_length() <= _GCD_BITS
        and gcd(numerator, denominator) != 1
    ):
        raise Malformed("a Fraction that is not in lowest terms")
    # The constructor computes the gcd of two ints, which takes minutes for large ones.
    value = object.__new__(_fraction_type())
    value._numerator = numerator
    value._denominator = denominator
    return value


def _hash_of_fraction(value: Any) -> int:
    """Return ``hash(value)`` without Fraction's cache of hashes (Python 3.12 and later)."""
    try:
        inverse = pow(value.denominator, -1, sys.hash_info.modulus)
    except ValueError:  # the denominator is a multiple of the modulus
        magnitude = sys.hash_info.inf
    else:
        magnitude = hash(hash(abs(value.numerator)) * inverse)
    result = magnitude if value.numerator >= 0 else -magnitude
    return -2 if result == -1 else result


@cache
def _uuid_type() -> Any:
    import uuid

    return uuid.UUID


def _read_uuid(reader: Reader, octets: bytes) -> object:
    return _uuid_type()(bytes=octets)


@cache
def _paths() -> Any:
    import pathlib

    return pathlib


def _path_of(kind: Any, text: str) -> object:
    if sys.version_info >= (3, 12):
        return kind(text)
    # Do what the constructor and the hash do, in half the time: for short paths they take more time
    # than the reader's budget allows.
    root = text[: len(text) - len(text.lstrip("/"))]
    root = root if len(root) < 3 else "/"
    parts = [sys.intern(part) for part in text.split("/") if part not in ("", ".")]
    if root:
        parts.insert(0, root)
    path = kind._from_parsed_parts("", root, parts)
    path._hash = hash(tuple(parts))
    return path


def _read_path(reader: Reader, text: str) -> object:
    return _path_of(_paths().PosixPath, text)


def _read_pure_path(reader: Reader, text: str) -> object:
    return _path_of(_paths().PurePosixPath, text)


# --- the tables -----------------------------------------------------------------------------------


def _of_datetime() -> dict[type, Encoder]:
    import datetime as d

    return {
        d.datetime: _datetime,
        d.date: _date,
        d.time: _time,
        d.timedelta: _timedelta,
        d.timezone: _timezone,
    }


def _of_zoneinfo() -> dict[type, Encoder]:
    import zoneinfo

    return {zoneinfo.ZoneInfo: _zoneinfo}


def _of_decimal() -> dict[type, Encoder]:
    import decimal

    return {decimal.Decimal: _decimal}


def _of_fractions() -> dict[type, Encoder]:
    import fractions

    return {fractions.Fraction: _fraction}


def _of_uuid() -> dict[type, Encoder]:
    import uuid

    return {uuid.UUID: _uuid}


def _of_pathlib() -> dict[type, Encoder]:
    import pathlib

    return {pathlib.PosixPath: _path, pathlib.PurePosixPath: _pure_path}


ENCODERS: dict[type, Encoder] = {
    _NONE: _none,
    complex: _complex,
    range: _range,
    slice: _slice,
    type(...): _ellipsis,
}

# These replace cbor2's own encoders when a stream turns out to need them.
CAREFUL: dict[type, Encoder] = {float: _any_float, str: _any_str}

_MODULES: dict[str, Callable[[], dict[type, Encoder]]] = {
    "datetime": _of_datetime,
    "zoneinfo": _of_zoneinfo,
    "decimal": _of_decimal,
    "fractions": _of_fractions,
    "uuid": _of_uuid,
    "pathlib": _of_pathlib,
}

# Functions for values that the reader cannot make itself. They take the reader and the parts, whose
# types it has checked.
DECODERS: dict[int, Callable[..., object]] = {
    tags.ZONE: _read_zone,
    tags.DECIMAL: _read_decimal,
    tags.RATIONAL: _read_fraction,
    tags.HASH_OF_RATIONAL: _hash_of_fraction,
    tags.UUID: _read_uuid,
    tags.PATH: _read_path,
    tags.PURE_PATH: _read_pure_path,
}


def encoder_of(kind: type) -> Encoder | None:
    """Return the encoder of exactly this type, or None.

    Adds a module's encoders when one of its types is first asked for.
    """
    if kind not in ENCODERS:
        module = module_of(kind)
        if module in _MODULES:  # loaded or not: perhaps only `_decimal` is
            ENCODERS.update(_MODULES[module]())
    return ENCODERS.get(kind)


def module_of(kind: type) -> str:
    """Return the first part of the name of the module that claims to define this type."""
    return name_of(kind).partition(".")[0]

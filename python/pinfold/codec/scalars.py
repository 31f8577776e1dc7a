"""The standard library's value types, both directions.

Their modules are imported when a value needs them, not before. Constructors only ever see
arguments whose exact types were checked, so none of their pickle-only or parsing doors is open.
"""

from __future__ import annotations

import re
import struct
import sys
from collections.abc import Callable
from functools import cache
from math import gcd
from typing import TYPE_CHECKING, Any

from pinfold.codec import wire
from pinfold.codec.errors import Malformed, is_shortage, name_of
from pinfold.codec.wire import Unfit

if TYPE_CHECKING:
    from cbor2 import CBOREncoder

    from pinfold.codec._reader import Reader

Encoder = Callable[["CBOREncoder", Any], None]

_NONE = type(None)

_DECIMAL = re.compile(r"-?(?:[0-9]+(?:\.[0-9]+)?(?:E[+-]?[0-9]{1,19})?|Infinity|s?NaN[0-9]*)")
_ZONE = re.compile(r"(?=.{1,200}\Z)[A-Za-z0-9_+-]+(?:/[A-Za-z0-9_+-]+)*")

# Above this many bits the reader does not check that a fraction is in lowest terms: the check is
# quadratic, and all that an unreduced one can do is to compare unequal.
_GCD_BITS = 1 << 14

# What a time zone costs that is not loaded yet: a file is read.
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
    encoder.encode_length(6, wire.COMPLEX)
    encoder.encode_length(4, 2)
    encoder.encode(value.real)
    encoder.encode(value.imag)


def _any_float(encoder: CBOREncoder, value: float) -> None:
    """A float whose NaN keeps its sign and payload: cbor2 has one NaN for all."""
    if value != value:
        bits = struct.pack(">d", value)
        if bits != b"\x7f\xf8\0\0\0\0\0\0":
            encoder.encode_length(6, wire.NAN)
            encoder.encode_bytes(bits)
            return
    encoder.encode_float(value)


def _any_str(encoder: CBOREncoder, value: str) -> None:
    """A str that may hold lone surrogates, which a CBOR text string (section 3.1) may not."""
    try:
        encoder.encode_string(value)
    except UnicodeEncodeError:
        encoder.encode_length(6, wire.SURROGATES)
        encoder.encode_bytes(value.encode("utf-8", "surrogatepass"))


# --- range, slice, Ellipsis -----------------------------------------------------------------------


def _range(encoder: CBOREncoder, value: range) -> None:
    _put(encoder, wire.RANGE, value.start, value.stop, value.step)


def _slice(encoder: CBOREncoder, value: slice) -> None:
    for name in ("start", "stop", "step"):
        part = getattr(value, name)
        if type(part) not in (int, _NONE):
            raise Unfit(attribute=f".{name}", type_name=name_of(type(part)))
    _put(encoder, wire.SLICE, value.start, value.stop, value.step)


def _ellipsis(encoder: CBOREncoder, value: object) -> None:
    encoder.encode_length(6, wire.ELLIPSIS)
    encoder.encode_none()


# --- datetime, zoneinfo ---------------------------------------------------------------------------


def _zone_of(value: Any) -> object:
    zone = value.tzinfo
    if zone is not None and encoder_of(type(zone)) is None:
        raise Unfit(attribute=".tzinfo", type_name=name_of(type(zone)))
    return zone


def _datetime(encoder: CBOREncoder, v: Any) -> None:
    day = (v.year, v.month, v.day, v.hour, v.minute, v.second, v.microsecond)
    _put(encoder, wire.DATETIME, *day, v.fold, _zone_of(v))


def _date(encoder: CBOREncoder, v: Any) -> None:
    _put(encoder, wire.DATE, v.year, v.month, v.day)


def _time(encoder: CBOREncoder, v: Any) -> None:
    _put(encoder, wire.TIME, v.hour, v.minute, v.second, v.microsecond, v.fold, _zone_of(v))


def _timedelta(encoder: CBOREncoder, v: Any) -> None:
    _put(encoder, wire.TIMEDELTA, v.days, v.seconds, v.microseconds)


def _timezone(encoder: CBOREncoder, v: Any) -> None:
    # The constructor's arguments tell a name that was given from one that is derived.
    offset, *name = v.__getinitargs__()
    _put(encoder, wire.TIMEZONE, offset, *(name or [None]))


def _zoneinfo(encoder: CBOREncoder, v: Any) -> None:
    if type(v.key) is not str or not _ZONE.fullmatch(v.key):
        raise Unfit("a zoneinfo.ZoneInfo without a time zone's name")
    encoder.encode_length(6, wire.ZONE)
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
    # As text, not as tag 4: that one has no signed zero, no NaN and no infinity. A thread's context
    # may have it written with a small e.
    encoder.encode_length(6, wire.DECIMAL)
    encoder.encode_string(str(value).replace("e", "E"))


def _fraction(encoder: CBOREncoder, value: Any) -> None:
    parts = (value.numerator, value.denominator)
    for name, part in zip(("numerator", "denominator"), parts, strict=True):
        if type(part) is not int:
            raise Unfit(attribute=f".{name}", type_name=name_of(type(part)))
    _put(encoder, wire.RATIONAL, *parts)


def _uuid(encoder: CBOREncoder, value: Any) -> None:
    encoder.encode_length(6, wire.UUID)
    encoder.encode_bytes(value.bytes)


def _path(encoder: CBOREncoder, value: Any) -> None:
    encoder.encode_length(6, wire.PATH)
    encoder.encode(str(value))


def _pure_path(encoder: CBOREncoder, value: Any) -> None:
    encoder.encode_length(6, wire.PURE_PATH)
    encoder.encode(str(value))


@cache
def _decimal_type() -> Any:
    import decimal

    return decimal.Decimal


def _read_decimal(reader: Reader, text: str) -> object:
    if not _DECIMAL.fullmatch(text):
        raise Malformed("not a Decimal")
    value = _decimal_type()(text)
    # An exponent out of range raises or gives a NaN, as the thread's context has it.
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
    # Given two ints its constructor computes their gcd, which takes minutes for large ones.
    value = object.__new__(_fraction_type())
    value._numerator = numerator
    value._denominator = denominator
    return value


def _hash_of_fraction(value: Any) -> int:
    """``hash(value)``, without the memory of other hashes that Fraction has from Python 3.12 on."""
    try:
        inverse = pow(value.denominator, -1, sys.hash_info.modulus)
    except ValueError:  # it is a multiple of the modulus
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
    # What its constructor and its hash do, in half the time: a short one took more than its bytes
    # allow.
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

# What replaces cbor2's own when a stream turns out to need it.
CAREFUL: dict[type, Encoder] = {float: _any_float, str: _any_str}

_MODULES: dict[str, Callable[[], dict[type, Encoder]]] = {
    "datetime": _of_datetime,
    "zoneinfo": _of_zoneinfo,
    "decimal": _of_decimal,
    "fractions": _of_fractions,
    "uuid": _of_uuid,
    "pathlib": _of_pathlib,
}

# What the reader cannot make itself: functions of it and of the parts, whose types are right.
DECODERS: dict[int, Callable[..., object]] = {
    wire.ZONE: _read_zone,
    wire.DECIMAL: _read_decimal,
    wire.RATIONAL: _read_fraction,
    wire.HASH_OF_RATIONAL: _hash_of_fraction,
    wire.UUID: _read_uuid,
    wire.PATH: _read_path,
    wire.PURE_PATH: _read_pure_path,
}


def encoder_of(kind: type) -> Encoder | None:
    """The encoder of exactly this type, or None; a module's are added when first asked for."""
    if kind not in ENCODERS:
        module = module_of(kind)
        if module in _MODULES:  # loaded or not: `_decimal` alone may be
            ENCODERS.update(_MODULES[module]())
    return ENCODERS.get(kind)


def module_of(kind: type) -> str:
    """The first part of the name of the module that claims to define this type."""
    return name_of(kind).partition(".")[0]

"""The standard library's value types, both directions.

Their modules are imported when a value needs them, not before. Constructors only ever see
arguments whose exact types were checked, so none of their pickle-only or parsing doors is open.
"""

from __future__ import annotations

import re
import struct
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from pinfold.codec import wire
from pinfold.codec.errors import Malformed, is_shortage, name_of
from pinfold.codec.wire import Unfit, exactly, fields

if TYPE_CHECKING:
    from cbor2 import CBOREncoder

Encoder = Callable[["CBOREncoder", Any], None]
Decoder = Callable[[Any, bool], object]

_INT = (int,)
_NONE = type(None)

_DECIMAL = re.compile(r"-?(?:[0-9]+(?:\.[0-9]+)?(?:E[+-]?[0-9]{1,19})?|Infinity|s?NaN[0-9]*)")
_ZONE = re.compile(r"(?=.{1,200}\Z)[A-Za-z0-9_+-]+(?:/[A-Za-z0-9_+-]+)*")

# Above this many bits the reader does not check that a fraction is in lowest terms: the check is
# quadratic, and all that an unreduced one can do is to compare unequal.
_GCD_BITS = 1 << 16


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


def _read_positive(item: object, immutable: bool) -> int:
    return int.from_bytes(cast(bytes, exactly(item, bytes, "bignum")), "big")


def _read_negative(item: object, immutable: bool) -> int:
    return ~int.from_bytes(cast(bytes, exactly(item, bytes, "bignum")), "big")


def _read_complex(item: object, immutable: bool) -> complex:
    real, imag = fields(item, "complex", (float,), (float,))
    return complex(cast(float, real), cast(float, imag))


def _read_nan(item: object, immutable: bool) -> float:
    value: float = struct.unpack(">d", cast(bytes, exactly(item, bytes, "NaN")))[0]
    if value == value:
        raise Malformed("a NaN that is a number")
    return value


def _read_surrogates(item: object, immutable: bool) -> str:
    return cast(bytes, exactly(item, bytes, "str")).decode("utf-8", "surrogatepass")


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


def _read_range(item: object, immutable: bool) -> range:
    start, stop, step = cast(list[int], fields(item, "range", _INT, _INT, _INT))
    return range(start, stop, step)


def _read_slice(item: object, immutable: bool) -> slice:
    end = (int, _NONE)
    return slice(*fields(item, "slice", end, end, end))


def _read_ellipsis(item: object, immutable: bool) -> object:
    exactly(item, _NONE, "Ellipsis")
    return ...


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


def _zones() -> tuple[type, ...]:
    import datetime

    named = _of_zoneinfo() if "zoneinfo" in sys.modules else ()
    return (_NONE, datetime.timezone, *named)


def _read_datetime(item: object, immutable: bool) -> object:
    import datetime

    *day, fold, zone = cast(Any, fields(item, "datetime", *[_INT] * 8, _zones()))
    return cast(Any, datetime.datetime)(*day, zone, fold=fold)


def _read_date(item: object, immutable: bool) -> object:
    import datetime

    return datetime.date(*cast(list[int], fields(item, "date", _INT, _INT, _INT)))


def _read_time(item: object, immutable: bool) -> object:
    import datetime

    *clock, fold, zone = cast(Any, fields(item, "time", *[_INT] * 5, _zones()))
    return cast(Any, datetime.time)(*clock, zone, fold=fold)


def _read_timedelta(item: object, immutable: bool) -> object:
    import datetime

    return datetime.timedelta(*cast(list[int], fields(item, "timedelta", _INT, _INT, _INT)))


def _read_timezone(item: object, immutable: bool) -> object:
    import datetime

    offset, name = cast(list[Any], fields(item, "timezone", (datetime.timedelta,), (str, _NONE)))
    return datetime.timezone(offset) if name is None else datetime.timezone(offset, name)


def _read_zone(item: object, immutable: bool) -> object:
    import zoneinfo

    key = cast(str, exactly(item, str, "time zone"))
    # The name becomes a path below the system's time zones, and a package of tzdata.
    if not _ZONE.fullmatch(key):
        raise Malformed("not the name of a time zone")
    try:
        return zoneinfo.ZoneInfo(key)
    except (ValueError, zoneinfo.ZoneInfoNotFoundError, OSError) as error:
        if is_shortage(error):
            raise
        raise Malformed(f"no time zone {key!r} on this machine") from error


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


def _read_decimal(item: object, immutable: bool) -> object:
    import decimal

    text = cast(str, exactly(item, str, "Decimal"))
    if not _DECIMAL.fullmatch(text):
        raise Malformed("not a Decimal")
    value = decimal.Decimal(text)
    # An exponent out of range raises or gives a NaN, as the thread's context has it.
    if value.is_nan() != ("NaN" in text):
        raise Malformed("a Decimal out of range")
    return value


class _Ratio:
    """Two ints that `Fraction` takes over as they are (it asks only for a `numbers.Rational`);
    given two ints it would compute their gcd, which takes minutes for large ones."""

    def __init__(self, numerator: int, denominator: int) -> None:
        self.numerator = numerator
        self.denominator = denominator


def _read_fraction(item: object, immutable: bool) -> object:
    import fractions
    import math
    import numbers

    numerator, denominator = cast(list[int], fields(item, "Fraction", _INT, _INT))
    if denominator < 1:
        raise Malformed("a Fraction's denominator is positive")
    size = max(numerator.bit_length(), denominator.bit_length())
    if size <= _GCD_BITS and math.gcd(numerator, denominator) != 1:
        raise Malformed("a Fraction that is not in lowest terms")
    numbers.Rational.register(_Ratio)
    return fractions.Fraction(cast(Any, _Ratio(numerator, denominator)))


def _read_uuid(item: object, immutable: bool) -> object:
    import uuid

    return uuid.UUID(bytes=cast(bytes, exactly(item, bytes, "UUID")))


def _read_path(item: object, immutable: bool) -> object:
    import pathlib

    return pathlib.PosixPath(cast(str, exactly(item, str, "path")))


def _read_pure_path(item: object, immutable: bool) -> object:
    import pathlib

    return pathlib.PurePosixPath(cast(str, exactly(item, str, "path")))


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

DECODERS: dict[int, Decoder] = {
    wire.POSITIVE_BIGNUM: _read_positive,
    wire.NEGATIVE_BIGNUM: _read_negative,
    wire.COMPLEX: _read_complex,
    wire.NAN: _read_nan,
    wire.SURROGATES: _read_surrogates,
    wire.RANGE: _read_range,
    wire.SLICE: _read_slice,
    wire.ELLIPSIS: _read_ellipsis,
    wire.DATETIME: _read_datetime,
    wire.DATE: _read_date,
    wire.TIME: _read_time,
    wire.TIMEDELTA: _read_timedelta,
    wire.TIMEZONE: _read_timezone,
    wire.ZONE: _read_zone,
    wire.DECIMAL: _read_decimal,
    wire.RATIONAL: _read_fraction,
    wire.UUID: _read_uuid,
    wire.PATH: _read_path,
    wire.PURE_PATH: _read_pure_path,
}


def encoder_of(kind: type) -> Encoder | None:
    """The encoder of exactly this type, or None; a module's are added when first asked for."""
    if kind not in ENCODERS:
        module = module_of(kind)
        if module in _MODULES and module in sys.modules:
            ENCODERS.update(_MODULES[module]())
    return ENCODERS.get(kind)


def module_of(kind: type) -> str:
    """The first part of the name of the module that claims to define this type."""
    return name_of(kind).partition(".")[0]

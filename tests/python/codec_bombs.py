# SPDX-License-Identifier: Apache-2.0
"""Streams that would cost a careless reader much more than their size suggests."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from decimal import Decimal

from pinfold.codec import tags

P = (1 << 61) - 1  # numbers that differ by a multiple of it have the same hash


def head(major: int, value: int) -> bytes:
    if value < 24:
        return bytes([major << 5 | value])
    size = next(n for n in (0, 1, 2, 3) if value < 1 << (8 << n))
    return bytes([major << 5 | (24 + size)]) + value.to_bytes(1 << size, "big")


def integer(value: int) -> bytes:
    if -(1 << 64) <= value < 1 << 64:
        return head(0, value) if value >= 0 else head(1, ~value)
    tag = tags.POSITIVE_BIGNUM if value >= 0 else tags.NEGATIVE_BIGNUM
    value = max(value, ~value)
    return head(6, tag) + octets(value.to_bytes((value.bit_length() + 7) // 8, "big"))


def octets(value: bytes) -> bytes:
    return head(2, len(value)) + value


def text(value: str) -> bytes:
    return head(3, len(value.encode())) + value.encode()


def floating(value: float) -> bytes:
    return b"\xfb" + struct.pack(">d", value)


def items(parts: Iterable[bytes]) -> bytes:
    parts = list(parts)
    return head(4, len(parts)) + b"".join(parts)


def tagged(tag: int, *parts: bytes) -> bytes:
    return head(6, tag) + (parts[0] if len(parts) == 1 else items(parts))


def frozen(parts: Iterable[bytes]) -> bytes:
    return tagged(tags.FROZENSET, items(parts))


def fraction(numerator: int, denominator: int) -> bytes:
    return tagged(tags.RATIONAL, integer(numerator), integer(denominator))


def decimal(value: str) -> bytes:
    return tagged(tags.DECIMAL, text(value))


def array(spec: bytes, shape: tuple[int, ...], memory: bytes) -> bytes:
    sides = items(head(0, n) for n in shape)
    return tagged(tags.ARRAY, spec, sides, b"\xf4", octets(memory))


def struct_of(size: int, fields: Iterable[tuple[str, int, str]]) -> bytes:
    members = (
        items([text(name), b"\xf6", head(0, offset), text(dtype), b"\xf6"])
        for name, offset, dtype in fields
    )
    return items([b"\0", head(0, size), items(members)])


# Items of a list, each repeated until the list has the size wanted. A reader takes or refuses them.
DENSE: dict[str, bytes] = {
    "empty lists": b"\x80",
    "empty maps": b"\xa0",
    "maps of an empty list": b"\xa1\x60\x80",
    "maps of an empty map": b"\xa1\x60\xa0",
    "lists of an empty list": b"\x81\x80",
    "small ints": b"\x00",
    "ints": b"\x19\x01\x02",
    "half floats": b"\xf9\x3c\x01",
    "bytes": b"\x42xx",
    "text": b"\x62\xc5\x81",
    "text of one wide character": text("a" * 19 + "\U0001f600"),
    "empty tuples": tagged(tags.TUPLE, b"\x80"),
    "tuples": tagged(tags.TUPLE, b"\x81\x00"),
    "empty sets": tagged(tags.SET, b"\x80"),
    "sets of five": tagged(tags.SET, b"\x85\x00\x01\x02\x03\x04"),
    "frozensets of five": frozen(map(integer, range(5))),
    "dicts": tagged(tags.PAIRS, b"\x81\x00", b"\x81\x00"),
    "bignums of 0": b"\xc2\x40",
    "bignums of 1": b"\xc3\x41\x01",
    "fractions": fraction(1, 1),
    "complex": tagged(tags.COMPLEX, b"\xf9\0\0", b"\xf9\0\0"),
    "bytearrays": tagged(tags.BYTEARRAY, b"\x40"),
    "ranges": tagged(tags.RANGE, b"\0", b"\1", b"\1"),
    "dates": tagged(tags.DATE, b"\1", b"\1", b"\1"),
    "decimals": decimal("1"),
    "paths": tagged(tags.PATH, b"\x61a"),
    "paths of many parts": tagged(tags.PURE_PATH, text("ab/" * 80)),
    "arrays": array(text("|u1"), (), b"a"),
    "arrays of nothing": array(text("|u1"), (0,), b""),
    "arrays of 64 dimensions": array(text("|u1"), (0,) * 64, b""),
    "bools": array(text("|b1"), (), b"\1"),
    "characters": array(text("<U1"), (), bytes(4)),
    "scalars": tagged(tags.SCALAR, text("|u1"), octets(b"a")),
    "structs": array(struct_of(1, [("a", 0, "|u1")]), (), b"a"),
    "structs without fields": array(struct_of(0, []), (), b""),
    "structs of fields without size": array(
        struct_of(1, [(f"a{i}", 0, "|V0") for i in range(30)]), (), b"a"
    ),
    "structs of bools": array(
        struct_of(30, [(f"a{i}", i, "|b1") for i in range(30)]), (), bytes(30)
    ),
}


def dense(name: str, size: int) -> bytes:
    item = DENSE[name]
    return items([item] * max(size // len(item), 1))


def nested(levels: int, first: int = 0) -> bytes:
    """Return frozensets of two frozensets each; all of one level have the same hash."""
    if levels == 0:
        return integer(first * P)
    return frozen([nested(levels - 1, first), nested(levels - 1, first + (1 << levels - 1))])


def keyed(keys: Callable[[], Iterable[bytes]]) -> Callable[[], list[bytes]]:
    """Return a function that builds every container in which these values are keys."""

    def ways() -> list[bytes]:
        parts = list(keys())
        return [
            tagged(tags.SET, items(parts)),
            frozen(parts),
            tagged(tags.PAIRS, items(parts), items([b"\0"] * len(parts))),
            b"\x81" + tagged(tags.TUPLE, items([frozen(parts)])),
        ]

    return ways


LONG = 1 << 200_000

# A reader without countermeasures needs quadratic time or more for each of these.
SLOW: dict[str, Callable[[], list[bytes]]] = {
    "ints of one hash": keyed(lambda: (integer(i * P) for i in range(40_000))),
    "negative ints of one hash": keyed(lambda: (integer(-2 - i * P) for i in range(40_000))),
    "ints of a few hashes": keyed(lambda: (integer(i % 50 + i * P) for i in range(40_000))),
    "fractions of one hash": keyed(lambda: (fraction(1 + i * P, 1) for i in range(20_000))),
    "fractions of one hash in tuples": keyed(
        lambda: (tagged(tags.TUPLE, items([fraction(1 + i * P, 1)])) for i in range(20_000))
    ),
    "decimals of one hash": keyed(lambda: (decimal(str(i * P)) for i in range(20_000))),
    "complex of one hash": keyed(
        lambda: (
            tagged(tags.COMPLEX, floating(-1000003.0 * i), floating(float(i)))
            for i in range(20_000)
        )
    ),
    "tuples of one hash": keyed(
        lambda: (tagged(tags.TUPLE, items([integer(i * P)])) for i in range(20_000))
    ),
    "frozensets of frozensets of one hash": keyed(lambda: [nested(14)]),
    "long ints": keyed(lambda: [integer(LONG), integer(LONG + P)]),
    "long ints beside a long decimal": keyed(
        lambda: [decimal(str(Decimal(LONG))), *(integer(LONG + i * P) for i in range(1, 9))]
    ),
    "long decimals": keyed(lambda: [decimal("1" + "0" * 60_000)]),
    "long fractions": keyed(lambda: [fraction(LONG, 3)]),
    "decimals of long exponents": keyed(lambda: [decimal("1E+999999999999999999")]),
    "a range of long ints": lambda: [
        tagged(tags.RANGE, integer(0), integer(1 << 8_000_000), integer(1 << 4_000_000))
    ],
    "many fields at one offset": lambda: [
        array(struct_of(1000, [(f"f{i}", 0, "|b1") for i in range(20_000)]), (100,), bytes(100_000))
    ],
    "lists that promise what others hold": lambda: [
        (head(4, 1_000_000) * 190) + b"\0" * 1_000_000,
        (head(5, 400_000) + b"\x61a") * 190 + b"\0" * 1_000_000,
    ],
    "time zones": lambda: [items(tagged(tags.ZONE, text(key)) for key in _zones())],
}


def _zones() -> list[str]:
    import zoneinfo

    return sorted(zoneinfo.available_timezones())

"""What both directions of the `data` codec, and all its files, agree on."""

from __future__ import annotations

from pinfold.codec._reader import (
    ARRAY,
    BYTEARRAY,
    COMPLEX,
    DATE,
    DATETIME,
    DECIMAL,
    ELLIPSIS,
    FROZENSET,
    HASH_OF_RATIONAL,
    MAX_DEPTH,
    NEGATIVE_BIGNUM,
    NOT_A_NUMBER,
    OUT_OF_LINE,
    PAIRS,
    PATH,
    POSITIVE_BIGNUM,
    PURE_PATH,
    RANGE,
    RATIONAL,
    SCALAR,
    SEGMENT,
    SET,
    SLICE,
    SURROGATES,
    TIME,
    TIMEDELTA,
    TIMEZONE,
    TUPLE,
    UUID,
    ZONE,
)
from pinfold.codec.refusals import Malformed

__all__ = [
    "ARRAY",
    "BYTEARRAY",
    "COMPLEX",
    "DATE",
    "DATETIME",
    "DECIMAL",
    "ELLIPSIS",
    "FROZENSET",
    "HASH_OF_RATIONAL",
    "MAX_DEPTH",
    "NEGATIVE_BIGNUM",
    "NOT_A_NUMBER",
    "OUT_OF_LINE",
    "PAIRS",
    "PATH",
    "POSITIVE_BIGNUM",
    "PURE_PATH",
    "RANGE",
    "RATIONAL",
    "SCALAR",
    "SEGMENT",
    "SET",
    "SLICE",
    "SURROGATES",
    "TIME",
    "TIMEDELTA",
    "TIMEZONE",
    "TUPLE",
    "USER_MODULE",
    "UUID",
    "ZONE",
    "Unfit",
    "fields",
]

USER_MODULE = "user_code"
"""The module in which a worker runs the source of a call."""


class Unfit(Exception):
    """An encoder's no. `what` describes the value if its type alone does not, `attribute` is the
    way from the value to the part that is unfit."""

    def __init__(self, what: str = "", attribute: str = "", type_name: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.attribute = attribute
        self.type_name = type_name


def fields(item: object, name: str, *kinds: tuple[type, ...]) -> list[object]:
    """The elements of an array that must have exactly these types, or `Malformed`."""
    if (
        type(item) is not list
        or len(item) != len(kinds)
        or not all(type(field) in kind for field, kind in zip(item, kinds, strict=True))
    ):
        raise Malformed(f"not the fields of a {name}")
    return item

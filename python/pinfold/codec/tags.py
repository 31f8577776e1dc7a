# SPDX-License-Identifier: Apache-2.0
"""The constants of the `data` codec that its writer and its reader share."""

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
"""The name of the module as which a worker runs the source of a call."""


class Unfit(Exception):
    """An encoder refuses a value.

    `what` describes the value if its type alone does not. `attribute` leads from the value to the
    refused part, and `type_name` is that part's type.
    """

    def __init__(self, what: str = "", attribute: str = "", type_name: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.attribute = attribute
        self.type_name = type_name


def fields(item: object, name: str, *kinds: tuple[type, ...]) -> list[object]:
    """Return the elements of an array that must have exactly these types. Raises `Malformed`."""
    if (
        type(item) is not list
        or len(item) != len(kinds)
        or not all(type(field) in kind for field, kind in zip(item, kinds, strict=True))
    ):
        raise Malformed(f"not the fields of a {name}")
    return item

"""The constants of the `data` codec that its writer and its reader share."""

from __future__ import annotations

from pinfold.codec.refusals import Malformed

# The most containers inside one another; the outermost is level 1. Both sides count alike.
MAX_DEPTH = 200

# A buffer of this many bytes or more travels as its own segment.
OUT_OF_LINE = 4096

# Registered tags: RFC 8949 section 3.4.3, and the IANA registry for the others.
POSITIVE_BIGNUM = 2
NEGATIVE_BIGNUM = 3
RATIONAL = 30
UUID = 37
SET = 258
COMPLEX = 43000

# Not a tag: the reader's number for the function that hashes a Fraction.
HASH_OF_RATIONAL = 0

# Pinfold's own tags. CBOR has no range for private use; these are in its first-come range (section
# 9.2), at "PIN" in ASCII, and only Pinfold reads them.
_OURS = 0x50494E00
TUPLE = _OURS + 0
FROZENSET = _OURS + 1
PAIRS = _OURS + 2
BYTEARRAY = _OURS + 3
SEGMENT = _OURS + 4
SURROGATES = _OURS + 5
NAN = _OURS + 6
ELLIPSIS = _OURS + 7
RANGE = _OURS + 8
SLICE = _OURS + 9
DATETIME = _OURS + 10
DATE = _OURS + 11
TIME = _OURS + 12
TIMEDELTA = _OURS + 13
TIMEZONE = _OURS + 14
ZONE = _OURS + 15
DECIMAL = _OURS + 16
PATH = _OURS + 17
PURE_PATH = _OURS + 18
ARRAY = _OURS + 19
SCALAR = _OURS + 20


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

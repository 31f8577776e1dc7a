# SPDX-License-Identifier: Apache-2.0
"""Reading of heads: JSON objects of which each field is checked."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, NoReturn

from pinfold._wire.json_head import KINDS
from pinfold.codec import Malformed

HEAD_MOST = 16 << 20  # bytes


class Refused(Malformed):
    """A head is not what it must be.

    Attributes:
        pointer: the field, as a JSON Pointer (RFC 6901), ``""`` for the whole.
    """

    def __init__(self, pointer: str, what: str) -> None:
        super().__init__(f"{pointer or 'the head'} {what}")
        self.pointer = pointer


def read_object(text: bytes | memoryview) -> dict[str, Any]:
    """Read a JSON object that names no field twice. Raises `Refused`."""
    if len(text) > HEAD_MOST:
        raise Refused("", f"has more than {HEAD_MOST} bytes")
    try:
        found = json.loads(bytes(text), object_pairs_hook=_unique, parse_constant=_no_constant)
    except Refused:
        raise
    except (ValueError, RecursionError) as error:
        raise Refused("", f"is no JSON text: {error}") from None
    if type(found) is not dict:
        raise Refused("", "is no JSON object")
    return found


def only(given: Mapping[str, Any], names: Iterable[str], pointer: str = "") -> None:
    """Refuse fields of other names."""
    known = frozenset(names)
    for name in given:
        if name not in known:
            raise Refused(f"{pointer}/{_step(name)}", "is not a field that is known here")


def take(
    given: Mapping[str, Any], name: str, kind: type | tuple[type, ...], default: Any = None
) -> Any:
    """Return a field of this type, or the default if it is missing. Raises `Refused`."""
    if name not in given:
        return default
    value = given[name]
    kinds = kind if isinstance(kind, tuple) else (kind,)
    if type(value) not in kinds:  # a bool is no int here
        words = " or ".join(KINDS[one] for one in kinds)
        raise Refused(f"/{_step(name)}", f"is {KINDS[type(value)]}, not {words}")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise Refused("", "names a field twice")
    return found


def _no_constant(name: str) -> NoReturn:
    raise Refused("", f"has the number {name}, which JSON has not")


def _step(name: str) -> str:
    return name[:80].replace("~", "~0").replace("/", "~1")

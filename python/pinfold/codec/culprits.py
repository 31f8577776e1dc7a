# SPDX-License-Identifier: Apache-2.0
"""The search for the part of a value that a codec refuses, and for the path that leads to it.

A writer that fails does not know where it was. This search walks the value again, slowly.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, NamedTuple

from pinfold.codec.refusals import NotCarried, name_of
from pinfold.codec.tags import MAX_DEPTH, Unfit

CONTAINERS = frozenset({list, tuple, dict, set, frozenset})

# Types that are written as a plain type, and how. As in `json.dumps`, a number or a text is read
# past any method of its class, and a dict by its ``items``, which know its order. A deque and a
# dict's view become lists.
_PLAIN: tuple[tuple[type, Callable[[Any], Any]], ...] = (
    (int, int.__pos__),
    (float, float.__pos__),
    (str, str.__str__),
    (tuple, lambda value: tuple(tuple.__iter__(value))),
    (list, lambda value: list(list.__iter__(value))),
    (dict, lambda value: dict(value.items())),
    (deque, lambda value: list(deque.__iter__(value))),
    (type({}.keys()), list),
    (type({}.values()), list),
    (type({}.items()), list),
)
_EASY: frozenset[type] = frozenset({bool, int, float, type(None)})


def plain_of(kind: type) -> Callable[[Any], Any] | None:
    """Return the function that makes a value of exactly this type plain, or None."""
    if kind in CONTAINERS:
        return None
    return next((make for base, make in _PLAIN if issubclass(kind, base)), None)


class Rules(NamedTuple):
    """What a codec refuses."""

    codec: str
    part: Callable[[Any, int], Unfit | None]
    """Returns why a part that is not a container is refused, at this depth, or None."""
    key: Callable[[Any], Unfit | None] | None = None
    """The same for a dict's key. None: keys are parts like others."""
    easy: frozenset[type] = _EASY
    """Types that are never refused."""


def culprit(value: object, root: str, rules: Rules) -> NotCarried:
    """Return the error for the first part of `value` that is refused."""
    for found in _culprits(value, root, 1, {}, rules):
        return found
    kind = name_of(type(value))
    return NotCarried(root, kind, rules.codec, f"a {kind} that changed while it was read")


def _culprits(
    value: Any, path: str, depth: int, above: dict[int, str], rules: Rules
) -> Iterator[NotCarried]:
    kind = type(value)
    make = plain_of(kind)
    parts = value
    if make is not None:
        with suppress(Exception):  # the writer reports it
            parts = make(value)
    if type(parts) not in CONTAINERS:
        no = rules.part(value, depth)
        if no is not None:
            yield _error(path, kind, no, rules)
        return
    if id(value) in above:
        what = f"a {kind.__name__} that contains itself (it is {above[id(value)]})"
        yield NotCarried(path, kind.__name__, rules.codec, what)
        return
    if depth > MAX_DEPTH:
        what = f"a {kind.__name__} nested more than {MAX_DEPTH} containers deep"
        yield NotCarried(path, kind.__name__, rules.codec, what)
        return
    above[id(value)] = path
    for child, its_path, is_key in _children(parts, path):
        if is_key and rules.key is not None:
            no = rules.key(child)
            if no is not None:
                yield _error(its_path, type(child), no, rules)
        elif type(child) not in rules.easy:
            yield from _culprits(child, its_path, depth + 1, above, rules)
    del above[id(value)]


def _error(path: str, kind: type, no: Unfit, rules: Rules) -> NotCarried:
    return NotCarried(path + no.attribute, no.type_name or name_of(kind), rules.codec, no.what)


def _children(value: Any, path: str) -> Iterator[tuple[Any, str, bool]]:
    """Yield each part of a container, its path, and whether it is a dict's key."""
    if type(value) is dict:
        for i, (key, item) in enumerate(list(value.items())):
            yield key, f"list({path})[{i}]", True
            place = f"[{_short(key)}]" if _nameable(key) else None
            yield item, f"{path}{place}" if place else f"list({path}.values())[{i}]", False
    else:
        shown = f"list({path})" if type(value) in (set, frozenset) else path
        for i, item in enumerate(list(value)):
            yield item, f"{shown}[{i}]", False


def _nameable(key: object) -> bool:
    kind = type(key)
    # The repr of an int with very many digits raises.
    return kind in (str, bytes, bool, float, type(None)) or (
        isinstance(key, int) and kind is int and key.bit_length() <= 64
    )


def _short(key: object) -> str:
    text = repr(key)
    return text if len(text) <= 80 else f"{text[:60]}...{text[-10:]}"

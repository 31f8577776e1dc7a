# SPDX-License-Identifier: Apache-2.0
"""Find the function to call by the name that the caller gave."""

from __future__ import annotations

from collections.abc import Callable
from types import ClassMethodDescriptorType, ModuleType
from typing import Any

_MISSING = object()
_UNBOUND = (staticmethod, classmethod, ClassMethodDescriptorType, type)


class NotFound(Exception):
    """The source has no such function; the text says which part is missing."""


def find(module: ModuleType, name: str) -> Callable[..., Any]:
    """Return the function, or for a dotted name the method.

    Makes an instance of a class if the method needs one. Raises `NotFound`, and any exception of
    the class's constructor.
    """
    if "." in name:
        found = _method(module, name)
        if not callable(found):
            kind = type(found).__name__
            raise NotFound(f"Function '{name}' not callable: it is of type '{kind}'")
    else:
        found = getattr(module, name, None)
        if not callable(found):
            raise NotFound(f"Function '{name}' not found or not callable")
    return found  # type: ignore[no-any-return]


def _method(owner: Any, name: str) -> Any:
    *owners, last = name.split(".")
    owner_name = "The source"
    for part in owners:
        owner = _part(owner, part, name, owner_name)
        is_class = issubclass(type(owner), type)
        owner_name = f"{'Class' if is_class else 'Object'} '{part}'"
    if is_class and _needs_instance(owner, last):
        return getattr(owner(), last)
    return _part(owner, last, name, owner_name)


def _part(owner: Any, part: str, name: str, owner_name: str) -> Any:
    found = getattr(owner, part, _MISSING)
    if found is _MISSING:
        raise NotFound(f"Function '{name}' not found: {owner_name} has no '{part}'")
    return found


def _needs_instance(owner: type, name: str) -> bool:
    """Return whether the name needs an instance: a method, a property.

    Nested classes and callable objects are the same through the class.
    """
    for base in type.__dict__["__mro__"].__get__(owner):
        if name in vars(base):
            own = vars(base)[name]
            return hasattr(type(own), "__get__") and not isinstance(own, _UNBOUND)
    return False

"""From the name that a caller gave to the function that is called."""

from __future__ import annotations

from collections.abc import Callable
from types import ClassMethodDescriptorType, ModuleType
from typing import Any

_MISSING = object()
_UNBOUND = (staticmethod, classmethod, ClassMethodDescriptorType, type)


class NotFound(Exception):
    """The source has no such function; the text says what it lacks."""


def find(module: ModuleType, name: str) -> Callable[..., Any]:
    """The function of that name, or the method of that dotted name. Raises `NotFound`, and what a
    class raises of which an instance is made."""
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
    """Whether the class has this for its instances: a method, a property. What it only holds, a
    nested class or an object that can be called, is the same by way of the class."""
    for base in type.__dict__["__mro__"].__get__(owner):
        if name in vars(base):
            own = vars(base)[name]
            return hasattr(type(own), "__get__") and not isinstance(own, _UNBOUND)
    return False

# SPDX-License-Identifier: Apache-2.0
"""Lists and dicts that must hold the same objects again after a call."""

from __future__ import annotations

import copyreg
import gc
import logging
import os
import sys
from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any, NamedTuple

from pinfold._worker.code.search import top
from pinfold._worker.reset._state import changed, version

# Modules whose names programs rebind (`random.random = ...`).
_REBOUND = (
    "gc", "io", "logging", "math", "os", "random", "signal", "threading", "warnings",
)  # fmt: skip


class Watch(NamedTuple):
    """A list or dict, and the objects that it must hold after a call."""

    container: Any
    items: tuple[Any, ...]
    """The list's objects, or the dict's keys and values alternately, as `_state.changed` takes
    them."""
    version: int | None
    """The dict's version, if every change makes a new one."""
    may_stay: Callable[[Any], bool] | None = None
    """Returns whether a new element or key may stay. None: none may."""

    def put_back(self) -> Watch:
        """Put the objects back into the container, and return a watch of its contents then."""
        container, may_stay = self.container, self.may_stay
        if isinstance(container, list):
            ids = set(map(id, self.items))
            new = [item for item in container if id(item) not in ids]
            container[:] = [*filter(may_stay, new if may_stay else ()), *self.items]
        else:
            own = dict(zip(self.items[::2], self.items[1::2], strict=True))
            for key in [key for key in container if key not in own]:
                if not (may_stay and may_stay(key)):
                    del container[key]
            for key, value in own.items():
                if container.get(key, self) is not value:
                    container[key] = value
        return watch(container, may_stay, self.version is not None)


def watch(
    container: Any, may_stay: Callable[[Any], bool] | None = None, versioned: bool = False
) -> Watch:
    """Return a watch of a list's or dict's present contents."""
    if isinstance(container, list):
        return Watch(container, tuple(container), None, may_stay)
    items = tuple(chain.from_iterable(container.items()))
    return Watch(container, items, version(container) if versioned else None, may_stay)


def names(module: str) -> Watch:
    """Return a watch of a module's names."""
    return watch(vars(sys.modules[module]), versioned=True)


def put_back(watches: tuple[Watch, ...]) -> tuple[Watch, ...]:
    """Put back the containers that changed. Return the watches for the next call."""
    indices = changed(watches)
    if not indices:
        return watches
    kept = list(watches)
    for index in indices:
        kept[index] = kept[index].put_back()
    return tuple(kept)


def interpreter() -> Iterator[Watch]:
    """Watch `builtins` and `sys`, which everything else needs."""
    yield names("builtins")
    yield names("sys")


def library() -> Iterator[Watch]:
    """Watch the parts of the standard library that programs change."""
    for name in _REBOUND:
        if name in sys.modules:
            yield names(name)
    yield watch(os.environ._data, versioned=True)  # type: ignore[attr-defined]
    yield watch(sys.argv)
    yield watch(sys.warnoptions)
    yield watch(sys.modules["warnings"].filters)
    yield watch(sys.modules["warnings"].onceregistry)
    # An installed module may still need what it added to these on import.
    yield watch(sys.meta_path, _is_installed)
    yield watch(sys.path_hooks, _is_installed)
    yield watch(gc.callbacks, _is_installed)
    yield watch(copyreg.dispatch_table, _is_installed)


def loggers() -> Iterator[Watch]:
    """Watch the existing loggers and their settings."""
    root = logging.getLogger()
    yield watch(vars(root.manager))
    yield watch(root.manager.loggerDict, _is_name_installed)
    for logger in (root, *root.manager.loggerDict.values()):
        if isinstance(logger, logging.Logger):
            yield watch(vars(logger))
            yield watch(logger.handlers)
            yield watch(logger.filters)


def _is_installed(thing: object) -> bool:
    """Return whether the object belongs to a module that is still loaded after the call."""
    module = getattr(thing, "__module__", None)
    if not isinstance(module, str):
        module = type(thing).__module__
    return module != "builtins" and _is_name_installed(module)


def _is_name_installed(name: str) -> bool:
    return top(name) in sys.modules

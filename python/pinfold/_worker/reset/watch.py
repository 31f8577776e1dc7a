"""Lists and dicts that have to hold the same objects again after a call."""

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

# Modules whose own names programs rebind: `time.sleep = ...`.
_REBOUND = (
    "gc", "io", "logging", "math", "os", "random", "signal", "threading", "warnings",
)  # fmt: skip


class Watch(NamedTuple):
    """A list or dict, and the objects that belong in it."""

    container: Any
    items: tuple[Any, ...]
    """As `_state.changed` takes it: the list's objects, or the dict's keys and values."""
    version: int | None
    """Of the dict, when nothing changes it without a new one."""
    may_stay: Callable[[Any], bool] | None = None
    """Which new element or key may stay. None: nothing that is new."""

    def put_back(self) -> Watch:
        """Make it hold its objects, and hold on to it as it is then."""
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
    """Hold on to what a list or dict holds now."""
    if isinstance(container, list):
        return Watch(container, tuple(container), None, may_stay)
    items = tuple(chain.from_iterable(container.items()))
    return Watch(container, items, version(container) if versioned else None, may_stay)


def names(module: str) -> Watch:
    """Hold on to what the names of a module mean."""
    return watch(vars(sys.modules[module]), versioned=True)


def put_back(watches: tuple[Watch, ...]) -> tuple[Watch, ...]:
    """Put back those that changed."""
    indices = changed(watches)
    if not indices:
        return watches
    kept = list(watches)
    for index in indices:
        kept[index] = kept[index].put_back()
    return tuple(kept)


def interpreter() -> Iterator[Watch]:
    """What everything else needs: `builtins` and `sys`."""
    yield names("builtins")
    yield names("sys")


def library() -> Iterator[Watch]:
    """What programs change in the standard library."""
    for name in _REBOUND:
        if name in sys.modules:
            yield names(name)
    yield watch(os.environ._data, versioned=True)  # type: ignore[attr-defined]
    yield watch(sys.argv)
    yield watch(sys.warnoptions)
    yield watch(sys.modules["warnings"].filters)
    yield watch(sys.modules["warnings"].onceregistry)
    # What an installed module added to these on its import, it may need again.
    yield watch(sys.meta_path, _is_installed)
    yield watch(sys.path_hooks, _is_installed)
    yield watch(gc.callbacks, _is_installed)
    yield watch(copyreg.dispatch_table, _is_installed)


def loggers() -> Iterator[Watch]:
    """The loggers that there are, and how they are set."""
    root = logging.getLogger()
    yield watch(vars(root.manager))
    yield watch(root.manager.loggerDict, _is_name_installed)
    for logger in (root, *root.manager.loggerDict.values()):
        if isinstance(logger, logging.Logger):
            yield watch(vars(logger))
            yield watch(logger.handlers)
            yield watch(logger.filters)


def _is_installed(thing: object) -> bool:
    """Whether it belongs to a module that is still there after the call."""
    module = getattr(thing, "__module__", None)
    if not isinstance(module, str):
        module = type(thing).__module__
    return module != "builtins" and _is_name_installed(module)


def _is_name_installed(name: str) -> bool:
    return top(name) in sys.modules

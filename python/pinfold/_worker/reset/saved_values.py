# SPDX-License-Identifier: Apache-2.0
"""The saved values of `reuse`: process-wide values that a call may set, by getter and setter."""

from __future__ import annotations

import _thread
import gc
import sys
from collections.abc import Callable
from typing import Any, NamedTuple


class SavedValue(NamedTuple):
    """A value behind a getter and a setter, of a module that may be loaded later."""

    module: str
    read: Callable[[], Any]
    write: Callable[[Any], object]
    initial: Any = None
    """The value right after the module's import."""


def loaded(name: str) -> Any:
    return sys.modules[name]


def _attribute(module: str, *path: str) -> SavedValue:
    def holder() -> Any:
        value = loaded(module)
        for name in path[:-1]:
            value = getattr(value, name)
        return value

    return SavedValue(
        module,
        lambda: getattr(holder(), path[-1]),
        lambda value: setattr(holder(), path[-1], value),
    )


_DECIMAL = ("prec", "rounding", "Emin", "Emax", "capitals", "clamp")
_DECIMAL_TRAPS = frozenset({"DivisionByZero", "InvalidOperation", "Overflow"})


def _read_decimal() -> tuple[Any, ...]:
    template = loaded("decimal").DefaultContext
    fields = [getattr(template, name) for name in _DECIMAL]
    signals = (template.flags, template.traps)
    return (*fields, *(frozenset(s.__name__ for s, on in all_.items() if on) for all_ in signals))


def _write_decimal(values: tuple[Any, ...]) -> None:
    template = loaded("decimal").DefaultContext
    *fields, flags, traps = values
    for name, value in zip(_DECIMAL, fields, strict=True):
        setattr(template, name, value)
    for all_, on in ((template.flags, flags), (template.traps, traps)):
        for signal in list(all_):
            all_[signal] = signal.__name__ in on


def _stop_faulthandler(on: bool) -> None:
    if on:
        raise RuntimeError("nobody knows any more to which file it wrote")
    loaded("faulthandler").disable()


def _by_value() -> set[str]:
    registry: set[str] = loaded("cloudpickle.cloudpickle")._PICKLE_BY_VALUE_MODULES
    return registry


def _write_by_value(names: frozenset[str]) -> None:
    _by_value().intersection_update(names)
    _by_value().update(names)


def _tools() -> tuple[str | None, ...]:
    return tuple(map(loaded("sys").monitoring.get_tool, range(6)))


def _free_tools(names: tuple[str | None, ...]) -> None:
    monitoring = loaded("sys").monitoring
    for tool, name in enumerate(names):
        if name is None and monitoring.get_tool(tool) is not None:
            monitoring.set_events(tool, 0)
            monitoring.free_tool_id(tool)


SAVED_VALUES = (
    SavedValue("sys", sys.getrecursionlimit, sys.setrecursionlimit),
    SavedValue("sys", sys.getswitchinterval, sys.setswitchinterval),
    SavedValue("sys", sys.get_int_max_str_digits, sys.set_int_max_str_digits),
    SavedValue("sys", sys.getdlopenflags, sys.setdlopenflags),
    SavedValue("sys", sys.get_asyncgen_hooks, lambda hooks: sys.set_asyncgen_hooks(*hooks)),
    SavedValue(
        "sys",
        sys.get_coroutine_origin_tracking_depth,
        sys.set_coroutine_origin_tracking_depth,
    ),
    *([SavedValue("sys", _tools, _free_tools)] if sys.version_info >= (3, 12) else []),
    SavedValue("_thread", _thread.stack_size, _thread.stack_size),
    SavedValue("gc", gc.isenabled, lambda on: (gc.enable if on else gc.disable)()),
    SavedValue("gc", gc.get_threshold, lambda threshold: gc.set_threshold(*threshold)),
    SavedValue("gc", gc.get_debug, gc.set_debug),
    SavedValue(
        "decimal",
        _read_decimal,
        _write_decimal,
        (28, "ROUND_HALF_EVEN", -999999, 999999, 1, 0, frozenset(), _DECIMAL_TRAPS),
    ),
    SavedValue(
        "faulthandler",
        lambda: loaded("faulthandler").is_enabled(),
        _stop_faulthandler,
        False,
    ),
    SavedValue(
        "_tracemalloc",
        lambda: loaded("_tracemalloc").is_tracing(),
        lambda _: loaded("_tracemalloc").stop(),
        False,
    ),
    SavedValue(
        "cloudpickle.cloudpickle", lambda: frozenset(_by_value()), _write_by_value, frozenset()
    ),
    SavedValue(
        "_csv",
        lambda: loaded("_csv").field_size_limit(),
        lambda limit: loaded("_csv").field_size_limit(limit),
        131072,
    ),
    SavedValue(
        "_socket",
        lambda: loaded("_socket").getdefaulttimeout(),
        lambda timeout: loaded("_socket").setdefaulttimeout(timeout),
    ),
    _attribute("asyncio.events", "_event_loop_policy"),
    _attribute("multiprocessing.context", "_default_context", "_actual_context"),
    _attribute("tempfile", "tempdir"),
)

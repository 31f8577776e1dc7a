# SPDX-License-Identifier: Apache-2.0
"""The end of a program, as Py_FinalizeEx() of Python/pylifecycle.c has it: threads, exit handlers,
finalizers, output.

What the template had loaded before stays, because taking it apart would cost far more than a call.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import _thread
import atexit
import builtins as _builtins
import gc
import io
import itertools
import sys
import weakref
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from itertools import takewhile
from operator import methodcaller
from types import ModuleType
from typing import Any, NamedTuple, cast

from pinfold._worker.main._main import call, no_import, unraisable

# Counters of names: the module, its class or "", the counter, and how it begins.
_COUNTERS: tuple[tuple[str, str, str, Callable[[], object]], ...] = (
    ("threading", "", "_counter", lambda: itertools.count(1).__next__),
    ("multiprocessing.process", "", "_process_counter", lambda: itertools.count(1)),
    (
        *("concurrent.futures.thread", "ThreadPoolExecutor", "_counter"),
        lambda: itertools.count().__next__,
    ),
    ("asyncio.tasks", "", "_task_name_counter", lambda: itertools.count(1).__next__),
)

_SIGNALS = range(1, 65)

# Importing multiprocessing gives the module of the script a second name, by which processes that it
# starts know it.
MAINS = ("__main__", "__mp_main__")

# What finalize_modules_delete_special() of Python/pylifecycle.c sets to None.
_LAST = ("last_exc", "last_type", "last_value", "last_traceback")
_EMPTIED = ("path", "argv", "path_hooks", "path_importer_cache", "meta_path")


class Before(NamedTuple):
    """What was there before a program, and outlives it."""

    last_module: str
    """The last name in `sys.modules`. The program's own imports follow it."""
    mains: dict[str, ModuleType]
    """The module ``__main__``, and that which multiprocessing takes for it, if that is loaded."""
    threads: tuple[object, ...]
    """Threads that the interpreter would wait for at its end."""
    exits: int
    """The number of exit handlers."""
    thread_exits: list[Any]
    """What is called before the interpreter waits for threads."""


def keep_exits() -> None:
    """Forget the exit handlers of preloaded modules, except those that serve a program, too."""
    atexit._clear()
    finalize = weakref.finalize
    if finalize._registered_with_atexit:  # type: ignore[attr-defined]
        for info in finalize._registry.values():  # type: ignore[attr-defined]
            info.atexit = False  # the object is not the program's
        atexit.register(finalize._exitfunc)  # type: ignore[attr-defined]
    # A module of a user's own may have the name of one of the library.
    handlers = getattr(sys.modules.get("logging"), "_handlerList", None)
    if handlers is not None:
        atexit.register(_close_loggers, handlers[:])
    end_children = getattr(sys.modules.get("multiprocessing.util"), "_exit_function", None)
    if end_children is not None:
        atexit.register(end_children)


def _threading() -> Any:
    """Return the library's own module, if it is loaded and nobody's own has its name."""
    module = sys.modules.get("threading")
    return module if hasattr(module, "_threading_atexits") else None


def begin() -> Before:
    """Note what is there before a program runs."""
    threads: tuple[object, ...] = ()
    threading = _threading()
    if _thread._count() and threading is not None:
        others = set(threading.enumerate()) - {threading.main_thread()}
        threads = tuple(thread for thread in others if not thread.daemon)
    last = next(reversed(sys.modules))
    count_anew()
    mains = {name: sys.modules[name] for name in MAINS if name in sys.modules}
    last_calls = [] if threading is None else threading._threading_atexits[:]
    return Before(last, mains, threads, atexit._ncallbacks(), last_calls)


def count_anew() -> None:
    """Let the names that the library gives to threads, processes and tasks begin with the first."""
    for module, owner, name, counter in _COUNTERS:
        place = sys.modules.get(module)
        if owner:
            place = getattr(place, owner, None)
        if hasattr(place, name):
            setattr(place, name, counter())


def _close_loggers(before: list[Any]) -> None:
    """Do what logging does at the end, but leave the preloaded handlers open."""
    logging: Any = sys.modules.get("logging")
    if not hasattr(logging, "_handlerList"):
        return
    known = set(map(id, before))
    logging.shutdown([handler for handler in logging._handlerList if id(handler) not in known])
    for handler in before:
        if handler() is not None:
            with suppress(OSError, ValueError):  # as logging.shutdown() has it
                handler().flush()


def end(before: Before, loader: Callable[[], object], directories: Sequence[str]) -> bool:
    """End a program that has returned from its last line. Return whether its output could be
    written.

    `loader` is a weak reference to the loader in the namespace of ``__main__``. Modules from
    `directories` end with the program.
    """
    threading = _threading()
    if threading is not None and _has_threads(threading, before):
        error = call(partial(_join, before.threads) if before.threads else threading._shutdown)
        if error is not None:
            unraisable(error, threading, "threading shutdown")
    call(atexit._run_exitfuncs)
    written = _flush(report=True)
    _forget_handlers()
    if gc.isenabled():
        call(gc.collect)
    own = [
        name
        for name in takewhile(lambda name: name != before.last_module, reversed(sys.modules))
        if name not in MAINS and _is_from(sys.modules[name], directories)
    ]
    if threading is not None:
        threading._threading_atexits[:] = before.thread_exits
    alone = _thread._count() == 0  # another thread would meet what is cleared
    _take_apart(before, loader, own, alone=alone)
    _flush(report=False)
    return written


def _has_threads(threading: Any, before: Before) -> bool:
    """Return whether anything depends on what threading._shutdown() does."""
    exits = atexit._ncallbacks() != before.exits  # they may ask whether the main thread is over
    return bool(_thread._count() or threading._threading_atexits or exits)


def _join(before: Sequence[object]) -> None:
    """Wait for the program's threads as threading._shutdown() does, but for no earlier one."""
    threading = _threading()
    for function in reversed(threading._threading_atexits):
        function()
    while left := [
        thread
        for thread in threading.enumerate()
        if not (thread.daemon or thread in before or thread is threading.main_thread())
    ]:
        left[0].join()


def flush() -> None:
    """Flush the output, whatever comes of it."""
    for name in ("stderr", "stdout"):
        try:
            getattr(sys, name).flush()
        except BaseException:
            continue


def _flush(*, report: bool) -> bool:
    written = True
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name, None)
        if stream is None or _is_closed(stream):
            continue
        error = call(methodcaller("flush"), stream)
        if error is not None:
            written = False
            if report and name == "stdout":
                unraisable(error, stream, "flushing sys.stdout")
    return written


def _is_closed(stream: object) -> bool:
    try:
        return bool(stream.closed)  # type: ignore[attr-defined]
    except BaseException:
        return False


def _forget_handlers() -> None:
    for number, handler in zip(_SIGNALS, map(_signal.getsignal, _SIGNALS), strict=True):
        if callable(handler) and handler is not _signal.default_int_handler:
            _signal.signal(number, _signal.SIG_DFL)


def _take_apart(
    before: Before, loader: Callable[[], object], own: Sequence[str], *, alone: bool
) -> None:
    """Drop the program's modules, `own` the last first, as finalize_modules() does.

    As there, what finalizers find in `sys` is None, and they can import nothing.
    """
    for name in _LAST:
        vars(sys).pop(name, None)
    for name in ("stdin", "stdout", "stderr"):
        setattr(sys, name, getattr(sys, f"__{name}__", None))
    names, builtins = vars(sys), vars(_builtins)
    was = {name: names[name] for name in _EMPTIED if name in names}
    importing = builtins["__import__"]
    if alone:
        names.update(dict.fromkeys(_EMPTIED))
        builtins["__import__"] = no_import
    try:
        for name in MAINS:
            if name in before.mains:
                sys.modules[name] = before.mains[name]
            else:
                sys.modules.pop(name, None)
        dying = [weakref.ref(sys.modules[name]) for name in own]
        for name in reversed(own):
            sys.modules.pop(name, None)
        call(gc.collect)
        for module in dying:
            alive = module()
            if alive is not None:
                _clear(vars(alive), alone)
        left = _namespace(loader)
        if left is not None:
            _clear(left, alone)
    finally:
        names.update(was)
        builtins["__import__"] = importing


def _is_from(module: object, directories: Sequence[str]) -> bool:
    file = vars(module).get("__file__") if type(module) is ModuleType else None
    return type(file) is str and file.startswith(tuple(directories))


def _namespace(loader: Callable[[], object]) -> dict[str, Any] | None:
    """Return the namespace of ``__main__`` if something still refers to it."""
    alive = loader()
    if alive is not None:
        for names in gc.get_referrers(alive):
            if type(names) is dict and names.get("__loader__") is alive:
                return names
    return None


def _clear(names: dict[str, Any], alone: bool) -> None:
    """Clear a namespace in the order of _PyModule_ClearDict() of Objects/moduleobject.c."""
    if not alone:
        for value in list(names.values()):
            if isinstance(value, (io.TextIOWrapper, io.BufferedWriter, io.BufferedRandom)):
                _flush_file(cast("io.TextIOWrapper", value))
        return
    for private in (True, False):
        for name in list(names):
            begins = type(name) is str and name[:1] == "_" and name[1:2] != "_"
            if (begins or not private) and name != "__builtins__":
                names[name] = None


def _flush_file(file: io.TextIOWrapper) -> None:
    try:  # noqa: SIM105
        file.flush()
    except BaseException:
        pass

# SPDX-License-Identifier: Apache-2.0
"""The end of a program, as Py_FinalizeEx() of Python/pylifecycle.c has it: threads, exit handlers,
finalizers, output.

What the template had loaded before stays, because taking it apart would cost far more than a call.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import _thread
import atexit
import gc
import io
import sys
import weakref
from collections.abc import Callable, Sequence
from itertools import takewhile
from operator import methodcaller
from types import ModuleType
from typing import Any, cast

from pinfold._worker.main._main import call, unraisable

_SIGNALS = range(1, 65)

# What finalize_modules_delete_special() of Python/pylifecycle.c sets to None.
_LAST = ("last_exc", "last_type", "last_value", "last_traceback")
_EMPTIED = ("path", "argv", "path_hooks", "path_importer_cache", "meta_path")


def keep_exits() -> None:
    """Forget the exit handlers of preloaded modules, except those that serve the program, too."""
    atexit._clear()
    finalize = weakref.finalize
    if finalize._registered_with_atexit:  # type: ignore[attr-defined]
        for info in finalize._registry.values():  # type: ignore[attr-defined]
            info.atexit = False  # the object is the template's
        atexit.register(finalize._exitfunc)  # type: ignore[attr-defined]
    for module, name in (("logging", "shutdown"), ("multiprocessing.util", "_exit_function")):
        if module in sys.modules:
            atexit.register(getattr(sys.modules[module], name))


def end(loader: Callable[[], object], directories: Sequence[str], last: str) -> bool:
    """End a program that has returned from its last line. Return whether its output could be
    written.

    `loader` is a weak reference to the loader in the namespace of ``__main__``. `last` is the name
    in `sys.modules` after which the program's own imports follow; modules from `directories` end
    with the program.
    """
    threading = sys.modules.get("threading")
    if threading is not None:
        error = call(threading._shutdown)
        if error is not None:
            unraisable(error, threading, "threading shutdown")
    call(atexit._run_exitfuncs)
    written = _flush(report=True)
    _forget_handlers()
    if gc.isenabled():
        call(gc.collect)
    own = [
        name
        for name in takewhile(lambda name: name != last, reversed(sys.modules))
        if _is_from(sys.modules[name], directories)
    ]
    alone = _thread._count() == 0  # another thread would meet what is cleared
    _take_apart(loader, own, alone=alone)
    _flush(report=False)
    return written


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


def _take_apart(loader: Callable[[], object], own: Sequence[str], *, alone: bool) -> None:
    """Drop the program's modules, `own` the last first, as finalize_modules() does.

    As there, what finalizers find in `sys` is None, and they can import nothing.
    """
    for name in _LAST:
        vars(sys).pop(name, None)
    for name in ("stdin", "stdout", "stderr"):
        setattr(sys, name, getattr(sys, f"__{name}__", None))
    names = vars(sys)
    was = {name: names[name] for name in _EMPTIED if name in names}
    modules = {}
    if alone:
        names.update(dict.fromkeys(_EMPTIED))
        modules = {name: sys.modules[name] for name in sys.modules if name not in own}
        modules.pop("__main__", None)
    try:
        sys.modules.pop("__main__", None)
        dying = [weakref.ref(sys.modules[name]) for name in own]
        for name in reversed(own):
            sys.modules.pop(name, None)
        if alone:
            sys.modules.clear()
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
        sys.modules.update(modules)


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

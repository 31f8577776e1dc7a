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
from types import ModuleType
from typing import Any, cast

from pinfold._worker.main._main import unraisable

_SIGNALS = range(1, 65)


def keep_exits() -> None:
    """Forget the exit handlers of preloaded modules, except those that work for the program, too."""
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
    _wait_for_threads()
    atexit._run_exitfuncs()
    written = _flush(report=True)
    _forget_handlers()
    if gc.isenabled():
        gc.collect()
    _drop_modules(loader, directories, last)
    _flush(report=False)
    return written


def _wait_for_threads() -> None:
    threading = sys.modules.get("threading")
    if threading is None:
        return
    try:
        threading._shutdown()
    except BaseException as error:
        unraisable(without_frame(error), threading)


def without_frame(error: BaseException) -> BaseException:
    """Remove the caller's frame, the outermost, from the traceback of what it caught."""
    trace = error.__traceback__
    return error.with_traceback(None if trace is None else trace.tb_next)


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
        try:
            stream.flush()
        except BaseException as error:
            written = False
            if report and name == "stdout":
                unraisable(without_frame(error), stream)
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


def _drop_modules(loader: Callable[[], object], directories: Sequence[str], last: str) -> None:
    for name in ("last_exc", "last_type", "last_value", "last_traceback"):
        vars(sys).pop(name, None)
    for name in ("stdin", "stdout", "stderr"):
        setattr(sys, name, getattr(sys, f"__{name}__", None))
    own: list[tuple[str, weakref.ref[ModuleType]]] = []
    for name in reversed(sys.modules):
        if name == last:
            break
        if _is_from(sys.modules[name], directories):
            own.append((name, weakref.ref(sys.modules[name])))
    sys.modules.pop("__main__", None)
    for name, _ in reversed(own):
        sys.modules.pop(name, None)
    gc.collect()
    frozen = _thread._count() == 0  # another thread would meet the names that are cleared
    for _, module in own:
        alive = module()
        if alive is not None:
            _clear(vars(alive), frozen)
    names = _namespace(loader)
    if names is not None:
        _clear(names, frozen)


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


def _clear(names: dict[str, Any], frozen: bool) -> None:
    """Clear a namespace in the order of _PyModule_ClearDict() of Objects/moduleobject.c."""
    if not frozen:
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

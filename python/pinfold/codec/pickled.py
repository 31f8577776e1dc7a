# SPDX-License-Identifier: Apache-2.0
"""The `pickle` codec: cloudpickle, protocol 5, large buffers out of line (PEP 574).

It carries everything that cloudpickle does: closures, cycles and shared objects, subclasses, and
the classes and functions of the module ``user_code``, by value. Reading can run any code.
"""

from __future__ import annotations

import io
import os
import pickle
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import cloudpickle  # type: ignore[import-untyped, unused-ignore]

from pinfold.codec._reader import is_plain_pickle
from pinfold.codec.refusals import CannotDecode, NotCarried, RunsCode, name_of
from pinfold.codec.tags import OUT_OF_LINE, USER_MODULE

# The most parts of a value that are pickled one by one to find the error's path.
_TRIES = 1000

_lock = threading.RLock()  # reentrant: a signal handler or a finaliser may pickle, too
_users: list[int] = []
"""The threads that are pickling, one entry for each nested use."""
_registered: ModuleType | None = None


@contextmanager
def _user_code_by_value() -> Iterator[None]:
    """Register `user_code` with cloudpickle while any thread is pickling.

    A module that is not in sys.modules travels by value anyway. A module that other code
    registered stays registered.
    """
    global _registered
    with _lock:  # first, so that a nested use does not undo the registration below
        _users.append(threading.get_ident())
    try:
        with _lock:
            module = sys.modules.get(USER_MODULE)
            if (
                isinstance(module, ModuleType)
                and module.__name__ == USER_MODULE
                and USER_MODULE not in cloudpickle.list_registry_pickle_by_value()
            ):
                _registered = module
                cloudpickle.register_pickle_by_value(module)
        yield
    finally:
        with _lock:
            _users.remove(threading.get_ident())
            _unregister()


def _unregister() -> None:
    global _registered
    if not _users:
        module, _registered = _registered, None
        if module is not None and USER_MODULE in cloudpickle.list_registry_pickle_by_value():
            cloudpickle.unregister_pickle_by_value(module)


def _forget_other_threads() -> None:
    """In a forked process, drop the threads that it does not have, and a lock that they held."""
    global _lock
    _lock = threading.RLock()
    _users[:] = [thread for thread in _users if thread == threading.get_ident()]
    _unregister()


os.register_at_fork(after_in_child=_forget_other_threads)


def encode(value: object, root: str = "result") -> list[bytes | memoryview]:
    """Return the segments of `value`; see `pinfold.codec.encode`.

    Raises `NotCarried` with the pickler's exception as its cause. A BaseException that is not an
    Exception passes through (the value's own ``__reduce__`` may exit).
    """
    buffers: list[memoryview] = []

    def keep_in_stream(buffer: pickle.PickleBuffer) -> bool:
        view = buffer.raw()
        if view.nbytes < OUT_OF_LINE:
            return True
        buffers.append(view)
        return False

    with _user_code_by_value():
        stream = io.BytesIO()
        error = _dump(value, stream, keep_in_stream)
        if error is None:
            return [stream.getvalue(), *buffers]
        path, culprit = _culprit(value, root)
    kind = name_of(type(culprit))
    raise NotCarried(path, kind, "pickle", f"a {kind} ({error!s:.200})") from error


def _dump(value: object, file: Any, keep: Callable[[pickle.PickleBuffer], bool]) -> Any:
    try:
        cloudpickle.Pickler(file, protocol=5, buffer_callback=keep).dump(value)
    except MemoryError:
        raise
    except Exception as error:
        return error
    return None


class _Nowhere:
    def write(self, data: object) -> int:
        return memoryview(data).nbytes  # type: ignore[arg-type]


def _culprit(value: Any, path: str) -> tuple[str, object]:
    """Return the path and the innermost part that cannot be pickled by itself.

    Follows plain containers and attributes.
    """
    tries = _TRIES
    while True:
        for child, its_path in _parts(value, path):
            tries -= 1
            if tries < 0:
                return path, value
            if _dump(child, _Nowhere(), lambda buffer: False) is not None:
                value, path = child, its_path
                break
        else:
            return path, value


def _parts(value: Any, path: str) -> Iterator[tuple[Any, str]]:
    if type(value) is dict:
        for i, (key, item) in enumerate(list(value.items())):
            named = type(key) is str and len(key) <= 80
            yield item, f"{path}[{key!r}]" if named else f"list({path}.values())[{i}]"
            yield key, f"list({path})[{i}]"
    elif type(value) in (list, tuple):
        for i, item in enumerate(list(value)):
            yield item, f"{path}[{i}]"
    elif type(value) in (set, frozenset):
        for i, item in enumerate(list(value)):
            yield item, f"list({path})[{i}]"
    elif not isinstance(value, (type, ModuleType)):
        try:
            attributes = dict(object.__getattribute__(value, "__dict__"))
        except Exception:
            return
        for name, item in attributes.items():
            yield item, f"{path}.{name}"


# Makers of values, which call nothing. A pickle that names only these, of loaded modules, is read
# at once. This is about time and interrupts, and not a protection: a pickle is trusted.
_MAKERS = {
    "numpy._core.multiarray": {"_reconstruct", "scalar"},
    "numpy.core.multiarray": {"_reconstruct", "scalar"},
    "numpy._core.numeric": {"_frombuffer"},
    "numpy.core.numeric": {"_frombuffer"},
    "numpy": {"dtype", "ndarray"},
    "builtins": {"bytearray", "complex", "frozenset", "range", "set", "slice"},
    "collections": {"OrderedDict", "deque"},
    "datetime": {"date", "datetime", "time", "timedelta", "timezone"},
    "decimal": {"Decimal"},
    "fractions": {"Fraction"},
    "uuid": {"UUID"},
}
_NONE: set[str] = set()


class _Maker(pickle.Unpickler):
    """Reads a pickle that names only makers of values. Raises `RunsCode` for any other name."""

    def find_class(self, module: str, name: str) -> Any:
        if name in _MAKERS.get(module, _NONE) and module in sys.modules:
            return super().find_class(module, name)
        raise RunsCode


def decode(segments: Sequence[memoryview], *, runs: bool = True) -> object:
    """Return the value of `segments`; see `pinfold.codec.decode`.

    With `runs`, runs all code that the pickle names; without, raises `RunsCode` if there is some.
    Raises `CannotDecode` with the exception as its cause, also for SystemExit and the like, so that
    a value cannot end the caller's program. Only MemoryError passes, and a KeyboardInterrupt in the
    main thread, where it may be the user's.
    """
    if not segments:
        raise CannotDecode("no segments")
    try:
        if not runs and not is_plain_pickle(segments[0]):
            return _Maker(io.BytesIO(segments[0]), buffers=segments[1:]).load()
        return pickle.loads(segments[0], buffers=segments[1:])
    except (MemoryError, RunsCode):
        raise
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt) and _is_main():
            raise
        raise CannotDecode(
            f"the pickled value cannot be read: {name_of(type(error))}: {_text(error)}"
        ) from error


def _is_main() -> bool:
    return threading.get_ident() == threading.main_thread().ident


def _text(error: BaseException) -> str:
    try:
        return f"{error!s:.200}"
    except BaseException as second:
        if isinstance(second, KeyboardInterrupt) and _is_main():
            raise  # it may be the user's
        return "(its text raised)"

# SPDX-License-Identifier: Apache-2.0
"""The search path of a program's imports, and the modules that they leave in ``sys.modules``."""

from __future__ import annotations

import _imp
import os
import sys
from collections.abc import Collection, Iterable, Sequence
from importlib.machinery import (
    BYTECODE_SUFFIXES,
    EXTENSION_SUFFIXES,
    SOURCE_SUFFIXES,
    ExtensionFileLoader,
    FileFinder,
    ModuleSpec,
    PathFinder,
    SourceFileLoader,
    SourcelessFileLoader,
)
from types import ModuleType

from pinfold._worker.code.program import NAME

# No module on a call's path replaces these: the runtime runs on them, or encodes values with them.
# A second copy beside the first would break both.
_KEPT = frozenset({"__main__", "cbor2", "cloudpickle", "pinfold", "pinfold_setup", NAME})

# The modules that an interpreter imports before it searches any path of a program.
_started_with = frozenset(
    """
    abc codecs encodings genericpath io os posixpath site stat _abc _codecs _collections_abc _io
    _sitebuiltins
    """.split()
)

# Byte code records the time of its source in seconds (PEP 3147), which hides a change within one.
BYTE_CODE_YOUNGER_NS = 2_000_000_000

_STDLIB = os.path.dirname(os.path.realpath(os.__file__))
_users: list[str] = []
_source: list[str] = []


def started_with(names: Iterable[str]) -> None:
    """Set the names of the modules that the interpreter had imported when its script began.

    In any Python program, they win over modules of the same name on the path.
    """
    global _started_with
    _started_with = frozenset(map(top, names))


class UserLoader(SourceFileLoader):
    """Imports sources that the user may be editing.

    It writes no byte code, and trusts byte code only if that is at least 2 seconds younger than
    the source.
    """

    def get_data(self, path: str) -> bytes:
        if path.endswith(tuple(BYTECODE_SUFFIXES)):
            source, code = os.stat(self.path), os.stat(path)
            if code.st_mtime_ns - source.st_mtime_ns < BYTE_CODE_YOUNGER_NS:
                raise OSError(f"{path} may be of another source")
        return super().get_data(path)

    def set_data(self, path: str, data: object, *, _mode: int = 0o666) -> None:
        pass


def _finder(path: str) -> FileFinder:
    """Path hook (PEP 302) for the user's directories: calls' python_path, the working directory."""
    if not _is_users(path) or not os.path.isdir(path):
        raise ImportError
    return FileFinder(
        path,
        (ExtensionFileLoader, EXTENSION_SUFFIXES),
        (UserLoader, SOURCE_SUFFIXES),
        (SourcelessFileLoader, BYTECODE_SUFFIXES),
    )


def _is_users(path: str) -> bool:
    if "/site-packages" in path or "/dist-packages" in path or is_below(path, _STDLIB):
        return False
    return any(is_below(path, place) for place in (*_users, *_source, working_directory()) if place)


def is_below(path: str, place: str) -> bool:
    """Return whether the path is `place` or lies below it."""
    return path.startswith(place) and path[len(place) : len(place) + 1] in ("", "/")


def use_source(directory: str) -> None:
    """Append the directory of the source's file to `sys.path`, for processes that a call starts."""
    _source[:] = [directory]
    sys.path.append(directory)


def installed() -> frozenset[str]:
    """Return the directories on `sys.path` without those that calls write to: the working
    directory and that of the source."""
    return frozenset(sys.path).difference(("", working_directory()), _source)


def leave_no_byte_code() -> None:
    """Import modules in the user's directories through `UserLoader` from now on."""
    if _finder not in sys.path_hooks:
        sys.path_hooks.insert(0, _finder)
        sys.path_importer_cache.clear()


def resolved(python_path: Sequence[str]) -> list[str]:
    """Return the entries without duplicates and symbolic links."""
    return list(dict.fromkeys(map(os.path.realpath, python_path)))


def prepend(python_path: Sequence[str], then: Sequence[str] = ()) -> list[str]:
    """Put `python_path`, then `then`, then the working directory at the front of `sys.path`.

    Return the entries of `python_path`, resolved and without duplicates.
    """
    entries = resolved(python_path)
    _users[:] = [*entries, *then]
    cwd = working_directory()
    # '' is the current working directory, also after the program changes it, as in `python -c`.
    first = [*entries, *(entry for entry in then if entry not in entries), ""]
    sys.path[:] = first + [entry for entry in sys.path if entry not in first and entry != cwd]
    # The cached listings may be older than the files that the caller wrote for this call.
    for entry in (*entries, cwd):
        sys.path_importer_cache.pop(entry, None)
    return entries


def use_script(directory: str, entries: Sequence[str], then: Sequence[str] = ()) -> None:
    """Make `sys.path` that of a script in `directory`: the directory, `entries`, `then`."""
    _users[:] = [*entries, *then]
    first = list(dict.fromkeys((directory, *entries, *then)))
    not_its = {"", *first, *_source}
    sys.path[:] = first + [entry for entry in sys.path if entry not in not_its]
    for entry in (*entries, directory):
        sys.path_importer_cache.pop(entry, None)


def keep_importable(directory: str) -> None:
    """Put the directory behind the working directory, which has taken its place."""
    _users.append(directory)
    sys.path.insert(sys.path.index("") + 1, directory)
    sys.path_importer_cache.pop(directory, None)


def put_first(entries: Sequence[str]) -> Sequence[str]:
    """In a template, put these entries at the front of `sys.path`. Return them."""
    _users[:] = entries
    sys.path[:] = [*entries, *(entry for entry in sys.path if entry not in entries)]
    return entries


def working_directory() -> str:
    """Return the path of the working directory; '' if that was removed."""
    try:
        return os.getcwd()
    except OSError:
        return ""


class Shadows:
    """The shadows on a path, a call's or the pool's: modules with names of the standard library.

    As a context, it puts back the library's own modules, which the runtime imports by these names.
    The pool's shadows lie `beneath` a call's.
    """

    def __init__(
        self, names: Collection[str], entries: Collection[str], beneath: Shadows | None = None
    ) -> None:
        self._names = names
        self._entries = entries
        self._beneath = beneath
        self._own = {name: sys.modules.pop(name) for name in self._loaded()}
        self._calls: dict[str, ModuleType] = {}
        self._preloaded: dict[str, ModuleType] | None = None

    def __enter__(self) -> None:
        if self._names:
            self._calls = {name: sys.modules.pop(name) for name in self._loaded()}
            sys.modules.update(self._own)
            sys.meta_path.insert(0, self)
        if self._beneath is not None:
            self._beneath.__enter__()

    def __exit__(self, *_: object) -> None:
        if self._beneath is not None:
            self._beneath.__exit__()
        if self._names:
            if self in sys.meta_path:
                sys.meta_path.remove(self)
            self._own = {name: sys.modules.pop(name) for name in self._loaded()}
            sys.modules.update(self._calls)

    def begin(self) -> None:
        """Begin a call: put the modules of the pool's path in place, as they were preloaded."""
        if not self._names:
            return
        if self._preloaded is None:
            self._preloaded = self._calls
        self._calls = dict(self._preloaded)
        self.__exit__()

    def end(self) -> None:
        """End a call, wherever it stopped: put the library's own modules in place."""
        if self._names and self not in sys.meta_path:
            self.__enter__()

    def find_spec(self, name: str, path: object = None, _: object = None) -> ModuleSpec | None:
        """As a finder on `sys.meta_path`, pass over the call's and the pool's entries."""
        if path is not None or name not in self._names:
            return None
        passed = {"", *self._entries, *_users}
        return PathFinder.find_spec(name, [p for p in sys.path if p not in passed])

    def _loaded(self) -> list[str]:
        names = self._names
        return [name for name in sys.modules if top(name) in names] if names else []


NO_SHADOWS = Shadows((), ())


def drop_shadowed(entries: Sequence[str], beneath: Shadows = NO_SHADOWS) -> Shadows:
    """Remove modules from `sys.modules`, with their submodules, that a new process would import
    from `entries` but that came from elsewhere. Return the shadows among them, over `beneath`."""
    loaded = {top(name) for name in sys.modules}
    present = {top(name) for entry in entries for name in _listing(entry)} - _KEPT - _started_with
    shadowed = {
        name
        for name in present & (loaded | sys.stdlib_module_names)
        if not is_inside(name) and is_shadowed(name, entries)
    }
    if not shadowed:
        return beneath
    for name in [name for name in sys.modules if top(name) in shadowed]:
        if top(name) not in sys.stdlib_module_names:
            del sys.modules[name]
    names = shadowed & sys.stdlib_module_names
    return Shadows(names, entries, beneath) if names else beneath


def is_inside(name: str) -> bool:
    """Return whether the module is built in or frozen, so that no path is searched for it."""
    return name in sys.builtin_module_names or _imp.is_frozen(name)


def tidy(
    before: dict[str, ModuleType], installed: Collection[str]
) -> tuple[int, dict[str, ModuleType]]:
    """Put `sys.modules` back, but keep installed modules that the call imported.

    They stay so that the next call finds them imported. `before` is a copy of `sys.modules` from
    before the call; modules may stay if they are from the directories `installed`. Return how many
    stayed, and the dropped ones.
    """
    modules = sys.modules
    new = [name for name in modules if name not in before]
    staying = {
        name
        for name in {top(name) for name in new} - before.keys()
        if is_installed(name, installed) or is_part(name, installed)
    }
    dropped = {
        name: modules[name]
        for name in new
        if top(name) not in staying
        and not (
            modules.get(top(name)) is before.get(top(name), modules) and is_piece(name, installed)
        )
    }
    for name in dropped:
        del modules[name]
    for name, module in before.items():
        if modules.get(name) is not module:
            modules[name] = module
    return len(new) - len(dropped), dropped


def is_piece(name: str, installed: Collection[str]) -> bool:
    """Return whether a new submodule of an old package is what its name says, and installed."""
    module = sys.modules.get(name)
    spec = getattr(module, "__spec__", None)
    if spec is None:  # C code makes some modules without a spec
        parent, _, last = name.rpartition(".")
        return getattr(sys.modules.get(parent), last, sys) is module
    if getattr(spec, "name", None) != name:
        return False
    if spec.origin in ("built-in", "frozen"):
        return is_inside(name)
    places = spec.submodule_search_locations if spec.origin is None else [spec.origin]
    return bool(places) and all(any(is_below(p, entry) for entry in installed) for p in places)


def is_lasting(module: object) -> bool:
    """Return whether the module is a C extension; few of those can be imported a second time."""
    spec = getattr(module, "__spec__", None)
    return isinstance(getattr(spec, "loader", None), ExtensionFileLoader)


def top(name: str) -> str:
    return name.partition(".")[0]


def _listing(entry: str) -> list[str]:
    try:
        return os.listdir(entry)
    except OSError:  # a zip archive, or nothing
        return []


def is_shadowed(name: str, entries: Sequence[str]) -> bool:
    """Return whether a new process would import the module from `entries`, and not this one's."""
    found = PathFinder.find_spec(name, list(entries))
    # Any import prefers a module further down the path to a plain directory.
    if found is None or found.loader is None:
        return False
    module = sys.modules.get(name)
    return module is None or found.origin != getattr(module, "__file__", None)


def is_installed(name: str, installed: Collection[str]) -> bool:
    """Return whether the module is from one of these directories, or part of the interpreter."""
    module = sys.modules.get(name)
    spec = getattr(module, "__spec__", None)
    if name == NAME or getattr(spec, "name", None) != name:
        return False
    assert spec is not None
    if spec.origin in ("built-in", "frozen"):
        return is_inside(name)
    locations = spec.submodule_search_locations
    if locations is not None:
        places = list(locations)
    else:
        places = [spec.origin] if spec.has_location else []
    return bool(places) and all(os.path.dirname(place) in installed for place in places)


def is_part(name: str, installed: Collection[str]) -> bool:
    """Return whether this is a C module inside an installed package.

    Some packages import such modules by a top-level name, such as scipy's ``_cyutility``.
    """
    module = sys.modules.get(name)
    if not is_lasting(module):
        return False
    directory = os.path.dirname(str(getattr(module, "__file__", "")))
    while os.path.exists(f"{directory}/__init__.py"):
        directory = os.path.dirname(directory)
        if directory in installed:
            return True
    return False

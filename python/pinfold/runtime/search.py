"""Where the candidate's imports look, and what they leave in ``sys.modules``."""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Sequence
from importlib.machinery import ExtensionFileLoader, PathFinder
from types import ModuleType

from pinfold.runtime.program import NAME

# Never dropped for a module of the same name on a call's path: what the interpreter and this
# runtime run on. A second copy of them beside the first would break both.
_OURS = frozenset({"__main__", "cbor2", "cloudpickle", "pinfold", "pinfold_setup"})
_KEPT = _OURS | sys.stdlib_module_names | frozenset(sys.builtin_module_names)


def prepend(python_path: Sequence[str], then: Sequence[str] = ()) -> list[str]:
    """Make `sys.path` the entries of `python_path`, resolved and once each, then those of `then`,
    then the working directory, then what it was. Returns the entries of `python_path`."""
    entries = list(dict.fromkeys(map(os.path.realpath, python_path)))
    cwd = working_directory()
    # '' is the working directory wherever the candidate changes it to, as in `python -c`.
    first = [*entries, *(entry for entry in then if entry not in entries), ""]
    sys.path[:] = first + [entry for entry in sys.path if entry not in first and entry != cwd]
    # Their listings may be older than the files that the caller wrote for this call.
    for entry in (*entries, cwd):
        sys.path_importer_cache.pop(entry, None)
    return entries


def put_first(entries: Sequence[str]) -> Sequence[str]:
    """Make `sys.path` begin with these, in a template that has no call yet. Returns them."""
    sys.path[:] = [*entries, *(entry for entry in sys.path if entry not in entries)]
    return entries


def working_directory() -> str:
    """Its path; '' if it was removed."""
    try:
        return os.getcwd()
    except OSError:
        return ""


def drop_shadowed(entries: Sequence[str]) -> None:
    """Take those modules out of `sys.modules` that a new process would find in `entries`, but that
    came from elsewhere, with their submodules."""
    loaded = {top(name) for name in sys.modules} - _KEPT
    present = {top(name) for entry in entries for name in _listing(entry)}
    shadowed = {name for name in loaded & present if is_shadowed(name, entries)}
    if shadowed:
        for name in [name for name in sys.modules if top(name) in shadowed]:
            del sys.modules[name]


def tidy(
    before: dict[str, ModuleType], installed: Collection[str]
) -> tuple[int, dict[str, ModuleType]]:
    """Make `sys.modules` what it was before the call, but for the installed modules that the call
    imported: they stay, so that the next call finds them warm.

    `before` is a copy of `sys.modules`, `installed` are the directories that modules may stay from.
    Returns how many stayed, and those that were dropped.
    """
    modules = sys.modules
    new = [name for name in modules if name not in before]
    staying = {
        name
        for name in map(top, new)
        if name in before or is_installed(name, installed) or is_part(name, installed)
    }
    dropped = {name: modules.pop(name) for name in new if top(name) not in staying}
    for name, module in before.items():
        if modules.get(name) is not module:
            modules[name] = module
    return len(new) - len(dropped), dropped


def is_lasting(module: object) -> bool:
    """Whether it is a C extension: few of those can be imported a second time."""
    spec = getattr(module, "__spec__", None)
    return isinstance(getattr(spec, "loader", None), ExtensionFileLoader)


def top(name: str) -> str:
    return name.partition(".")[0]


def _listing(entry: str) -> list[str]:
    try:
        return os.listdir(entry)
    except OSError:  # a zip archive, or nothing at all
        return []


def is_shadowed(name: str, entries: Sequence[str]) -> bool:
    """Whether a new process would find the module in `entries`, and this one has another."""
    found = PathFinder.find_spec(name, list(entries))
    # A plain directory gives way to a module further down the path, as in any import.
    if found is None or found.loader is None:
        return False
    module = sys.modules.get(name)
    return module is None or found.origin != getattr(module, "__file__", None)


def is_installed(name: str, installed: Collection[str]) -> bool:
    """Whether the module came from one of these directories, or with the interpreter itself."""
    module = sys.modules.get(name)
    spec = getattr(module, "__spec__", None)
    if name == NAME or spec is None:
        return False
    if spec.origin in ("built-in", "frozen"):
        return True
    homes = spec.submodule_search_locations
    places = list(homes) if homes is not None else [spec.origin] if spec.has_location else []
    return bool(places) and all(os.path.dirname(place) in installed for place in places)


def is_part(name: str, installed: Collection[str]) -> bool:
    """Whether it is a C module that lies in an installed package. Some of those import others by a
    name of their own: scipy's ``_cyutility``."""
    module = sys.modules.get(name)
    if not is_lasting(module):
        return False
    directory = os.path.dirname(str(getattr(module, "__file__", "")))
    while os.path.exists(f"{directory}/__init__.py"):
        directory = os.path.dirname(directory)
        if directory in installed:
            return True
    return False

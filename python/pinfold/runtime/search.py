"""Where the candidate's imports look: ``sys.path`` for one call, and what stands in its way."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib.machinery import PathFinder

# Never dropped for a module of the same name on a call's path: what the interpreter and this
# runtime run on. A second copy of them beside the first would break both.
_OURS = frozenset({"__main__", "cbor2", "cloudpickle", "pinfold", "pinfold_setup"})
_KEPT = _OURS | sys.stdlib_module_names | frozenset(sys.builtin_module_names)


def prepend(python_path: Sequence[str]) -> list[str]:
    """Make `sys.path` the entries of `python_path`, resolved and once each, then the working
    directory, then what it was. Returns the resolved entries."""
    entries = list(dict.fromkeys(os.path.realpath(entry) for entry in python_path))
    cwd = os.getcwd()
    # '' is the working directory wherever the candidate changes it to, as in `python -c`.
    first = [*entries, ""]
    sys.path[:] = first + [entry for entry in sys.path if entry not in first and entry != cwd]
    # Their listings may be older than the files that the caller wrote for this call.
    for entry in (*entries, cwd):
        sys.path_importer_cache.pop(entry, None)
    return entries


def drop_shadowed(entries: Sequence[str]) -> None:
    """Take those modules out of `sys.modules` that a new process would find in `entries`, but
    that came from elsewhere, with their submodules."""
    loaded = {name.partition(".")[0] for name in sys.modules} - _KEPT
    present = {name.partition(".")[0] for entry in entries for name in _listing(entry)}
    shadowed = {name for name in loaded & present if _is_shadowed(name, entries)}
    if shadowed:
        for name in [name for name in sys.modules if name.partition(".")[0] in shadowed]:
            del sys.modules[name]


def _listing(entry: str) -> list[str]:
    try:
        return os.listdir(entry)
    except OSError:  # a zip archive, or nothing at all
        return []


def _is_shadowed(name: str, entries: Sequence[str]) -> bool:
    found = PathFinder.find_spec(name, list(entries))
    # A plain directory gives way to a module further down the path, as in any import.
    if found is None or found.loader is None:
        return False
    module = sys.modules.get(name)
    return module is None or found.origin != getattr(module, "__file__", None)

"""What calls import, told to a pool that learns what to preload, and what it has learned."""

from __future__ import annotations

import sys
from collections.abc import Collection

from pinfold._worker.code import search
from pinfold._worker.ext import _runtime


class Imports:
    """The imports of the calls of one worker."""

    def __init__(self) -> None:
        self._installed = search.installed()

    def note(self, entries: Collection[str]) -> bytes:
        """What was imported since the last time, a line for each module: its name and the
        nanoseconds that it took. Only installed modules are told of: none that came from `entries`,
        which the call put on `sys.path`, from the working directory, or out of the call itself."""
        taken = _runtime.take_imports()
        if taken is None:
            return b""
        places = self._installed.difference(entries)
        lines = [
            f"{name} {took}\n".encode()
            for name, took in taken
            if search.is_installed(search.top(name), places)
        ]
        while sum(map(len, lines)) > _runtime.NOTE_MAX:
            lines.pop()
        return b"".join(lines)


def load(name: str) -> None:
    """Import what was learned. The name is the word of a candidate, so that nothing is looked for
    where one may write: a module that the working directory has is an ImportError."""
    before = list(sys.path)
    places = search.installed()
    sys.path[:] = [entry for entry in before if entry in places]
    try:
        __import__(name)
    finally:
        sys.path[:] = before
    top = search.top(name)
    if search.is_shadowed(top, [""]) or not search.is_installed(top, places):
        raise ImportError(f"{top} is not an installed module")

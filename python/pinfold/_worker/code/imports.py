# SPDX-License-Identifier: Apache-2.0
"""Learned modules: report the imports of calls to the pool, and import what it has learned."""

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
        """Return the imports since the last note, a line for each module: name and nanoseconds.

        Reports installed modules only. None is from `entries` (the call's own on `sys.path`), from
        the working directory or from the call itself.
        """
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
    """Import a learned module.

    A program chose the name, so do not search where a program may write. Raises ImportError if the
    working directory has such a module.
    """
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

# SPDX-License-Identifier: Apache-2.0
"""Find the threads of a template and the libraries that started them.

A template may fork only with one thread, or with threads that are known to be safe.
"""

from __future__ import annotations

import os
import struct
import sys
import time
from bisect import bisect_right
from collections.abc import Collection

# The kernel lists a joined thread until it has removed it; wait so long for that.
LINGERS_S = 1.0

# Libraries that make new thread pools in the forked process, and whose at-fork handlers make sure
# that none of their locks is held at the fork.
HANDLE_FORKS = frozenset({"libarrow"})

# Mappings whose code is on every thread's stack, so that they do not identify a library.
_COMMON = ("libc.so", "libc-", "libpthread", "libstdc++", "libgcc_s", "libm.so", "ld-linux", "[")
_STACK_BYTES = 1 << 14
PYTHON = "(Python)"

# Environment variables that keep libraries from starting threads; set only while a template loads.
SWITCHES = {"JE_ARROW_MALLOC_CONF": "background_thread:false"}


class Threads:
    """The threads of this process, and the loading step after which each was first seen."""

    def __init__(self, allowed: Collection[str] = ()) -> None:
        """Allow the threads that are named in `allowed`, by their name (`comm` in proc(5)) or by
        the name of their library."""
        self._allowed = HANDLE_FORKS.union(allowed)
        # In a PID namespace, /proc may show another namespace's pids, so getpid() does not do.
        self._own = os.readlink("/proc/self")
        self._since: dict[str, str] = {self._own: ""}

    def note(self, since: str) -> None:
        for thread in os.listdir("/proc/self/task"):
            self._since.setdefault(thread, since)

    def any(self) -> bool:
        return len(self._since) > 1

    def unwanted(self) -> str | None:
        """Return a sentence about a thread that is not allowed, or None.

        Waits up to `LINGERS_S` for threads that are ending.
        """
        patience = time.monotonic() + LINGERS_S
        while left := self._unwanted():
            if time.monotonic() > patience:
                thread, names = left[0]
                name, library = names
                shown = repr(name) + (f" of {library}" if library else "")
                since = self._since.get(thread, "something")
                return f"{since} started a thread that is still there: {shown}"
            time.sleep(0.001)
        return None

    def _unwanted(self) -> list[tuple[str, tuple[str, str]]]:
        others = [thread for thread in os.listdir("/proc/self/task") if thread != self._own]
        if not others:
            return []
        code = _code()
        named = [(thread, (name_of(thread), library_of(thread, code))) for thread in others]
        return [(thread, names) for thread, names in named if self._allowed.isdisjoint(names)]


def name_of(thread: str) -> str:
    try:
        with open(f"/proc/self/task/{thread}/comm") as file:
            return file.read().strip()
    except OSError:
        return "?"


def library_of(thread: str, code: list[tuple[int, int, str]]) -> str:
    """Return the library that started a sleeping thread, without its name's first dot and what
    follows; "" if that is unknown, or Python.

    The outermost return address on its stack shows it. Words further in may be left over from
    functions that have returned.
    """
    try:
        with open(f"/proc/self/task/{thread}/syscall") as file:
            fields = file.read().split()
        stack = int(fields[-2], 16)
        with open("/proc/self/mem", "rb", buffering=0) as memory:
            memory.seek(stack)
            data = memory.read(_STACK_BYTES)
    except (OSError, OverflowError, ValueError, IndexError):  # running, ended, or files missing
        return ""
    found = ""
    for (word,) in struct.iter_unpack("@P", data[: len(data) & ~7]):
        at = bisect_right(code, (word, sys.maxsize, "")) - 1
        if at >= 0 and code[at][0] <= word < code[at][1]:
            found = code[at][2]
    return "" if found == PYTHON else found


def _code() -> list[tuple[int, int, str]]:
    """Return the mappings of code: first address, end address (exclusive), name of the library."""
    python = os.path.basename(os.path.realpath(sys.executable))
    found = []
    with open("/proc/self/maps", errors="surrogateescape") as file:
        for line in file:
            fields = line.split(None, 5)
            name = os.path.basename(fields[5].strip()) if len(fields) > 5 else ""
            if "x" not in fields[1] or not name or name.startswith(_COMMON):
                continue
            first, _, end = fields[0].partition("-")
            is_python = name == python or name.startswith("libpython")
            name = PYTHON if is_python else name.partition(".")[0]
            found.append((int(first, 16), int(end, 16), name))
    return sorted(found)

"""Which threads a template has, and whose they are. It is forked with one."""

from __future__ import annotations

import os
import struct
import sys
import time
from bisect import bisect_right
from collections.abc import Collection

# A thread that was joined is listed until the kernel has done with it.
LINGERS_S = 1.0

# Libraries that make their pools of threads anew in a fork, and have handlers that see to it that
# no lock of theirs is held when it is made.
HANDLE_FORKS = frozenset({"libarrow"})

# They belong to every thread, and say nothing.
_COMMON = ("libc.so", "libc-", "libpthread", "libstdc++", "libgcc_s", "libm.so", "ld-linux", "[")
_STACK_BYTES = 1 << 14
PYTHON = "(Python)"

# Set while a template loads, and only then: with them these libraries start no threads.
SWITCHES = {"JE_ARROW_MALLOC_CONF": "background_thread:false"}


class Threads:
    """The threads of this process, and since when they are there."""

    def __init__(self, allowed: Collection[str] = ()) -> None:
        """`allowed` are names of threads, as proc(5) has them in `comm`, and of libraries: whose
        they are may stay."""
        self._allowed = HANDLE_FORKS.union(allowed)
        # Not getpid(): in a namespace of pids, /proc may be that of another one.
        self._own = os.readlink("/proc/self")
        self._since: dict[str, str] = {self._own: ""}

    def note(self, since: str) -> None:
        for thread in os.listdir("/proc/self/task"):
            self._since.setdefault(thread, since)

    def any(self) -> bool:
        return len(self._since) > 1

    def unwanted(self) -> str | None:
        """A sentence about a thread that is there and is not allowed; it waits for those that end.
        None: there is none."""
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
    """The library whose code a sleeping thread stands in, without what is behind its first dot;
    "" if that cannot be told, or is Python. Its stack has the addresses to which it will return."""
    try:
        with open(f"/proc/self/task/{thread}/syscall") as file:
            fields = file.read().split()
        stack = int(fields[-2], 16)
        with open("/proc/self/mem", "rb", buffering=0) as memory:
            memory.seek(stack)
            data = memory.read(_STACK_BYTES)
    except (OSError, OverflowError, ValueError, IndexError):  # it runs, it ended, no such files
        return ""
    found = ""
    for (word,) in struct.iter_unpack("@P", data[: len(data) & ~7]):
        at = bisect_right(code, (word, sys.maxsize, "")) - 1
        if at < 0 or not code[at][0] <= word < code[at][1]:
            continue
        if code[at][2] == PYTHON:  # which called the library
            return ""
        found = found or code[at][2]
    return found


def _code() -> list[tuple[int, int, str]]:
    """Where code is mapped: the first address, that behind the last, the name of the library."""
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

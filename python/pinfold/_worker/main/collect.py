# SPDX-License-Identifier: Apache-2.0
"""Bringing back the files of a call that has ended.

Everything that the call started is dead by now, so its files change no more, unless somebody else
writes to them. The directory is walked once. No link is followed, so no pattern leads out of it.
"""

from __future__ import annotations

import fnmatch
import os
import re
import stat
import time
from collections.abc import Callable, Iterator, Sequence

from pinfold._wire import Index, Segments, pack_index
from pinfold._worker.ext import _runtime
from pinfold._worker.ext._runtime import PAYLOAD_ALIGN

ENTRIES_MOST = 200_000  # of the directory that are looked at
FILES_MOST = 10_000  # that come back
REFUSED_MOST = 1000  # that are listed
SECONDS_MOST = 1.5  # after STOP, before the pool's patience ends

REST = "..."
"""The name under which `Index.refused` counts what is not listed by name."""

_MAPPED = 1 << 20  # bytes of a file that is mapped instead of read
_FOR_INDEX = 4 << 10  # bytes of the index besides names and reasons
_REFUSALS_MOST = 1 << 20  # bytes of names and reasons
_SEGMENT = PAYLOAD_ALIGN + 8  # bytes that a segment takes besides its content, at most
_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC

_KINDS = {
    stat.S_IFLNK: "it is a link",
    stat.S_IFIFO: "it is a FIFO",
    stat.S_IFSOCK: "it is a socket",
    stat.S_IFCHR: "it is a device",
    stat.S_IFBLK: "it is a device",
}


class _Refused(Exception):
    """A file does not come back; the text says why."""


def collect(patterns: Sequence[str], most: int, *, hurry: bool) -> Segments:
    """Return the contents of the files below the working directory that match, and the index.

    `patterns` are as for `glob.glob` with ``recursive=True``. All of it takes at most `most` bytes,
    except an index without entries; 0: any number. `hurry`: the pool waits for a bounded time only.
    """
    until = time.monotonic() + SECONDS_MOST if hurry else float("inf")
    left = most - _FOR_INDEX if most else 1 << 62
    wanted = list(map(Pattern, patterns))
    files: list[str] = []
    contents: Segments = []
    refused = _Refusals(min(left // 16, _REFUSALS_MOST))
    left -= refused.room
    for path, entry in _walk(refused, until):
        if not any(pattern.matches(path) for pattern in wanted):
            continue
        try:
            if len(files) == FILES_MOST:
                raise _Refused(f"more than {FILES_MOST} files match")
            content = _content(path, entry, left - _size_of(path) - _SEGMENT, until)
        except _Refused as reason:
            refused.add(path, str(reason))
        except OSError as error:
            refused.add(path, f"it cannot be read: {error.strerror}")
        else:
            files.append(path)
            contents.append(content)
            left -= _size_of(path) + _SEGMENT + len(content)
    return [*contents, *pack_index(Index(files, refused.listed()))]


class _Refusals:
    """What does not come back, and why."""

    def __init__(self, room: int) -> None:
        """`room` is the number of bytes for names and reasons."""
        self.room = room
        self._named: dict[str, str] = {}
        self._more = 0
        self._ended = ""

    def add(self, name: str, reason: str) -> None:
        size = _size_of(name) + _size_of(reason)
        if len(self._named) < REFUSED_MOST and size <= self.room:
            self._named[name] = reason
            self.room -= size
        else:
            self._more += 1

    def end(self, reason: str) -> None:
        """Note that the rest of the directory was not looked at."""
        self._ended = reason

    def listed(self) -> dict[str, str]:
        rest = [f"{self._more} more were refused"] if self._more else []
        rest += [self._ended] if self._ended else []
        return self._named | ({REST: "; ".join(rest)} if rest else {})


def _size_of(text: str) -> int:
    """Return at least what the text takes in the index (`pack_index`)."""
    return len(text.encode("utf-8", "backslashreplace")) + 16


class Pattern:
    """A pattern of paths, as `glob` understands it: ``*`` and the like match no slash and no first
    dot; ``**`` matches any directories without one, and at the end, all that is below them."""

    def __init__(self, text: str) -> None:
        parts = text.split("/")
        if parts[-1] == "**":
            parts.append("*")
        self._parts = [None if part == "**" else _match_of(part) for part in parts]

    def matches(self, path: str) -> bool:
        """Return whether the whole path matches, in time linear in its parts."""
        reached = self._skipping({0})  # how many parts of the pattern the path so far may stand for
        for name in path.split("/"):
            following = set()
            for at in reached:
                match = self._parts[at] if at < len(self._parts) else _nothing
                if match is None:
                    if not name.startswith("."):
                        following.add(at)
                elif match(name):
                    following.add(at + 1)
            reached = self._skipping(following)
        return len(self._parts) in reached

    def _skipping(self, reached: set[int]) -> set[int]:
        """Add what is reached by a ``**`` that stands for no directory."""
        for at in sorted(reached):
            while at < len(self._parts) and self._parts[at] is None:
                at += 1
                reached.add(at)
        return reached


def _nothing(name: str) -> bool:
    return False


def _match_of(part: str) -> Callable[[str], object]:
    if not any(each in part for each in "*?["):
        return part.__eq__
    match = re.compile(fnmatch.translate(part)).match
    if part.startswith("."):
        return match
    return lambda name: not name.startswith(".") and match(name)


def _walk(refused: _Refusals, until: float) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """Yield everything below the working directory that is no directory, sorted by path."""
    left = ENTRIES_MOST
    pending = [""]
    while pending:
        above = pending.pop()
        below: list[str] = []
        try:
            with os.scandir(above or ".") as entries:
                found = []
                for entry in entries:
                    left -= 1
                    if left < 0 or time.monotonic() > until:
                        what = f"{ENTRIES_MOST} entries" if left < 0 else f"{SECONDS_MOST} s"
                        refused.end(f"the directory was looked at for {what}")
                        return
                    found.append(entry)
        except OSError as error:
            refused.add(above or ".", f"it cannot be read: {error.strerror}")
            continue
        for entry in sorted(found, key=lambda each: each.name):
            path = f"{above}/{entry.name}" if above else entry.name
            if entry.is_dir(follow_symlinks=False):
                below.append(path)
            else:
                yield path, entry
        pending += reversed(below)


def _content(path: str, entry: os.DirEntry[str], left: int, until: float) -> bytes | memoryview:
    kind = stat.S_IFMT(entry.stat(follow_symlinks=False).st_mode)
    if kind != stat.S_IFREG:
        raise _Refused(_KINDS.get(kind, "it is no regular file"))
    if time.monotonic() > until:
        raise _Refused(f"the files could not be read within {SECONDS_MOST} s")
    fd = os.open(path, _OPEN)
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            raise _Refused("it is no regular file")
        if status.st_uid != os.geteuid():
            raise _Refused("it is another user's")
        if status.st_size > left:
            raise _Refused(f"it has {status.st_size} bytes, which do not fit within result_bytes")
        if status.st_size >= _MAPPED:
            content: bytes | memoryview = _runtime.map_file(fd, status.st_size)
        else:
            content = os.pread(fd, status.st_size, 0)
        if len(content) != status.st_size or os.fstat(fd).st_size != status.st_size:
            raise _Refused("it changed while it was read")
        return content
    finally:
        os.close(fd)

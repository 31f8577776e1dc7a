"""The file of a call's source: for whoever opens it, and for processes that import it, which are
not forks of the worker.

Each worker has a directory to itself with that file alone, which is on its `sys.path`. To make one
and remove it costs a tenth of a call on a disk, so that directories are passed on: who holds one
has locked it by flock(2), for as long as he lives, and writes the file anew.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

from pinfold.runtime.program import FILE

if TYPE_CHECKING:
    from pinfold.runtime.program import Program

SLOTS = 256
# The lowest that is tried for what is kept open: above what programs open or close by number.
KEPT_AT = 200


class Source:
    """The directory, and the file in it, of one worker's calls."""

    def __init__(self, directory: str, *, kept: bool = False) -> None:
        """There need not be such a directory before there is a call. `kept`: it may not be there
        to be opened any more, when there is one."""
        self.directory = directory
        self.path = f"{directory}/{FILE}"
        self._fd = self._open() if kept else -1
        self._kept = kept
        self._program: Program | None = None
        self._known: tuple[int, ...] = ()

    def put(self, program: Program, *, last: bool) -> None:
        """Make the file hold the source. `last`: no other call comes after this one.

        Where that is not possible there is none: few calls need it.
        """
        try:
            if self._program is program and self._state() == self._known:
                return
            if not self._kept:
                os.makedirs(self.directory, 0o700, exist_ok=True)
            fd = self._fd if self._kept else self._open()
            try:
                self._tidy()
                _write(fd, program.encoded())
            finally:
                if last or not self._kept:
                    os.close(fd)
            if not last:
                self._program, self._known = program, self._state()
        except OSError:
            self._program = None

    def _open(self) -> int:
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        return _high(os.open(self.path, flags, 0o600))

    def _state(self) -> tuple[int, ...]:
        directory, file = os.stat(self.directory), os.lstat(self.path)
        return directory.st_mtime_ns, file.st_ino, file.st_mtime_ns, file.st_size

    def _tidy(self) -> None:
        """Byte code of the source before, and whatever else is beside the file, goes."""
        if len(os.listdir(self.directory)) > 1:
            clear(self.directory)


def slot(directory: str, name: str = "") -> Source | None:
    """A directory in this one: that of the name, which nobody else uses meanwhile, or one that is
    locked until this process ends. None: there can be none."""
    if name:
        try:
            return _made(f"{directory}/{name}")
        except OSError:
            return None
    for name in _names():
        place = f"{directory}/{name}"
        try:
            os.makedirs(place, 0o700, exist_ok=True)
            lock = _high(os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
        except FileNotFoundError:  # somebody removes all of it
            return None
        except OSError:
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return _made(place)
        except OSError:  # another has it; or somebody has made it unusable
            os.close(lock)
    return None


def _made(place: str) -> Source:
    try:
        os.mkdir(place, 0o700)
    except FileExistsError:
        if os.listdir(place) != [FILE]:
            clear(place)
    return Source(place, kept=True)


def _names() -> Iterator[str]:
    """Those of the slots, in an order that differs between processes made one after another."""
    first = os.getpid()
    return (str((first + n) % SLOTS) for n in range(SLOTS))


def _high(fd: int) -> int:
    try:
        return fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, KEPT_AT)
    finally:
        os.close(fd)


def _write(fd: int, data: bytes) -> None:
    at = 0
    while at < len(data):
        at += os.pwrite(fd, data[at:], at)
    os.ftruncate(fd, len(data))


def clear(directory: str) -> None:
    """Remove all but the file itself."""
    import shutil

    for entry in os.scandir(directory):
        if entry.is_dir(follow_symlinks=False):
            shutil.rmtree(entry.path)
        elif entry.name != FILE or not entry.is_file(follow_symlinks=False):
            os.unlink(entry.path)

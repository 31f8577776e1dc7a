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

    def __init__(self, directory: str, *, kept: bool = False, lock: int = -1) -> None:
        """There need not be such a directory before there is a call. `kept`: the file is opened
        now, when it still can be. `lock` is the directory, if it is held by that."""
        self.directory = directory
        self.path = f"{directory}/{FILE}"
        self._fd = self._open() if kept else -1
        self._kept = kept
        self._lock = lock
        self.touched = True
        """Whether a call since may have changed the file, or what is beside it."""
        self._program: Program | None = None
        self._known: tuple[int, ...] = ()

    def put(self, program: Program, *, last: bool) -> None:
        """Make the file hold the source. `last`: no other call comes after this one.

        Where that is not possible there is none: few calls need it.
        """
        try:
            if self._program is program and not (self.touched and self._state() != self._known):
                return
            if not self._kept:
                _make(self.directory)
            elif not self._is_there():
                self._restore()
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

    def _is_there(self) -> bool:
        try:
            return os.path.samestat(os.fstat(self._fd), os.lstat(self.path))
        except FileNotFoundError:
            return False

    def _restore(self) -> None:
        """A call has removed the file, or put something else in its place."""
        _make(self.directory)
        if self._lock >= 0 and not os.path.samestat(os.fstat(self._lock), os.stat(self.directory)):
            lock = _locked(self.directory)
            os.close(self._lock)
            self._lock = lock
        clear(self.directory)
        os.close(self._fd)
        self._fd = self._open()

    def _state(self) -> tuple[int, ...]:
        try:
            directory, file = os.stat(self.directory), os.lstat(self.path)
        except FileNotFoundError:
            return ()
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
            try:
                lock = _locked(place)
            except FileNotFoundError:
                _make(place)
                lock = _locked(place)
        except FileNotFoundError:  # somebody removes all of it
            return None
        except OSError:  # another has it
            continue
        try:
            return _made(place, lock)
        except OSError:  # somebody has made it unusable
            os.close(lock)
    return None


def _make(directory: str) -> None:
    try:
        os.mkdir(directory, 0o700)  # and not the one above: who removed that has removed its lock
    except FileExistsError:
        return


def _locked(place: str) -> int:
    directory = _high(os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
    try:
        fcntl.flock(directory, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(directory)
        raise
    return directory


def _made(place: str, lock: int = -1) -> Source:
    if not lock >= 0:
        _make(place)
    if os.listdir(place) not in ([], [FILE]):
        clear(place)
    return Source(place, kept=True, lock=lock)


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
    for entry in os.scandir(directory):
        if entry.is_dir(follow_symlinks=False):
            import shutil

            shutil.rmtree(entry.path)
        elif entry.name != FILE or not entry.is_file(follow_symlinks=False):
            os.unlink(entry.path)

"""The file of a call's source: for whoever opens it, and for processes that import it, which are
not forks of the worker.

Each worker has a directory to itself with that file alone, which is on its `sys.path`. To make one
and remove it costs a tenth of a call on a disk, so that directories are passed on: who holds one
has locked it by flock(2), for as long as he lives, and writes the file anew.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from pinfold._worker.code.program import FILE
from pinfold._worker.ext import _runtime

if TYPE_CHECKING:
    from pinfold._worker.code.program import Program


class Source:
    """The directory, and the file in it, of one worker's calls."""

    def __init__(self, directory: str, lock: int = -1, file: int = -1) -> None:
        """The file is open, and the directory locked, if others may want it; or there is neither
        before there is a call. Owns the descriptors."""
        self.directory = directory
        self.path = f"{directory}/{FILE}"
        self.touched = True
        """Whether a call since may have changed the file, or what is beside it."""
        self._lock = lock
        self._file = file
        self._shared = file >= 0
        self._locked = lock >= 0
        self._program: Program | None = None
        self._known: tuple[int, ...] = ()

    def put(self, program: Program, *, last: bool) -> None:
        """Make the file hold the source. `last`: no other call comes after this one.

        Where that is not possible there is none: few calls need it.
        """
        try:
            if last and self._file >= 0:
                file, self._file = self._file, -1
                try:
                    _runtime.source_write(file, program.encoded())
                finally:
                    os.close(file)
            elif last:
                _runtime.source_make(self.directory, program.encoded())
            elif self._program is not program or (self.touched and self._state() != self._known):
                self._write(program)
        except (OSError, UnicodeError):  # text that no file can hold does not compile either
            self._program = None

    def close(self) -> None:
        """Let another have the directory."""
        for fd in (self._lock, self._file):
            if fd >= 0:
                os.close(fd)
        self._file = self._lock = -1

    def take_again(self) -> None:
        """A call has put something beside the file, or in its place, or has removed it all."""
        self.close()
        above, name = os.path.split(self.directory)
        taken = _runtime.source_slot(above, name, self._locked)
        if taken is None:
            raise OSError(f"{self.directory} is another's")
        _, self._lock, self._file = taken

    def _write(self, program: Program) -> None:
        if not self._shared:
            _runtime.source_make(self.directory, program.encoded())
        else:
            if self._file < 0 or (self._known and self._state() != self._known):
                self.take_again()
            _runtime.source_write(self._file, program.encoded())
        self._program, self._known = program, self._state()

    def _state(self) -> tuple[int, ...]:
        try:
            directory, file = os.stat(self.directory), os.lstat(self.path)
        except OSError:
            return ()
        return (
            *(directory.st_ino, directory.st_mtime_ns),
            *(file.st_ino, file.st_ctime_ns, file.st_size),
        )


def slot(sources: str, name: str = "") -> Source | None:
    """One in this directory: that of the name, or one that nobody holds. None: there is none."""
    taken = _runtime.source_slot(sources, name, not name)
    if taken is None:
        return None
    name, lock, file = taken
    return Source(f"{sources}/{name}", lock, file)

# SPDX-License-Identifier: Apache-2.0
"""The file of a call's source, for code that opens it and processes that import it without a fork.

Each worker has a directory on its `sys.path` with that file alone. Making and removing one costs a
tenth of a call on a disk, so workers pass directories on. A worker locks its directory by flock(2)
for as long as the worker lives, and overwrites the file.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from pinfold._worker.code.program import FILE, SCRIPT
from pinfold._worker.ext import _runtime

if TYPE_CHECKING:
    from pinfold._worker.code.program import Program


class Source:
    """The directory, and the file in it, of one worker's calls."""

    def __init__(self, directory: str, lock: int = -1, file: int = -1) -> None:
        """Take ownership of the descriptors `lock` (of the locked directory) and `file`.

        `lock` is -1 if no other worker may take the directory; `file` is -1 if `put` makes both.
        """
        self.directory = directory
        self.path = f"{directory}/{FILE}"
        self.touched = True
        """Whether a call may have changed the file or its directory since it was written."""
        self._lock = lock
        self._file = file
        self._shared = file >= 0
        self._locked = lock >= 0
        self._program: Program | None = None
        self._known: tuple[int, ...] = ()

    def put(self, program: Program, *, last: bool) -> None:
        """Write the source to the file. `last`: this worker runs no other call.

        If that fails, the call runs without the file, which few calls need.
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

    def put_script(self, program: Program, *, last: bool) -> None:
        """Write the source to a file named as a script, alone in the directory.

        `clear` gives it its name back. Raises OSError.
        """
        if not last and (self._file < 0 or (self._known and self._state() != self._known)):
            self.take_again()
        if self._lock >= 0:  # the program may run another in its place, and has the directory still
            os.set_inheritable(self._lock, True)
        os.rename(self.path, f"{self.directory}/{SCRIPT}")
        self._program, self._known = None, ()
        _runtime.source_write(self._file, program.content())
        if last:
            file, self._file = self._file, -1
            os.close(file)

    def clear(self) -> None:
        """Remove what a call left in the directory. Raises OSError."""
        self._program, self._known = None, ()
        self.take_again()

    def close(self) -> None:
        """Close the descriptors, so that another worker may take the directory."""
        for fd in (self._lock, self._file):
            if fd >= 0:
                os.close(fd)
        self._file = self._lock = -1

    def take_again(self) -> None:
        """Open the directory and the file anew, after a call changed or removed them.

        Raises OSError if another worker has taken the directory.
        """
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
    """Take the directory `name` below `sources`; without a name, any that no worker has locked.

    Return None if there is none.
    """
    taken = _runtime.source_slot(sources, name, not name)
    if taken is None:
        return None
    name, lock, file = taken
    return Source(f"{sources}/{name}", lock, file)

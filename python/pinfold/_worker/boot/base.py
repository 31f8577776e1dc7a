"""A template's own directory: what its workers write.

A *base* is a directory in the spill directory, made by one template and locked by it for as long as
it lives: ``sources`` in it has the files of calls' sources (`source`); with a box, ``scratch``
holds what calls write, ``trash`` what is left of that, ``root`` is where a view of the file system
is built. Spills of boxes are memfds: no box has a directory for them.
"""

from __future__ import annotations

import fcntl
import os

from pinfold._worker.ext import _runtime


def make_base(spill_dir: str) -> tuple[str, int]:
    """Make a base, and clear away those that nobody holds any more. Returns it and its lock."""
    _runtime.clear_bases(spill_dir)
    while True:
        base = f"{spill_dir}/.pinfold-box-{os.urandom(6).hex()}"  # lib/process/scratch.h
        os.mkdir(base, 0o700)
        try:
            lock = os.open(base, os.O_RDONLY | os.O_DIRECTORY)
        except FileNotFoundError:  # another has cleared it away: it was not held yet
            continue
        fcntl.flock(lock, fcntl.LOCK_EX)
        if os.fstat(lock).st_nlink > 0:
            break
        os.close(lock)
    for name in ("sources", "scratch", "trash", "root"):
        os.mkdir(f"{base}/{name}", 0o700)
    return base, lock

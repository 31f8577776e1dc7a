# SPDX-License-Identifier: Apache-2.0
"""The base directory of a template, which holds the files that its workers write.

It is a directory in the spill directory. One template makes it and locks it for as long as the
template lives. ``sources`` in it has the files of calls' sources (`code.source`). With a box,
``scratch`` holds the scratch directories, ``trash`` their remains, and ``root`` is where a view is
built. A boxed worker's spills are memfds, so they need no directory.
"""

from __future__ import annotations

import fcntl
import os

from pinfold._worker.ext import _runtime


def make_base(spill_dir: str) -> tuple[str, int]:
    """Make a base directory, and remove those that no template locks any more.

    Return its path and the descriptor that locks it.
    """
    _runtime.clear_bases(spill_dir)
    while True:
        base = f"{spill_dir}/.pinfold-box-{os.urandom(6).hex()}"  # lib/process/scratch.h
        os.mkdir(base, 0o700)
        try:
            lock = os.open(base, os.O_RDONLY | os.O_DIRECTORY)
        except FileNotFoundError:  # another template removed it before it was locked
            continue
        fcntl.flock(lock, fcntl.LOCK_EX)
        if os.fstat(lock).st_nlink > 0:
            break
        os.close(lock)
    for name in ("sources", "scratch", "trash", "root"):
        os.mkdir(f"{base}/{name}", 0o700)
    return base, lock

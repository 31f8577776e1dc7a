# SPDX-License-Identifier: Apache-2.0
"""Find and end what a call leaves running, open or allocated in a reused worker."""

from __future__ import annotations

import os
import stat
import sys
from typing import Any

from pinfold._worker.reset._state import has_children, sweep

# Seconds that a sweep may take.
SWEEP = 10.0

# Major numbers of memory devices such as /dev/null, and of terminals.
_COMMON_DEVICES = (1, 5)
# null, zero, full, random and urandom keep nothing that is written to them.
_HARMLESS_DEVICES = {(1, 3), (1, 5), (1, 7), (1, 8), (1, 9)}


def end_children() -> list[str]:
    """Kill and reap all descendants. Return the reasons why some are left, or an empty list."""
    if not has_children():
        return []
    ended = sweep(SWEEP, _let_go_of_trackers())
    _forget_children()
    return [] if ended else ["processes are left"]


def _let_go_of_trackers() -> bool:
    """Close the pipes to resource trackers (multiprocessing's, loky's), as a program's end does.

    A tracker then removes leftover shared memory and semaphores, once all other processes with its
    pipe are dead. Return whether there are trackers.
    """
    found = False
    for name, module in list(sys.modules.items()):
        if not name.endswith(".resource_tracker"):
            continue
        tracker: Any = getattr(module, "_resource_tracker", None)
        fd = getattr(tracker, "_fd", None)
        if type(fd) is int:
            tracker._fd = tracker._pid = None
            os.close(fd)
            found = True
    return found


def _forget_children() -> None:
    # multiprocessing takes a child for alive that another part of the process has reaped.
    process: Any = sys.modules.get("multiprocessing.process")
    if process is not None:
        process._children.clear()
    server: Any = getattr(sys.modules.get("multiprocessing.forkserver"), "_forkserver", None)
    if server is not None and server._forkserver_pid is not None:
        os.close(server._forkserver_alive_fd)
        server._forkserver_alive_fd = server._forkserver_pid = server._forkserver_address = None


def is_device(fd: int) -> bool:
    """Return whether a descriptor is a library's device, such as a GPU; not a terminal or
    /dev/null."""
    try:
        status = os.fstat(fd)
    except OSError:
        return False
    return stat.S_ISCHR(status.st_mode) and os.major(status.st_rdev) not in _COMMON_DEVICES


def is_harmless(fd: int) -> bool:
    """Return whether a descriptor's device keeps nothing that is written to it."""
    try:
        status = os.fstat(fd)
    except OSError:
        return False
    device = (os.major(status.st_rdev), os.minor(status.st_rdev))
    return stat.S_ISCHR(status.st_mode) and device in _HARMLESS_DEVICES


def own_memory_kb() -> int:
    """Return this process's anonymous memory in KiB (proc(5), statm: resident less shared).

    Return 0 if reading it is refused: in a box, in processes that a call starts.
    """
    try:
        with open("/proc/self/statm", "rb") as file:
            fields = file.read().split()
    except PermissionError:
        return 0
    return (int(fields[1]) - int(fields[2])) * os.sysconf("SC_PAGE_SIZE") // 1024

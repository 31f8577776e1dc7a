"""What a call leaves running, open or allocated in a reused worker."""

from __future__ import annotations

import os
import stat
import sys
from typing import Any

from pinfold._worker.reset._state import has_children, sweep

# Seconds to kill and reap what a call left.
SWEEP = 10.0

# /dev/null and its like, and terminals.
_COMMON_DEVICES = (1, 5)
# null, zero, full, random, urandom: they keep nothing of what is written to them.
_HARMLESS_DEVICES = {(1, 3), (1, 5), (1, 7), (1, 8), (1, 9)}


def end_children() -> list[str]:
    """Kill and reap all descendants. Returns why it is not done, if it is not."""
    if not has_children():
        return []
    ended = sweep(SWEEP, _let_go_of_trackers())
    _forget_children()
    return [] if ended else ["processes are left"]


def _let_go_of_trackers() -> bool:
    """Close our ends of the pipes of resource trackers, multiprocessing's and loky's, as the end of
    a program does. Each removes what is left of shared memory and semaphores when the processes
    that hold the other ends are dead. Whether there are any."""
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
    # multiprocessing takes a child whose end somebody else has seen for alive.
    process: Any = sys.modules.get("multiprocessing.process")
    if process is not None:
        process._children.clear()
    server: Any = getattr(sys.modules.get("multiprocessing.forkserver"), "_forkserver", None)
    if server is not None and server._forkserver_pid is not None:
        os.close(server._forkserver_alive_fd)
        server._forkserver_alive_fd = server._forkserver_pid = server._forkserver_address = None


def is_device(fd: int) -> bool:
    """Whether a descriptor is a device of a library's: a GPU, not a terminal or /dev/null."""
    try:
        status = os.fstat(fd)
    except OSError:
        return False
    return stat.S_ISCHR(status.st_mode) and os.major(status.st_rdev) not in _COMMON_DEVICES


def is_harmless(fd: int) -> bool:
    """Whether nobody can leave anything in a descriptor."""
    try:
        status = os.fstat(fd)
    except OSError:
        return False
    device = (os.major(status.st_rdev), os.minor(status.st_rdev))
    return stat.S_ISCHR(status.st_mode) and device in _HARMLESS_DEVICES


def own_memory_kb() -> int:
    """Memory of this process that is in no file (proc(5), statm: resident less shared), in KiB; 0
    where nobody may look: in a box, what a call starts."""
    try:
        with open("/proc/self/statm", "rb") as file:
            fields = file.read().split()
    except PermissionError:
        return 0
    return (int(fields[1]) - int(fields[2])) * os.sysconf("SC_PAGE_SIZE") // 1024

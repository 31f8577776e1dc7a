# SPDX-License-Identifier: Apache-2.0
"""The limits of a call that the kernel enforces, getrlimit(2)."""

from __future__ import annotations

import resource
import signal
from collections.abc import Mapping
from resource import setrlimit  # before `Reset` wraps it

_KINDS = {
    "address_space_bytes": resource.RLIMIT_AS,
    "core_bytes": resource.RLIMIT_CORE,
    "file_bytes": resource.RLIMIT_FSIZE,
    "open_files": resource.RLIMIT_NOFILE,
    "processes": resource.RLIMIT_NPROC,
}

# RLIMIT_NPROC counts the threads of the whole user, so it cannot be the call's own number. It backs
# up the pool's sampler: the machine's current tasks, those that the call may start, and this many.
_THREADS = 512


class RLimits:
    """Sets limits for a call, and lifts them after it. `lasting`: sets the hard limits, too, and
    lifts none."""

    __slots__ = ("_before", "_lasting")

    def __init__(self, *, lasting: bool) -> None:
        self._lasting = lasting
        self._before: dict[int, tuple[int, int]] = {}

    def set(self, wanted: Mapping[str, int]) -> None:
        """Set these limits. One above the hard limit becomes the hard limit."""
        for name, most in wanted.items():
            kind = _KINDS[name]
            soft, hard = resource.getrlimit(kind)
            if name == "processes":
                most += _tasks() + _THREADS
            elif name == "file_bytes":
                # Python ignores SIGXFSZ, so that the limit would be an OSError like any other.
                signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
            if hard != resource.RLIM_INFINITY:
                most = min(most, hard)
            self._before[kind] = (soft, hard)
            setrlimit(kind, (most, most if self._lasting else hard))

    def bounds(self, name: str) -> bool:
        """Return whether the limit was set, and not lifted since."""
        return _KINDS[name] in self._before

    def restore(self) -> None:
        """Lift the limits that were set, unless they are lasting."""
        if not self._lasting:
            for kind, limits in self._before.items():
                setrlimit(kind, limits)
            self._before.clear()


def _tasks() -> int:
    """Return the number of threads on this machine (/proc/loadavg, proc(5))."""
    try:
        with open("/proc/loadavg", "rb") as file:
            return int(file.read().split()[3].partition(b"/")[2])
    except OSError:
        return 32768

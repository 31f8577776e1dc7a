"""The limits of a call that the kernel keeps by itself, getrlimit(2)."""

from __future__ import annotations

import resource
import signal
from collections.abc import Mapping
from resource import setrlimit  # as it was before `Reset` watches over it

_KINDS = {
    "address_space_bytes": resource.RLIMIT_AS,
    "core_bytes": resource.RLIMIT_CORE,
    "file_bytes": resource.RLIMIT_FSIZE,
    "open_files": resource.RLIMIT_NOFILE,
    "processes": resource.RLIMIT_NPROC,
}

# RLIMIT_NPROC counts the threads of the whole user, so it cannot be a call's own number. It is the
# wall behind the pool's sampler: what the machine runs now, what the call may start, and threads.
_THREADS = 512


class RLimits:
    """Sets them for a call, and takes them back. `lasting`: the hard limits, too, for good."""

    __slots__ = ("_before", "_lasting")

    def __init__(self, *, lasting: bool) -> None:
        self._lasting = lasting
        self._before: dict[int, tuple[int, int]] = {}

    def set(self, wanted: Mapping[str, int]) -> None:
        """Bounds what comes next. A bound above the hard limit is that limit."""
        for name, most in wanted.items():
            kind = _KINDS[name]
            soft, hard = resource.getrlimit(kind)
            if name == "processes":
                most += _tasks() + _THREADS
            elif name == "file_bytes":
                # Python ignores it, and so turns what the kernel says into an OSError like others.
                signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
            if hard != resource.RLIM_INFINITY:
                most = min(most, hard)
            self._before[kind] = (soft, hard)
            setrlimit(kind, (most, most if self._lasting else hard))

    def bounds(self, name: str) -> bool:
        """Whether that one was set, and not lifted since."""
        return _KINDS[name] in self._before

    def restore(self) -> None:
        """Lifts what was set, unless it is lasting."""
        if not self._lasting:
            for kind, limits in self._before.items():
                setrlimit(kind, limits)
            self._before.clear()


def _tasks() -> int:
    """How many threads there are on this machine, proc(5), /proc/loadavg."""
    try:
        with open("/proc/loadavg", "rb") as file:
            return int(file.read().split()[3].partition(b"/")[2])
    except OSError:
        return 32768

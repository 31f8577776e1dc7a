"""What one call may use."""

from __future__ import annotations

import math
from dataclasses import dataclass

from pinfold._common.check import limits_check

_MOST = 2**62

BOXED_RESULT_BYTES = 1 << 30
"""What `Limits.result_bytes` is in a sandbox, if it is None."""

# Those that the kernel keeps in the worker (getrlimit(2)). A worker dumps no core anyway.
_KERNEL = ("address_space_bytes", "core_bytes", "file_bytes", "open_files", "processes")


@dataclass(frozen=True, slots=True)
class Limits:
    """What one call may use. None: no bound. Sizes are bytes.

    Attributes:
        wall_s: seconds from the moment a worker begins the call to its end: the program's own time.
            More ends the call as ``timeout``, from outside, with the stack at which it stood. What
            a call waits before that does not count. `deadline_s` is the caller's patience, which
            does; the sooner of the two counts.
        memory_bytes: anonymous and shared memory that the worker and all its descendants have in
            use (proc(5), RssAnon and RssShmem), without what the worker shares with its template
            (1 .. 2**62). The pool looks every 20 ms; more ends the call as ``memory_limit``. A
            MemoryError that the code raises by itself is an ``exception``. Memory in files, a tmpfs
            or a memfd that nobody has mapped, is not counted. In a control group (docs/security.md)
            all of it is, the page cache with it, and the kernel ends the call at the limit.
        cpu_s: seconds of processor time, user and system, of the same processes; looked at every
            20 ms as well. More ends the call as ``cpu_limit``.
        output_bytes: how much of stdout, and of stderr, is kept (1 .. 2**62, default 1 MiB). Of
            more than that the middle is dropped, and the result's ``stdout_truncated`` or
            ``stderr_truncated`` is set; the call goes on. Equal parts of head and tail stay, with
            the line ``[... N bytes left out ...]`` between them, all within this bound, and no
            character of UTF-8 is cut. Where that line has no room (it takes at most 47 bytes), the
            head stays alone.
        result_bytes: the largest value (1 .. 2**62), in its encoded form, and in the memory that
            reading it takes in the caller's process (codec ``data``: a list of ints may take 16
            times what its encoding does). A larger one ends the call as ``output_limit``. None
            means 1 GiB in a sandbox, else no bound.
        processes: how many of the call's processes may live at once, the worker included (1 ..
            4096). More, at one of the pool's looks, ends the call as ``exited`` (`WorkerExited`,
            with returncode 1), and the message tells both numbers. Behind that stands RLIMIT_NPROC,
            which counts all threads of the user and is not kept for root: what the machine runs
            when the call starts, and a few hundred more. A fork beyond is an OSError in the code.
        open_files: descriptors are numbered below this (8 .. 2**20; RLIMIT_NOFILE): one more is an
            OSError in the code.
        file_bytes: how large a file may grow (1 .. 2**62; RLIMIT_FSIZE). A write beyond it kills
            the worker by SIGXFSZ: ``output_limit``. In ``fresh`` workers a value whose encoding
            takes more than 60,000 bytes travels in a file, and counts.
        core_bytes: the largest core dump (0 .. 2**62, default 0: none; RLIMIT_CORE).
        address_space_bytes: addresses that each process may map (1 .. 2**62; RLIMIT_AS): more is a
            MemoryError in the code. Counts what is reserved and never used: numpy alone reserves
            hundreds of MiB for its threads, JAX and CUDA do not run with it.

    The last four are the kernel's. In a ``fresh`` worker they cannot be raised again, unless by
    root; in one that is used again the code could raise them, and the next call has its own.

    Raises `InvalidConfig` or `ConfigTypeError`, naming the field and the value.
    """

    wall_s: float | None = None
    memory_bytes: int | None = None
    cpu_s: float | None = None
    output_bytes: int = 1 << 20
    result_bytes: int | None = None
    processes: int | None = None
    open_files: int | None = None
    file_bytes: int | None = None
    core_bytes: int = 0
    address_space_bytes: int | None = None

    def __post_init__(self) -> None:
        whole = limits_check.whole
        if self.wall_s is not None:
            limits_check.seconds("wall_s", self.wall_s)
        whole("memory_bytes", self.memory_bytes, 1, _MOST, none=True)
        if self.cpu_s is not None:
            limits_check.seconds("cpu_s", self.cpu_s)
        whole("output_bytes", self.output_bytes, 1, _MOST)
        whole("result_bytes", self.result_bytes, 1, _MOST, none=True)
        whole("processes", self.processes, 1, 4096, none=True)
        whole("open_files", self.open_files, 8, 1 << 20, none=True)
        whole("file_bytes", self.file_bytes, 1, _MOST, none=True)
        whole("core_bytes", self.core_bytes, 0, _MOST)
        whole("address_space_bytes", self.address_space_bytes, 1, _MOST, none=True)

    @property
    def cpu_ns(self) -> int:
        """`cpu_s` in nanoseconds; 0: no bound."""
        return _nanoseconds(self.cpu_s)

    @property
    def wall_ns(self) -> int:
        """`wall_s` in nanoseconds; 0: no bound."""
        return _nanoseconds(self.wall_s)

    def of_kernel(self) -> dict[str, int]:
        """Those that are set in the worker, by name."""
        return {name: most for name in _KERNEL if (most := getattr(self, name))}


def _nanoseconds(seconds: float | None) -> int:
    if seconds is None or not math.isfinite(seconds):
        return 0
    return _MOST if seconds >= _MOST / 1e9 else max(1, int(seconds * 1e9))

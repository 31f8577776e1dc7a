# SPDX-License-Identifier: Apache-2.0
"""The limits of a call."""

from __future__ import annotations

import math
from dataclasses import dataclass

from pinfold._common.check import limits_check

_MOST = 2**62

BOXED_RESULT_BYTES = 1 << 30
"""The value of `Limits.result_bytes`, if that is None, in a sandbox and for calls that collect."""

# The limits that the kernel enforces in the worker (getrlimit(2)). 0, as core_bytes is by default,
# is not sent: a worker dumps no core anyway.
_KERNEL = ("address_space_bytes", "core_bytes", "file_bytes", "open_files", "processes")


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on the resources of one call. None: no bound. Sizes are bytes.

    Attributes:
        wall_s: the program's own time: seconds from the moment a worker begins the call to its end.
            A call that takes longer is killed, and ends as ``timeout`` with its stack. The wait
            for a worker does not count here, but it does for `deadline_s`, the caller's patience.
            The sooner of the two counts.
        memory_bytes: anonymous and shared memory that the worker and all its descendants have in
            use (proc(5), RssAnon and RssShmem), without pages that the worker shares with its
            template (1 .. 2**62). The pool samples it every 20 ms. A call that uses more ends as
            ``memory_limit``; a MemoryError that the code raises by itself is an ``exception``.
            Files in memory (a tmpfs, a memfd) count only if they are mapped. In a control group
            (docs/security.md) they always count, as does the page cache, and the kernel ends the
            call at the limit.
        cpu_s: seconds of processor time, user and system, of the same processes, also sampled every
            20 ms. A call that uses more ends as ``cpu_limit``.
        output_bytes: the most of stdout, and of stderr, that is kept (1 .. 2**62, default 1 MiB).
            Longer output loses its middle, and the result's ``stdout_truncated`` or
            ``stderr_truncated`` is set; the call goes on. Equal parts of head and tail stay, with
            the line ``[... N bytes left out ...]`` between them, all within this bound. No
            character of UTF-8 is cut. If that line has no room (it takes at most 47 bytes), only
            the head stays.
        printed_bytes: the most that the call may print to stdout, and to stderr (1 .. 2**62). A
            call that prints more is killed and ends as ``output_limit``. `output_bytes` of what it
            printed are kept, as always.
        result_bytes: the largest value (1 .. 2**62), together with the files that the call
            collects, in its encoded form, and in the memory that reading it takes in the caller's
            process (codec ``data``: a list of ints may take 16 times the size of its encoding). A
            larger one ends the call as ``output_limit``. None means 1 GiB in a sandbox, and for a
            call that collects files, else no bound.
        processes: the most processes of the call that may live at once, including the worker (1 ..
            4096). If a sample finds more, the call ends as ``exited`` (`WorkerExited`, with
            returncode 1), and the message has both numbers. RLIMIT_NPROC backs this up. It counts
            all threads of the user, does not bind root, and allows a few hundred more than the
            machine runs when the call starts. A fork beyond it is an OSError in the code.
        open_files: descriptors are numbered below this (8 .. 2**20; RLIMIT_NOFILE). One more is an
            OSError in the code.
        file_bytes: the largest size of a file (1 .. 2**62; RLIMIT_FSIZE). A write beyond it kills
            the worker by SIGXFSZ: ``output_limit``. In ``fresh`` workers a value whose encoding
            takes more than 60,000 bytes travels in a file, which counts.
        core_bytes: the largest core dump (0 .. 2**62, default 0: none; RLIMIT_CORE).
        address_space_bytes: addresses that each process may map (1 .. 2**62; RLIMIT_AS). More is a
            MemoryError in the code. Reserved addresses count, even if never used: numpy alone
            reserves hundreds of MiB for its threads, and JAX and CUDA do not run with this limit.

    The kernel enforces the last four. In a ``fresh`` worker only root can raise them again. In a
    reused worker the code could raise them; the next call gets its own.

    Raises:
        InvalidConfig: a field has a wrong value. The message names both.
        ConfigTypeError: a field has the wrong type. The message names the field and the value.
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
    printed_bytes: int | None = None

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
        whole("printed_bytes", self.printed_bytes, 1, _MOST, none=True)

    @property
    def cpu_ns(self) -> int:
        """`cpu_s` in nanoseconds; 0: no bound."""
        return _nanoseconds(self.cpu_s)

    @property
    def wall_ns(self) -> int:
        """`wall_s` in nanoseconds; 0: no bound."""
        return _nanoseconds(self.wall_s)

    def of_kernel(self) -> dict[str, int]:
        """Return the limits to set in the worker, by name."""
        return {name: most for name in _KERNEL if (most := getattr(self, name))}


def _nanoseconds(seconds: float | None) -> int:
    if seconds is None or not math.isfinite(seconds):
        return 0
    return _MOST if seconds >= _MOST / 1e9 else max(1, int(seconds * 1e9))

# SPDX-License-Identifier: Apache-2.0
"""Running a call in a child of its worker, whose account comes back in a file.

The file begins with a head: a magic number, which is written last, the status, how the call ended,
the number of segments and their sizes. The segments follow, each at a multiple of 64 bytes.
"""

from __future__ import annotations

import fcntl
import os
import struct
from builtins import len, memoryview  # not what the call makes of them
from collections.abc import Callable, Sequence
from os import _exit, ftruncate, getpid, pwrite
from typing import NamedTuple, NoReturn

from pinfold._wire import Segments
from pinfold._worker.ext import _runtime
from pinfold._worker.ext._runtime import PAYLOAD_ALIGN, RESULT_ENDED

UNREPORTED = (
    1  # the exit status of a child that cannot give its account, such as one without memory
)

_MAGIC = b"account\n"
_HIGH = 200  # as other descriptors of a worker (ext/source.c)
_HEAD = struct.Struct("<8sIiQ")
_MOST = 1 << 20  # segments
_SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE


class Account(NamedTuple):
    """How a call ended."""

    status: int
    segments: Segments
    ended: int
    """The exit status of its process, or minus the number of the signal that ended it."""


class Apart(NamedTuple):
    """A call that ran in a child."""

    account: Account
    stopped: bool
    """The pool asked for its end."""


def run_apart(run: Callable[[], Account], *, keeps: bool) -> Apart:
    """Run a call in a child, and return once nothing of it is left. Raises OSError.

    `run` never raises. `keeps`: output that the process has not flushed when it ends by itself is
    kept.
    """
    file = _high(os.memfd_create("account", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING))
    try:
        pid = _runtime.collector_fork()
        if pid == 0:
            _report(run, file)
        ended, stopped = _runtime.collector_wait(pid, keeps)
        account = _read(file) if ended == 0 and not stopped else None
        return Apart(account or Account(RESULT_ENDED, [], ended), stopped)
    finally:
        os.close(file)


def _high(fd: int) -> int:
    """Move a descriptor out of the way of those that a program opens, counting up from 3."""
    try:
        high = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, _HIGH)
    except OSError:  # there is no such number
        return fd
    os.close(fd)
    return high


def _report(run: Callable[[], Account], file: int) -> NoReturn:
    """Run the call in the child, write its account, and exit."""
    pid = getpid()
    code = UNREPORTED
    try:
        status, segments, ended = run()
        _runtime.flush()
        if status == RESULT_ENDED:  # the status tells it, if the call has closed the file
            code = ended
        if getpid() == pid:  # not a process that the call forked, and that has come to here
            _write(file, status, ended, segments)
        code = 0
    finally:
        _exit(code)


def _write(file: int, status: int, ended: int, segments: Sequence[bytes | memoryview]) -> None:
    views = [memoryview(segment).cast("B") for segment in segments]
    sizes = struct.pack(f"<{len(views)}Q", *(view.nbytes for view in views))
    at = _put(file, _HEAD.pack(bytes(8), status, ended, len(views)) + sizes, 0)
    for view in views:
        at = _put(file, view, at + -at % PAYLOAD_ALIGN)
    ftruncate(file, at)
    _put(file, _MAGIC, 0)


def _put(file: int, data: bytes | memoryview, at: int) -> int:
    left = memoryview(data)
    while left:
        done = pwrite(file, left, at)
        at += done
        left = left[done:]
    return at


def _read(file: int) -> Account | None:
    """Return the account, of which no byte is trusted; None: it is not whole."""
    try:
        fcntl.fcntl(file, fcntl.F_ADD_SEALS, _SEALS)  # a file that shrinks would end this process
    except OSError:
        return None
    size = os.fstat(file).st_size
    if size < _HEAD.size:
        return None
    whole = _runtime.map_file(file, size)
    magic, status, ended, n = _HEAD.unpack_from(whole)
    at = _HEAD.size + 8 * n
    if magic != _MAGIC or not 0 < n <= _MOST or at > size:
        return None
    if status > RESULT_ENDED or not 0 <= ended <= (255 if status == RESULT_ENDED else 0):
        return None
    segments: Segments = []
    for length in struct.unpack_from(f"<{n}Q", whole, _HEAD.size):
        begin = at + -at % PAYLOAD_ALIGN
        at = begin + length
        if at > size:
            return None
        segments.append(whole[begin:at])
    return Account(status, segments, ended)

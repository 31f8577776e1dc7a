# SPDX-License-Identifier: Apache-2.0
"""The hostile programs' common parts: their form, their first lines, and checks of their success.

Each body runs as ``def f(w)`` with `w`, a dict about the victims (`hostile_run.world`). It returns a
true value if the attack worked; an exception is a refusal. `check` looks from the outside where the
program's own report proves nothing: its arguments are the result, and the victims together with the
caller's figures, `seen`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pinfold import Limits, WorkerResult

MIB = 1 << 20

PRELUDE = """
import ctypes, errno, fcntl, os, signal, socket, struct, sys, threading, time
signal.alarm(25)
libc = ctypes.CDLL(None, use_errno=True)
libc.prctl(15, b"hostile", 0, 0, 0)
def call(number, *arguments):
    ctypes.set_errno(0)
    libc.syscall.restype = ctypes.c_long
    value = libc.syscall(ctypes.c_long(number), *(ctypes.c_long(a) if isinstance(a, int) else a for a in arguments))
    return value, ctypes.get_errno()
def reached(number, *arguments):
    value, code = call(number, *arguments)
    if value < 0 and code in (errno.EPERM, errno.ENOSYS, errno.EACCES, errno.ESRCH):
        return None
    return "the kernel took it: %d, %s" % (value, os.strerror(code))
def read(path):
    with open(path, "rb") as file:
        return file.read(200)
def channel():
    for fd in range(3, 512):
        try:
            s = socket.socket(fileno=os.dup(fd))
        except OSError:
            continue
        if s.type == socket.SOCK_SEQPACKET:
            return s
    raise OSError("no channel")
def my_call():
    frame = sys._getframe()
    while "channel" not in frame.f_locals:
        frame = frame.f_back
    return frame.f_locals["channel"].call
def result_frame(call_id, payload, status=0, flags=0, kind=10, size=None, user=0, peak=0):
    body = struct.pack("<QQQQIIiI", len(payload) if size is None else size, user, 0, peak, status, flags, 0, 0)
    total = 16 + len(body) + len(payload)
    return struct.pack("<HBBIQ", 0x4650, 2, kind, total, call_id) + body + payload
def payload(item):
    return struct.pack("<IIQ", 0x4C504650, 1, len(item)).ljust(64, b"\\0") + item
"""

SPILLS = """
def base():
    at = os.getcwd()
    while ".pinfold-box-" in os.path.dirname(at):
        at = os.path.dirname(at)
    return at
def spills(w):
    return base() + "/spills" if ".pinfold-box-" in base() else w["spills"]
def laid_out(segments):
    out = bytearray(struct.pack("<II", 0x4C504650, len(segments)))
    for segment in segments:
        out += struct.pack("<Q", len(memoryview(segment).cast("B")))
    for segment in segments:
        out += bytes(-len(out) % 64)
        out += memoryview(segment).cast("B")
    return bytes(out)
def array(size, fill=97):
    import numpy, pinfold.codec
    return laid_out(pinfold.codec.encode(numpy.full(size, fill, "u1"), "data", "result"))
def send_spill(fd, size, status=0):
    # The pool takes no descriptors from a box: it opens what the worker holds.
    if ".pinfold-box-" in base():
        channel().send(result_frame(my_call(), struct.pack("<i", fd), size=size, flags=16, status=status))
        time.sleep(0.5)
        return
    socket.send_fds(channel(), [result_frame(my_call(), b"", size=size, flags=1, status=status)], [fd])
def open_like(w, name, flags):
    # Where a file that the pool may take for a spill can lie: its directory, or one on the same disk.
    for directory in (spills(w), os.getcwd()):
        try:
            return os.open(directory + "/" + name, flags, 0o600)
        except OSError as refusal:
            last = refusal
    raise last
def unnamed(w, data):
    fd = open_like(w, ".", os.O_TMPFILE | os.O_RDWR)
    os.write(fd, data)
    return fd
def named(w, data):
    fd = open_like(w, w["planted"] + ".new", os.O_CREAT | os.O_TRUNC | os.O_RDWR)
    os.write(fd, data)
    name = os.readlink("/proc/self/fd/%d" % fd) if os.path.exists("/proc/self/fd/%d" % fd) else spills(w) + "/" + w["planted"] + ".new"
    os.rename(name, name[:-4])
    return fd, name[:-4]
def reader_of(fd):
    return os.open("/proc/self/fd/%d" % fd, os.O_RDONLY)
def memfd(data, seals=15):
    fd = os.memfd_create("planted", 3)
    at = 0
    while at < len(data):
        at += os.write(fd, memoryview(data)[at:])
    fcntl.fcntl(fd, 1033, seals)
    return fd
def cut(fd):
    try:
        os.ftruncate(fd, 0)
    except OSError:
        if libc.fallocate64(fd, 8, ctypes.c_long(0), ctypes.c_long(os.fstat(fd).st_size - 1 & ~4095)) < 0:
            raise OSError(ctypes.get_errno(), "collapse")
def head(major, n):
    for code, width in ((24, 1), (25, 2), (26, 4), (27, 8)):
        if n < 24:
            return bytes([major << 5 | n])
        if n < 1 << 8 * width:
            return bytes([major << 5 | code]) + n.to_bytes(width, "big")
def tag(n, item):
    return head(6, n) + item
OURS = 0x50494E00
def items(many):
    return head(4, len(many)) + b"".join(many)
def integer(n):
    return head(0, n) if n < 1 << 64 else tag(2, (lambda b: head(2, len(b)) + b)(n.to_bytes(n.bit_length() // 8 + 1, "big")))
def text(s):
    b = s.encode()
    return head(3, len(b)) + b
def deliver(data, status=0):
    if len(data) <= 60000:
        channel().send(result_frame(my_call(), data, status=status))
    else:
        send_spill(memfd(data), len(data), status)
    time.sleep(1)
"""


@dataclass(frozen=True)
class Program:
    name: str
    tries: str
    body: str
    limits: Limits = Limits()  # noqa: RUF009
    at_none: bool = True
    """Whether it can be let loose on the machine that runs it, without a box."""
    fast: bool = False
    """Whether `make test` runs it."""
    beside: str = ""
    """What another call of the same backend does first, and then waits for the end of this one."""
    check: Callable[[WorkerResult, dict[str, Any]], bool] | None = None
    """True: the attack worked."""
    kind: str = ""
    """C: it may end or freeze the caller; H: it may hurt others. Beside these stands an honest call
    that has a deadline."""
    accomplice: str = ""
    """What another call does at the same time."""
    then: str = ""
    """What a later call does, while the caller holds the value of this one."""
    times: int = 1
    """How often it is tried, where it is a race."""
    setup: str = ""
    """What the template runs first; `@` stands for the victims' directory."""
    sent: int = 0
    """Bytes of the payload that it sends: they bound what their reading may cost the caller."""
    levels: tuple[str, ...] = ("none", "standard", "strict")
    """Where there is anything to try."""
    neighbours: bool = True
    """Whether others are asked for their results meanwhile. (Not where it stays in a worker that is
    used again, whose next call has to wait for it.)"""
    alone: bool = False
    """Whether it uses up what all processes of a user share."""
    clean: bool = True
    """Whether a later call has to find everything as it was. (Not where the kernel counts what was
    there for good.)"""


@dataclass
class Seen:
    """Figures of the caller while a program ran."""

    cpu_s: float = 0
    growth: int = 0
    """Bytes by which its memory grew, at the most."""
    then: WorkerResult | None = None


def own(result: WorkerResult, world: dict[str, Any]) -> bool:
    """Return whether it did more than send a frame for its own call, which is as good as a return."""
    return result.outcome == "ok" and result.value not in (42, "honest")


def other(result: WorkerResult, world: dict[str, Any]) -> bool:
    """Return whether a frame counted after the first one for the program's own call."""
    return result.outcome == "ok" and result.value != 42


def mixed(result: WorkerResult, world: dict[str, Any]) -> bool:
    """Return whether the value changed during the read; it lies in one page, written at once."""
    return result.outcome == "ok" and result.value != "honest" and len(set(result.value)) != 1


def dumped(result: WorkerResult, world: dict[str, Any]) -> bool:
    return result.outcome == "ok" or any(Path(world["root"]).rglob("core*"))


def unbounded(result: WorkerResult, world: dict[str, Any]) -> bool:
    """Return whether nothing but the deadline, at most, ended it."""
    return result.outcome in ("ok", "timeout")


def kept(result: WorkerResult, world: dict[str, Any]) -> bool:
    """Return whether it had neither the documented bad_result nor an end of its own making."""
    return result.outcome not in ("bad_result", "exception", "exited", "signalled")


def changes(result: WorkerResult, world: dict[str, Any]) -> bool:
    """Return whether the caller's array changes. If its file is cut, the caller dies."""
    if result.outcome != "ok" or not hasattr(result.value, "tobytes"):
        return False
    until = time.monotonic() + 1.6
    while time.monotonic() < until:
        if set(result.value.tobytes()) != {97}:
            return True
        time.sleep(0.01)
    return False


def harmless(result: WorkerResult, world: dict[str, Any]) -> bool:
    """Ignore the result: only effects on others count."""
    return False

# SPDX-License-Identifier: Apache-2.0
"""Attacks of a boxed call on its caller, its neighbours and the machine, which all fail."""

from __future__ import annotations

import fcntl
import os
import queue
import re
import resource
import shutil
import socket
import struct
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from boxes import level_is_there
from conftest import MakeBackend
from pinfold import Limits, LocalBackend
from programs import call


def _levels(*levels: str) -> list[object]:
    return [
        pytest.param(
            level, marks=pytest.mark.skipif(not level_is_there(level), reason="not to be had here")
        )
        for level in levels
    ]


@pytest.fixture(params=_levels("standard", "strict"))
def level(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=["none", *_levels("standard", "strict")])
def sandbox(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=_levels("strict"))
def strict(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=["fresh", "reuse", "spawn"])
def boxed(
    request: pytest.FixtureRequest, make_backend: MakeBackend, level: str
) -> Iterator[LocalBackend]:
    """Return a backend of one worker, at each level and in each mode."""
    return make_backend(sandbox=level, isolation=request.param, max_workers=1)  # type: ignore[return-value]


PRELUDE = """
import ctypes, errno, fcntl, os, resource, signal, socket, struct
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
BUFFER = ctypes.create_string_buffer(4096)
HIGH = 1 << 32  # no kernel looks at that half of an int
ME, BOSS = os.getpid(), os.getppid()
open("own", "w").close()
OWN, READ = os.open("own", os.O_RDWR), os.open(os.__file__, os.O_RDONLY)
PIPE = os.pipe()[1]
def code(number, *arguments):
    ctypes.set_errno(0)
    kinds = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    result = libc.syscall(ctypes.c_long(number), *kinds)
    return "done" if result >= 0 else errno.errorcode[ctypes.get_errno()]
def clone(flags):
    arguments = [ctypes.c_long(a) for a in (56, flags | signal.SIGCHLD, 0, 0, 0, 0)]
    got = libc.syscall(*arguments)
    if got == 0:
        os._exit(0)
    return "done" if got > 0 else errno.errorcode[ctypes.get_errno()]
"""

# The name of a kind, and the attempts of that kind; the numbers are those of x86-64.
REFUSED = {
    "leases, on files that are only read": """
        [code(72, fd, command | high, argument) for fd in (READ, OWN) for high in (0, HIGH)
         for command, argument in ((1024, 0), (1024, 1), (1024, 2), (1040, 0), (1040, 2))]
    """,
    "hints of what is written, and watches": """
        [code(72, READ, c, a) for c in (1026, 1036, 1038, HIGH | 1036)
         for a in (1, ctypes.addressof(BUFFER))]
    """,
    "owners of SIGIO": """
        [code(72, PIPE, 8, ME), code(72, PIPE, 8, BOSS), code(72, PIPE, 10, signal.SIGKILL),
         code(72, PIPE, 15, struct.pack("ii", 1, BOSS)), code(16, PIPE, 0x8901, BUFFER),
         code(16, socket.socketpair()[0].fileno(), 0x8902, struct.pack("i", BOSS)),
         code(16, PIPE, 0x5452, struct.pack("i", 1))]
    """,
    "flags and versions of files, and typing into a terminal": """
        [code(16, fd, high | request, BUFFER) for fd in (READ, OWN) for high in (0, HIGH)
         for request in (0x40086602, 0x401c5820, 0x40087602, 0x40086604, 0x5412, 0x5423)]
    """,
    "what interfaces there are": """
        [code(16, socket.socketpair()[0].fileno(), request, BUFFER)
         for request in (0x8910, 0x8912, 0x8913, 0x8933, 0x8946)]
    """,
    "datagrams": """
        [code(53, family, kind, 0, BUFFER) for family in (1, HIGH | 1, 16, 30, HIGH | 30)
         for kind in (2, 3, 2 | 0x80000, 3 | 0x800, HIGH | 3, 4, 6, 10)]
        + [code(41, family, kind, 0) for family in (1, HIGH | 1, 2, HIGH | 2, 16, 30)
           for kind in (2, 3, 2 | 0x80000, 3 | 0x800, HIGH | 3)]
    """,
    "another's priority": """
        [code(141, which, who, 5) for which, who in
         ((2, 0), (2, os.getuid()), (1, 0), (1, os.getpgrp()), (0, BOSS), (HIGH | 2, 0))]
        + [code(251, which, who, 0x6000) for which, who in
           ((3, 0), (3, os.getuid()), (2, 0), (2, os.getpgrp()), (1, BOSS), (HIGH | 3, 0))]
        + [code(142, BOSS, struct.pack("i", 0)), code(144, BOSS, 3, struct.pack("i", 0)),
           code(203, BOSS, 8, b"\\xff" * 8), code(314, BOSS, BUFFER, 0),
           code(302, BOSS, 7, 0, BUFFER)]
    """,
    "ways out of the call's tree": """
        [clone(0x8000), clone(0x8000 | 0x100), clone(0x8000 | 0x4000), code(435, BUFFER, 88)]
        + [code(157, 36, 0), code(157, HIGH | 36, 0), code(157, 36, 0, 1)]
    """,
    "what makes a process that nobody may look at": """
        [code(157, 4, 0), code(157, HIGH | 4, 0), code(157, 4, 0, 1, 1, 1)]
    """,
    "other commands of prctl": """
        [code(157, c, 1, 0, 0, 0) for c in (35, 57, 59, 62, 67, 0x59616d61, HIGH | 35)]
    """,
    "personalities": "[code(135, p) for p in (0x40000, 8, 0x0400000, HIGH | 0x40000, 0)]",
    "the mark of the guard": """
        [code(302, who, 10, struct.pack("QQ", 1, 1), 0) for who in (0, ME)] + [
         code(302, 0, HIGH | 10, struct.pack("QQ", 1, 1), 0),
         code(160, 10, struct.pack("QQ", 1, 1)), code(160, HIGH | 10, struct.pack("QQ", 1, 1))]
    """,
    "what is counted for the user or the machine": """
        [code(253), code(294, 0), code(300, 0, 0), code(240, b"q", 0o102, 0o600, 0), code(447, 0),
         code(206, 1, BUFFER), code(425, 1, BUFFER), code(72, PIPE, 1031, 1 << 17),
         code(72, PIPE, 1031, 65537), code(248, b"user", b"n", b"v", 1, -3),
         code(29, 0, 4096, 0o1600)]
    """,
}  # fmt: skip


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the numbers are those of x86-64")
def test_a_call_is_refused_what_reaches_beyond_it(boxed: LocalBackend) -> None:
    tries = "".join(f"    {kind!r}: ({attempts}),\n" for kind, attempts in REFUSED.items())
    program = call(f"{PRELUDE}\nreturn {{\n{tries}}}")
    for _ in range(2):
        found = boxed.submit(program, deadline_s=20).result(timeout=60).unwrap()
        assert found.keys() == REFUSED.keys()
        got = {kind: codes for kind, codes in found.items() if "done" in codes}
        assert not got


def test_what_a_call_says_of_its_parents_death_changes_nothing(boxed: LocalBackend) -> None:
    body = f"""{PRELUDE}
def signal_of_death():
    libc.prctl(2, BUFFER, 0, 0, 0)
    return struct.unpack("i", BUFFER[:4])[0]
before = signal_of_death()
told = [libc.prctl(1, ctypes.c_ulong(number), 0, 0, 0) for number in (0, 10, 18)]
return before, told, signal_of_death()
"""
    before, told, after = boxed.submit(call(body)).result(timeout=60).unwrap()
    assert told == [0, 0, 0]  # a library that tries this in passing continues
    assert after == before


def test_what_programs_ask_of_files_and_sockets_they_get(boxed: LocalBackend) -> None:
    body = """
import asyncio, fcntl, os, resource, signal, socket, sqlite3, ssl, subprocess, tempfile, threading
with sqlite3.connect("data.db") as db:
    db.execute("create table t(n)")
    db.execute("insert into t values(3)")
with open("lock", "w") as file:
    fcntl.flock(file, fcntl.LOCK_EX)
    fcntl.lockf(file, fcntl.LOCK_EX)
    os.set_inheritable(file.fileno(), True)
    os.set_blocking(file.fileno(), True)
    os.fsync(file.fileno())
    tty = file.isatty()
pairs = [socket.socketpair(type=kind) for kind in (socket.SOCK_STREAM, socket.SOCK_SEQPACKET)]
for a, b in pairs:
    b.settimeout(5)
    a.send(b"x")
    assert b.recv(1) == b"x"
process = subprocess.Popen(["/bin/sh", "-c", "cat"], stdin=-1, stdout=-1, pipesize=65536)
echoed = process.communicate(b"echo", timeout=30)[0]
thread = threading.Thread(target=lambda: None, name="named")
thread.start()
thread.join()
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
os.nice(0)
os.sync()
async def main():
    done = await asyncio.create_subprocess_exec("/bin/true")
    return await done.wait()
return [db.execute("select n from t").fetchone()[0], tty, echoed, asyncio.run(main()),
        bool(ssl.create_default_context()), tempfile.gettempdir() == os.getcwd()]
"""
    result = boxed.submit(call(body), deadline_s=40).result(timeout=60)
    assert result.unwrap() == [3, False, b"echo", 0, True, True]


# By path and by open descriptor. Each attempt sets the current value, so that only the time of the
# last change shows whether it succeeded.
TOUCH = """
import ctypes, os, stat, sys
places = ["/", "/proc", "/proc/self", "/proc/self/status", "/proc/cpuinfo", "/proc/sys", "/dev",
          "/dev/null", "/dev/urandom", "/usr", "/usr/lib", "/etc", "/etc/passwd", os.__file__,
          os.path.dirname(os.__file__), sys.prefix, sys.executable, *range(256)]
status = lambda: {place: tuple(os.stat(place))[:3] + (os.stat(place).st_ctime_ns,)
                  for place in places if is_there(place)}
def is_there(place):
    try:
        mode = os.stat(place).st_mode
        own = f"/proc/{os.getpid()}/"  # goes with this process
        name = os.readlink(f"/proc/self/fd/{place}") if isinstance(place, int) else ""
        of_this_process = name.startswith(own)
        return not (stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or of_this_process)
    except OSError:
        return False
def touch(place):
    mode = stat.S_IMODE(os.stat(place).st_mode)
    for change in (lambda: os.chmod(place, mode), lambda: os.utime(place),
                   lambda: os.setxattr(place, "user.mark", b"1"), lambda: os.chown(place, -1, -1),
                   lambda: os.setxattr(place, "security.mark", b"1"),
                   lambda: os.setxattr(place, "trusted.mark", b"1"),
                   lambda: os.removexattr(place, "user.mark")):
        try:
            change()
        except OSError:
            pass
before = status()
for place in before:
    touch(place)
after = status()
return [(place, is_, after[place]) for place, is_ in before.items() if after[place] != is_]
"""


def test_nothing_that_outlives_a_call_can_be_changed_by_it(boxed: LocalBackend) -> None:
    null = os.stat("/dev/null")
    for _ in range(2):
        assert boxed.submit(call(TOUCH)).result(timeout=60).unwrap() == []
    now = os.stat("/dev/null")
    assert (now.st_mode, now.st_ctime_ns) == (null.st_mode, null.st_ctime_ns)


@pytest.mark.parametrize("isolation", ["reuse", "spawn"])
def test_no_call_finds_what_another_left_around_its_scratch_directory(
    make_backend: MakeBackend, level: str, isolation: str
) -> None:
    body = """
import contextlib, os
places = [".", "..", *(p for p in ("/tmp", "/dev/shm", "/var/tmp", "/") if os.path.isdir(p))]
found = []
for place in places:
    is_ = os.stat(place)
    names = attributes = None
    with contextlib.suppress(OSError):
        attributes = os.listxattr(place)
    with contextlib.suppress(OSError):
        own = (os.path.basename(os.getcwd()), "source")
        names = sorted(n for n in os.listdir(place) if n not in own)
    found.append((place, is_.st_mode, names, attributes, is_.st_atime_ns == 10 ** 9))
for place in places:
    for leave in (lambda: open(place + "/left", "w").close(), lambda: os.mkdir(place + "/.left"),
                  lambda: os.symlink("/", place + "/link"),
                  lambda: os.setxattr(place, "user.left", b"1"),
                  lambda: os.utime(place, (1, 1)), lambda: os.chmod(place, 0o711)):
        with contextlib.suppress(OSError):
            leave()
return found
"""
    backend = make_backend(sandbox=level, isolation=isolation, max_workers=1)
    first, *later = (backend.submit(call(body)).result(timeout=60).unwrap() for _ in range(4))
    assert first[0][2] == []
    assert not first[1][2]
    assert all(found == first for found in later)


@pytest.mark.parametrize("isolation", ["reuse", "spawn"])
def test_a_call_writes_where_it_is_at_work_and_nowhere_around_it(
    make_backend: MakeBackend, level: str, isolation: str
) -> None:
    body = """
import os
def writable(place):
    try:
        os.close(os.open(place, os.O_TMPFILE | os.O_RDWR))
    except OSError:
        return False
    return True
own = os.getcwd()
if os.path.ismount(os.path.dirname(own)):  # strict: a file system of the call's
    own = os.path.dirname(own)
parts = own.split("/")
above = ["/".join(parts[:n]) or "/" for n in range(1, len(parts))]
elsewhere = [p for p in ("/tmp", "/var/tmp", "/dev/shm", "/dev/mqueue", "/run")
             if os.path.realpath(p) != own]
return writable("."), [p for p in above + elsewhere if writable(p)]
"""
    backend = make_backend(sandbox=level, isolation=isolation, max_workers=1)
    for _ in range(2):
        assert backend.submit(call(body)).result(timeout=60).unwrap() == (True, [])


def test_no_room_of_a_strict_box_goes_to_what_an_earlier_call_has_mapped(
    make_backend: MakeBackend, strict: str
) -> None:
    body = """
import ctypes, os
free = os.statvfs(".").f_bfree
libc = ctypes.CDLL(None)
fd = os.open(".", os.O_TMPFILE | os.O_RDWR)
os.posix_fallocate(fd, 0, 8 << 20)
libc.mmap.restype = ctypes.c_long
at = libc.mmap(None, ctypes.c_size_t(8 << 20), 3, 1, fd, ctypes.c_long(0))
os.close(fd)
return free, at != -1 and os.statvfs(".").f_bfree < free
"""
    backend = make_backend(sandbox=strict, isolation="reuse", max_workers=1)
    (free, held), later = (backend.submit(call(body)).result(timeout=60).unwrap() for _ in range(2))
    assert held
    assert later == (free, True)


LEAVES = {
    "a file in memory": "os.memfd_create('left')",
    "its reading end of a pipe": "os.pipe()[0]",
    "a file of its own": "os.open('left', os.O_CREAT | os.O_RDWR)",
    "a directory of its own": "os.open('.', os.O_RDONLY)",
    "one far away": "fcntl.fcntl(os.memfd_create('left'), fcntl.F_DUPFD, 300)",
    "one in the place of the runtime's":
        "[os.dup2(os.memfd_create('left'), fd) for fd in RESERVED_FDS if fd_is_null(fd)]",
    "one in the place of its input": "os.dup2(os.open('left', os.O_CREAT | os.O_RDWR), 0)",
}  # fmt: skip


@pytest.mark.parametrize("left", LEAVES)
def test_a_descriptor_that_a_call_leaves_is_no_later_calls(
    make_backend: MakeBackend, level: str, left: str
) -> None:
    """Also if it imports modules that might have opened it."""
    body = f"""
import fcntl, os, stat
def fd_is_null(fd):
    try:
        return os.path.samestat(os.fstat(fd), os.stat("/dev/null"))
    except OSError:
        return False
def found():
    told = {{}}
    for fd in range(400):
        try:
            is_ = os.fstat(fd)
            told[fd] = stat.S_IFMT(is_.st_mode), bool(os.pread(fd, 1, 0))
        except OSError:
            continue
    return told
RESERVED_FDS = range(224, 256)
before = found()
if args:
    import plistlib, wave
    kept = {LEAVES[left]}
    for fd in found().keys():
        try:
            os.pwrite(fd, b"left", 0)
        except OSError:
            pass
return before
"""
    backend = make_backend(sandbox=level, isolation="reuse", max_workers=1)
    first, *_, later = [
        backend.submit(call(body, *arguments)).result(timeout=60).unwrap()
        for arguments in ((), ("leave",), ())
    ]
    assert later == first


@pytest.mark.parametrize("isolation", ["reuse", "spawn"])
def test_the_options_of_a_workers_channel_are_no_later_calls(
    make_backend: MakeBackend, level: str, isolation: str
) -> None:
    body = """
import fcntl, os, socket, struct
def channel():
    for fd in range(3, 256):
        try:
            sock = socket.socket(fileno=os.dup(fd))
        except OSError:
            continue
        if sock.type == socket.SOCK_SEQPACKET:
            return sock
sock = channel()
numbers = [*range(1, 26), *range(27, 31), *range(32, 49), *range(50, 55), 59, 60, *range(64, 76),
           78, 79, 80, 81, 82, 83]
def options():
    told = {}
    for number in numbers:
        try:
            told[number] = sock.getsockopt(1, number, 16)
        except OSError as error:
            told[number] = error.errno
    told["sizes"] = [fcntl.fcntl(fd, fcntl.F_GETPIPE_SZ) for fd in (1, 2)]
    told["owners"] = [(fcntl.fcntl(fd, fcntl.F_GETOWN), fcntl.fcntl(fd, 11))
                      for fd in (1, 2, sock.fileno())]
    return told
before = options()
if args:
    number, value = args
    if isinstance(number, str):
        for fd in (1, 2):
            fcntl.fcntl(fd, fcntl.F_SETPIPE_SZ, value)
    else:
        sock.setsockopt(1, number, value)
return before, options() != before
"""
    pair = struct.pack("ll", 0, 1)
    values = {
        7: 1 << 14, 8: 1 << 14, 13: struct.pack("ii", 1, 1), 16: 1, 18: 60_000, 20: pair, 21: pair,
        29: 1, 34: 1, 35: 1, 37: 0x18, 42: 100, 44: 1, 72: 3, "pipes": 4096,
    }  # fmt: skip
    backend = make_backend(sandbox=level, isolation=isolation, max_workers=1)
    first, _ = backend.submit(call(body)).result(timeout=60).unwrap()
    set_ = []
    for number, value in values.items():
        changed = backend.submit(call(body, number, value)).result(timeout=60)
        if changed.outcome == "ok":
            set_.append(number if changed.value[1] else None)
        later = backend.submit(call(body)).result(timeout=60)
        assert later.unwrap() == (first, False), number
    assert {7, 8, 16, 20, 21, 29, "pipes"} <= set(set_)


# State of a process in the kernel: how a call sets it, and how the next one would see it.
KEPT = {
    "timer slack": ("prctl(29, 12345)", "prctl(30)"),
    "huge pages": ("prctl(41, 1)", "prctl(42)"),
    "secure bits": ("prctl(28, 0x2f)", "prctl(27)"),
    "no gain of privileges": ("prctl(38, 1)", "prctl(39)"),
    "execution of what was written": ("prctl(65, 1)", "prctl(66)"),
    "merging of pages": ("prctl(67, 1)", "prctl(68)"),
    "speculation": ("[prctl(53, which, 4) for which in range(3)]",
                    "[prctl(52, which) for which in range(3)]"),
    "errors of memory": ("prctl(33, 1, 1)", "prctl(34)"),
    "the bounding set": ("[prctl(24, which) for which in range(41)]",
                         "[prctl(23, which) for which in range(41)]"),
    "ambient capabilities": ("prctl(47, 2, 0)", "prctl(47, 1, 0)"),
    "being dumpable": ("prctl(4, 0)", "prctl(3)"),
    "being a subreaper": ("prctl(36, 0)", "number(prctl, 37)"),
    "the death signal": ("prctl(1, 9)", "number(prctl, 2)"),
    "the name": ("prctl(15, b'other')", "open('/proc/self/comm').read()"),
    "a filter of system calls": (
        "prctl(22, 2, program(0x20, 0, 0, 0, 0x15, 0, 1, 110, 6, 0, 0, 0x50001,"
        " 6, 0, 0, 0x7fff0000))",
        "os.getppid() > 0"),
    "a filter of system calls by the newer call": (
        "sys(317, 1, 0, program(0x20, 0, 0, 0, 0x15, 0, 1, 110, 6, 0, 0, 0x50001,"
        " 6, 0, 0, 0x7fff0000))",
        "os.getppid() > 0"),
    "strict seccomp": ("sys(317, 2, 0, struct.pack('I', 0x7fff0000))", "prctl(21)"),
    "rights to files": (
        "sys(446, sys(444, struct.pack('Q', 0x1fff), 8, 0), 0)",
        "len(os.listdir(os.path.dirname(os.__file__))) > 0"),
    "personality": ("sys(135, 0x40000)", "sys(135, 0xffffffff)"),
    "priority of input and output": ("sys(251, 1, 0, 3 << 13)", "sys(252, 1, 0)"),
    "niceness": ("os.nice(3)", "os.nice(0)"),
    "scheduling": ("sys(314, 0, struct.pack('IIQiIQQQII', 56, 3, 0, 0, 0, 10 ** 7, 0, 0, 0, 0), 0)",
                   "filled(lambda room: sys(315, 0, room, 56, 0))"),
    "reset on fork": ("os.sched_setscheduler(0, os.SCHED_BATCH | os.SCHED_RESET_ON_FORK,"
                      " os.sched_param(0))", "os.sched_getscheduler(0)"),
    "processors": ("os.sched_setaffinity(0, [max(os.sched_getaffinity(0))])",
                   "sorted(os.sched_getaffinity(0))"),
    "placement of memory": ("sys(238, 2, struct.pack('Q', 1), 64)",
                            "filled(lambda room: sys(239, room, 0, 0, 0, 0))"),
    "locked memory": ("libc.mlockall(6)",
                      "[mmap.mmap(-1, 1 << 16), status('VmLck')][1]"),
    "the stack of signals": ("libc.sigaltstack(struct.pack('QiiQ', address(), 0, 0, 65536), None)",
                             "filled(lambda room: libc.sigaltstack(None, room))"),
    "robust futexes": ("sys(273, address(), 24)",
                       "filled(lambda room: sys(274, 0, room, ctypes.byref(room, 8)))"),
    "what is cleared at the end": ("sys(218, address())",
                                   "filled(lambda room: prctl(40, room))"),
    "protection keys": ("[sys(330, 0, 0) for _ in range(3)]", "free(sys(330, 0, 0))"),
    "the counter of the clock": ("prctl(26, 1)", "number(prctl, 25)"),
    "the mask of files": ("os.umask(0o77)", "[os.umask(0o22), os.umask(0o22)][0]"),
    "soft limits": ("[resource.setrlimit(n, (resource.getrlimit(n)[1] // 2 if n else 50,"
                    " resource.getrlimit(n)[1])) for n in (0, 4, 6, 7, 8, 11)]",
                    "[resource.getrlimit(n) for n in range(16) if n != 10]"),
    "timers": ("[signal.setitimer(n, 100) for n in range(3)]",
               "[signal.getitimer(n) for n in range(3)]"),
    "ignored signals": ("[libc.signal(n, 1) for n in (12, 17, 29, 40)]", "status('SigIgn')"),
    "blocked signals": ("[signal.pthread_sigmask(0, [12, 40])]", "status('SigBlk')"),
    "waiting signals": ("[signal.pthread_sigmask(0, [17]), signal.raise_signal(17)]",
                        "status('SigPnd')"),
    "the score of the OOM killer": ("open('/proc/self/oom_score_adj', 'w').write('999')",
                                    "open('/proc/self/oom_score_adj').read()"),
    "what a dump has": ("open('/proc/self/coredump_filter', 'w').write('1')",
                        "open('/proc/self/coredump_filter').read()"),
    "the group of the scheduler": ("open('/proc/self/autogroup', 'w').write('5')",
                                   "open('/proc/self/autogroup').read().split()[-1]"),
    "the session": ("os.setsid()", "os.getsid(0) == os.getpid()"),
    "the process group": ("os.setpgid(0, 0)", "os.getpgid(0) == os.getpid()"),
    "the locale of a thread": (
        "pointer(libc.uselocale, pointer(libc.newlocale, ctypes.c_int(1), b'C.UTF-8', None))",
        "pointer(libc.uselocale, None) == 2 ** 64 - 1",
    ),
    "rounding": ("libm.fesetround(0x800)", "1.0 + float('1e-30')"),
    "numbers close to zero": ("mode(28, 0x8040)", "float('1e-310') * 0.5"),
    "traps of arithmetic": ("libm.feenableexcept(0x10)", "libm.fegetexcept()"),
    "precision of x87": ("machine('d92fc3', '7f02')", "machine('d93fc3', '0000')"),
}  # fmt: skip

KEEPING = f"""
import ctypes, mmap, os, resource, signal, struct
libc, libm = ctypes.CDLL(None), ctypes.CDLL("libm.so.6")
libc.syscall.restype = ctypes.c_long
def long(value):
    return ctypes.c_long(value) if isinstance(value, int) else value
def sys(*arguments):
    return libc.syscall(*map(long, arguments))
def prctl(*arguments):
    return libc.prctl(*map(long, arguments), *[ctypes.c_long(0)] * (5 - len(arguments)))
def number(function, *arguments):
    cell = ctypes.c_int(-1)
    function(*arguments, ctypes.byref(cell))
    return cell.value
def filled(function):
    room = ctypes.create_string_buffer(256)
    function(room)
    return room.raw
def pointer(function, *arguments):
    function.restype = ctypes.c_void_p
    return function(*(ctypes.c_void_p(a) if a and isinstance(a, int) else a for a in arguments))
LASTING = []
def address():
    libc.malloc.restype = ctypes.c_void_p
    return libc.malloc(ctypes.c_size_t(1 << 17))
def program(*numbers):
    code = ctypes.create_string_buffer(struct.pack("=" + "HBBI" * (len(numbers) // 4), *numbers))
    LASTING.append(code)
    return struct.pack("HxxxxxxQ", len(numbers) // 4, ctypes.addressof(code))
def status(name):
    with open("/proc/self/status") as file:
        return file.read().partition(name + ":")[2].split()[0]
def free(key):
    if key > 0:
        sys(331, key)
    return key
def mode(at, bits):
    room = bytearray(filled(libm.fegetenv)[:32])
    room[at:at + 4] = (int.from_bytes(room[at:at + 4], "little") | bits).to_bytes(4, "little")
    libm.fesetenv(bytes(room))
def machine(code, operand):
    memory = mmap.mmap(-1, 4096, prot=7)
    memory[:len(code) // 2] = bytes.fromhex(code)
    room = ctypes.create_string_buffer(bytes.fromhex(operand), 16)
    ctypes.CFUNCTYPE(None, ctypes.c_void_p)(
        ctypes.addressof(ctypes.c_char.from_buffer(memory)))(ctypes.addressof(room))
    return room.raw[:2]
KEPT = {KEPT!r}
NAMES = dict(locals())
def tried(text):
    try:
        return eval(text, NAMES)
    except NameError:
        raise
    except Exception as error:
        return type(error).__name__
if args:
    tried(KEPT[args[0]][0])
    return None
return {{what: repr(tried(probe)) for what, (_, probe) in KEPT.items()}}
"""


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the numbers are those of x86-64")
def test_what_a_call_sets_in_the_kernel_the_next_one_does_not_find(
    make_backend: MakeBackend, sandbox: str
) -> None:
    backend = make_backend(sandbox=sandbox, isolation="reuse", max_workers=1)
    first = backend.submit(call(KEEPING)).result(timeout=60).unwrap()
    found = {}
    for what in KEPT:
        backend.submit(call(KEEPING, what)).result(timeout=60)  # some of them end their worker
        later = backend.submit(call(KEEPING)).result(timeout=60).unwrap()
        for name in first:
            if later[name] != first[name]:
                found[what] = (name, first[name], later[name])
    assert found == {}


def test_one_call_cannot_use_up_what_its_caller_has(boxed: LocalBackend) -> None:
    """Each limit is far below the caller's; the kernel compares both with the same count."""
    body = f"""{PRELUDE}
most = {{name: resource.getrlimit(getattr(resource, "RLIMIT_" + name))
        for name in ("NOFILE", "NPROC", "RTPRIO", "NICE")}}
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGRTMIN])
pending = 0
while pending < 200_000:
    info = struct.pack("iii", int(signal.SIGRTMIN), 0, -1).ljust(128, b"\\0")
    if code(129, ME, int(signal.SIGRTMIN), info) != "done":
        break
    pending += 1
flying, pairs = 0, []
while flying < 100_000:
    pairs.append(socket.socketpair())
    pairs[-1][0].setblocking(False)
    try:
        while flying < 100_000:
            socket.send_fds(pairs[-1][0], [b"x"], [PIPE] * 250)
            flying += 250
    except BlockingIOError:
        continue
    except OSError as error:
        refused = errno.errorcode[error.errno]
        break
pairs.clear()
pipes, pages = [], 0
try:
    while True:
        pipes.append(os.pipe())
        code(72, pipes[-1][1], 1031, 1 << 20)
        pages += fcntl.fcntl(pipes[-1][1], 1032) // 4096
except OSError:
    pass
for pipe in pipes:
    os.close(pipe[0]), os.close(pipe[1])
signal.sigtimedwait([signal.SIGRTMIN], 0)
while signal.sigtimedwait([signal.SIGRTMIN], 0):
    pass
return most, pending, flying, refused, pages
"""
    result = boxed.submit(call(body), deadline_s=40).result(timeout=60)
    most, pending, flying, refused, pages = result.unwrap()
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    assert most["NOFILE"][1] <= max(files // 2, 256)
    assert most["RTPRIO"] == most["NICE"] == (0, 0)
    assert most["NPROC"][1] == -1 or most["NPROC"][1] < resource.getrlimit(resource.RLIMIT_NPROC)[0]
    assert 0 < pending <= 1024
    assert refused == "ETOOMANYREFS"
    assert flying < max(files // 2, 256) + 500
    soft = int(Path("/proc/sys/fs/pipe-user-pages-soft").read_text())
    assert pages + 16 * most["NOFILE"][0] < soft or soft == 0  # including descriptors in flight


def test_a_configuration_that_asks_for_more_descriptors_gets_them(
    make_backend: MakeBackend, level: str
) -> None:
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    asked = min(1500, soft // 2)
    body = "import resource\nreturn resource.getrlimit(resource.RLIMIT_NOFILE)[0]"
    backend = make_backend(sandbox=level, limits=Limits(open_files=asked))
    assert backend.submit(call(body)).result(timeout=60).unwrap() == asked


def test_a_child_reads_its_own_part_of_proc_and_nobody_elses(
    make_backend: MakeBackend, strict: str, isolation: str
) -> None:
    script = """
import os, sys
names = "status", "stat", "statm", "cmdline", "maps", "environ", "io"
own = [open(f"/proc/{who}/{name}", "rb").read()
       for who in ("self", os.getpid(), "thread-self") for name in names]
pids = sorted(int(name) for name in os.listdir("/proc") if name.isdigit())
print(all(own), pids == [int(sys.argv[1]), os.getpid()])
"""
    body = """
import os, subprocess
import sys
command = [sys.executable, "-c", args[0], str(os.getpid())]
child = subprocess.run(command, capture_output=True, text=True)
names = "cmdline", "stat", "status", "environ", "limits", "mountinfo", "cgroup", "comm", "task"
read = []
for pid in range(1, 60):
    for name in names:
        if pid != os.getpid():
            try:
                path = f"/proc/{pid}/{name}"
                os.listdir(path) if name == "task" else open(path).read()
                read.append(path)
            except OSError:
                pass
return child.stdout, child.stderr, read
"""
    backend = make_backend(sandbox=strict, isolation=isolation)
    beside = backend.submit(call("import time\ntime.sleep(600)"))
    for _ in range(2):
        found = backend.submit(call(body, script), deadline_s=30).result(timeout=60).unwrap()
        assert found == ("True True\n", "", [])
    beside.cancel()


def test_of_the_machine_s_proc_only_what_is_listed_can_be_read(
    make_backend: MakeBackend, strict: str
) -> None:
    body = """
import os
import queue
found = {}
for name in os.listdir("/proc"):
    path = "/proc/" + name
    if not name.isdigit() and not os.path.islink(path) and not name.startswith("."):
        try:
            found[name] = bool(os.listdir(path) if os.path.isdir(path) else open(path).read(1))
        except OSError:
            found[name] = False
settings = [os.path.join(where, name)[10:] for where, _, names in os.walk("/proc/sys")
            for name in names]
release = open("/proc/sys/kernel/osrelease").read().strip() == os.uname().release
return sorted(name for name in found if found[name]), settings, release, len({open(
    "/proc/sys/kernel/random/uuid").read() for _ in range(3)})
"""
    backend = make_backend(sandbox=strict)
    read, settings, release, uuids = backend.submit(call(body)).result(timeout=60).unwrap()
    assert set(read) <= {
        "cpuinfo", "filesystems", "loadavg", "meminfo", "stat", "sys", "uptime", "version",
    }  # fmt: skip
    assert {"cpuinfo", "meminfo", "stat", "sys"} <= set(read)
    assert all(name.startswith(("kernel/", "vm/")) for name in settings)
    assert (release, uuids) == (True, 3)


def test_a_shell_of_a_call_substitutes_processes_and_names_its_streams(
    make_backend: MakeBackend, level: str, isolation: str
) -> None:
    script = (
        "cat <(echo sub); echo out > /dev/stdout; echo err > /dev/stderr; cat /dev/stdin;"
        " cat /dev/fd/0; test -d /dev/fd && head -c 5 /proc/self/status"
    )
    body = f"""
import subprocess
done = subprocess.run(["bash", "-c", {script!r}], capture_output=True, text=True, input="in\\n")
return done.stdout, done.stderr
"""
    if level == "standard":  # docs/security.md: children have no /proc/self there
        body = body.replace(" && head -c 5 /proc/self/status", "")
    if shutil.which("bash") is None:
        pytest.skip("there is no bash here")
    backend = make_backend(sandbox=level, isolation=isolation)
    out, err = backend.submit(call(body), deadline_s=30).result(timeout=60).unwrap()
    assert (out, err) == ("sub\nout\nin\n" + ("Name:" if level == "strict" else ""), "err\n")


def test_of_where_a_loaded_library_lies_only_the_library_can_be_read(
    make_backend: MakeBackend, level: str, tmp_path: Path
) -> None:
    place = tmp_path / "vendor"
    place.mkdir()
    import _ctypes

    shutil.copy(_ctypes.__file__, place / "libvendor.so.1.2")
    (place / "libvendor.so.1").symlink_to("libvendor.so.1.2")
    (place / "libvendor.so").symlink_to("libvendor.so.1")
    for name in (".env", "secret.py", "libother.so"):
        (place / name).write_text("secret")
    (place / "link.so").symlink_to(".env")
    body = """
import os
import queue
def read(path):
    try:
        return open(path, "rb").read(4) and "read"
    except OSError:
        return "refused"
return {name: read(os.path.join(args[0], name)) for name in args[1:]}, read(args[0])
"""
    loaded, beside = ["libvendor.so.1.2", "libvendor.so.1", "libvendor.so"], [
        ".env", "secret.py", "libother.so", "link.so",
    ]  # fmt: skip
    setup = f"import ctypes\nLIBRARY = ctypes.CDLL({str(place / 'libvendor.so')!r})\n"
    backend = make_backend(sandbox=level, setup=setup)
    names = [*loaded, *beside]
    found, _ = backend.submit(call(body, str(place), *names)).result(timeout=60).unwrap()
    assert [found[name] for name in loaded] == ["read"] * 3
    assert [found[name] for name in beside] == ["refused"] * 4


def test_beside_what_python_is_made_of_nothing_can_be_read(
    make_backend: MakeBackend, level: str
) -> None:
    body = """
import os, sys
def listed(path):
    try:
        return os.listdir(path)
    except OSError:
        return []
places = ["/usr", "/usr/local", "/usr/src", "/usr/local/src", "/usr/local/etc", "/usr/etc",
          sys.prefix, sys.base_prefix]
return [place for place in places if listed(place)], len(listed(os.path.dirname(os.__file__))) > 50
"""
    backend = make_backend(sandbox=level)
    listed, library = backend.submit(call(body)).result(timeout=60).unwrap()
    assert library
    assert listed == []


@pytest.mark.parametrize("kind", ["SOCK_STREAM", "SOCK_SEQPACKET", "SOCK_DGRAM"])
def test_a_socket_where_a_call_may_read_cannot_be_connected_to(
    make_backend: MakeBackend, level: str, tmp_path: Path, kind: str
) -> None:
    body = f"""
import os, socket
def reach(path):
    try:
        sock = socket.socket(socket.AF_UNIX, socket.{kind})
        sock.connect(path)
        return "connected"
    except OSError as error:
        return "refused"
os.symlink(args[0], "link")
names = [os.path.join(args[0], "sock"), "link/sock", os.path.relpath(args[0]) + "/sock"]
return [reach(name) for name in names], sorted(os.listdir(args[0]))
"""
    place = tmp_path / "path"
    place.mkdir()
    with socket.socket(socket.AF_UNIX, getattr(socket, kind)) as server:
        server.bind(str(place / "sock"))
        if kind != "SOCK_DGRAM":
            server.listen()
        backend = make_backend(sandbox=level)
        program = call(body, str(place), python_path=[place])
        reached, names = backend.submit(program).result(timeout=60).unwrap()
    assert names == ["sock"]
    assert reached == ["refused"] * 3


def test_a_lock_of_a_call_in_a_strict_box_is_not_one_of_the_callers(
    make_backend: MakeBackend, strict: str, tmp_path: Path
) -> None:
    (tmp_path / "module.py").write_text("value = 1\n")
    body = """
import fcntl
file, directory = open(args[0] + "/module.py"), os.open(args[0], os.O_RDONLY)
fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
fcntl.flock(directory, fcntl.LOCK_EX | fcntl.LOCK_NB)
fcntl.lockf(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
return "its own"
"""
    backend = make_backend(sandbox=strict)
    with (tmp_path / "module.py").open("r+") as file:
        directory = os.open(tmp_path, os.O_RDONLY)
        fcntl.flock(file, fcntl.LOCK_EX)
        fcntl.flock(directory, fcntl.LOCK_EX)
        fcntl.lockf(file, fcntl.LOCK_EX)
        locked = call(f"import os{body}", str(tmp_path), python_path=[tmp_path])
        assert backend.submit(locked).result(timeout=60).unwrap() == "its own"
        os.close(directory)


def test_processes_of_a_call_in_a_strict_box_meet_at_a_socket_with_a_name(
    make_backend: MakeBackend, strict: str, isolation: str
) -> None:
    body = """
import multiprocessing, subprocess
with multiprocessing.Manager() as manager:
    shared = manager.list([1])
    shared.append(2)
    values = list(shared)
with multiprocessing.Pool(2) as pool:
    return values, pool.map(abs, [-1, -2])
"""
    with tempfile.TemporaryDirectory() as directory:  # unix(7): 108 bytes
        place = Path(directory)
        backend = make_backend(sandbox=strict, isolation=isolation, spill_dir=place)
        for _ in range(2):
            found = backend.submit(call(body), deadline_s=50).result(timeout=60).unwrap()
            assert found == ([1, 2], [1, 2])
        backend.close()


@pytest.mark.skipif(
    tuple(map(int, re.findall(r"\d+", os.uname().release)[:2])) < (6, 14),
    reason="the number of processes in a namespace is not its own before Linux 6.14",
)
def test_the_calls_of_a_strict_box_leave_processes_for_others(
    make_backend: MakeBackend, strict: str
) -> None:
    here = Path("/proc/sys/kernel/pid_max")
    machine = here.read_text()
    body = """
import os
import queue
with open("/proc/sys/kernel/pid_max") as file:
    most = int(file.read())
pids = set()
for _ in range(300):
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    pids.add(pid)
return most, max(pids) < most
"""
    backend = make_backend(sandbox=strict)
    most, below = backend.submit(call(body)).result(timeout=60).unwrap()
    assert most <= int(machine) // 4
    assert below
    assert here.read_text() == machine


@pytest.mark.parametrize("isolation", ["fresh", "reuse", "spawn"])
def test_a_call_that_keeps_descriptors_in_flight_holds_up_no_neighbour(
    make_backend: MakeBackend, level: str, isolation: str
) -> None:
    """The kernel counts them for each user, and refuses a further one to every sender."""
    hostile = """
import os, socket, time
reader, pairs, full = os.open("/dev/null", os.O_RDONLY), [], False
while not full:
    pairs.append(socket.socketpair())
    pairs[-1][0].setblocking(False)
    try:
        while True:
            socket.send_fds(pairs[-1][0], [b"x"], [reader] * 50)
    except BlockingIOError:
        pass
    except OSError:
        full = True
open("full", "w").close()
time.sleep(300)
"""
    backend = make_backend(sandbox=level, isolation=isolation, max_workers=2)
    workers: queue.SimpleQueue[int] = queue.SimpleQueue()
    backend.on_start(lambda call, worker: workers.put(worker.pid))
    running = backend.submit(call(hostile))
    full = Path(f"/proc/{workers.get(timeout=60)}/cwd/full")
    while not full.exists():
        assert not running.done()
        time.sleep(0.01)
    large = call("return bytes(1 << 20)")
    for _ in range(3):
        assert backend.submit(large).result(timeout=30).unwrap() == bytes(1 << 20)
    used = {workers.get() for _ in range(3)}
    assert len(used) == (3 if isolation == "fresh" else 1)
    assert not running.done()
    running.cancel()


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the numbers are those of x86-64")
def test_no_process_of_a_call_can_change_whose_it_is(boxed: LocalBackend) -> None:
    """The soft limit of locks names the worker of an orphan (lib/process/sweep.h)."""
    tries = f"""{PRELUDE}
import subprocess, sys
LOCKS = 10
def attempts(child):
    soft, hard = resource.getrlimit(LOCKS)
    other = [struct.pack("QQ", *pair) for pair in ((soft + 1, hard), (hard, hard), (1, 1))]
    tried = [code(160, which, new) for new in other for which in (LOCKS, HIGH | LOCKS)]
    tried += [code(302, who, which, new, old) for new in other for which in (LOCKS, HIGH | LOCKS)
              for who in (0, HIGH, os.getpid(), os.getppid(), BOSS, child, HIGH | child)
              for old in (0, BUFFER)]
    return sorted(set(tried)), soft, hard
"""
    body = f"""{tries}
child = subprocess.Popen(["/bin/sleep", "60"])
found = [attempts(child.pid)]
reader, writer = os.pipe()
if os.fork() == 0:
    os.write(writer, repr(attempts(child.pid)).encode())
    os._exit(0)
os.wait()
found.append(eval(os.read(reader, 65536)))
script = TRIES + "print(attempts(%d))" % child.pid
told = subprocess.run([sys.executable, "-I", "-c", script], stdout=subprocess.PIPE, check=True)
found.append(eval(told.stdout))
carried = resource.getrlimit(LOCKS)
child.kill()
child.wait()
return found, carried
""".replace("TRIES", repr(tries))
    for _ in range(2):
        found, carried = boxed.submit(call(body), deadline_s=50).result(timeout=60).unwrap()
        assert all(codes in (["EPERM"], ["ENOSYS"], ["ENOSYS", "EPERM"]) for codes, _, _ in found)
        assert {(soft, hard) for _, soft, hard in found} == {carried}
        assert 0 < carried[0] < carried[1]

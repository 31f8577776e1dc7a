# SPDX-License-Identifier: Apache-2.0
"""Compare a call's surroundings before and after a hostile program, which must not differ; and find
leftovers outside while the pool is still open."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pinfold import WorkerCall

# Times only of a private view: other processes of the machine change those of shared directories.
LOOK = """
import ctypes, fcntl, os, resource, signal, socket, stat, sys, threading
libc = ctypes.CDLL(None, use_errno=True)
def status(path, times):
    try:
        is_ = os.lstat(path)
    except OSError as error:
        return "errno %d" % error.errno
    try:
        marks = sorted(os.listxattr(path, follow_symlinks=False))
    except OSError:
        marks = []
    told = [oct(is_.st_mode), is_.st_uid, is_.st_gid, marks]
    return told + [is_.st_mtime_ns] if times and not path.startswith("/proc") else told
def descriptor(fd):
    try:
        kind = stat.S_IFMT(os.fstat(fd).st_mode)
        told = [oct(kind), fcntl.fcntl(fd, fcntl.F_GETFL) & ~0o100000, fcntl.fcntl(fd, fcntl.F_GETOWN), fcntl.fcntl(fd, 11)]
        if kind == stat.S_IFIFO:
            told.append(fcntl.fcntl(fd, 1032))
        if kind == stat.S_IFSOCK:
            s = socket.socket(fileno=os.dup(fd))
            told += [s.getsockopt(socket.SOL_SOCKET, n) for n in (7, 8, 16, 20, 21, 42)]
    except OSError as error:
        told = [error.errno]
    return told
def f(strict):
    seen = {}
    here = os.getcwd()
    base = here
    while ".pinfold-box-" in os.path.dirname(base):
        base = os.path.dirname(base)
    places = [base, base + "/spills", base + "/scratch", "/", "/proc", "/dev", "/dev/null", "/etc", "/usr",
              "/etc/passwd", sys.prefix, os.__file__, "/proc/cpuinfo", "/proc/loadavg", "/proc/uptime", "/proc/meminfo",
              "/proc/sys/kernel/pid_max", "/sys", "/.outside", "/tmp", "/dev/shm"]
    above = os.path.dirname(base)
    while above != "/":
        places.append(above)
        above = os.path.dirname(above)
    moving = {base, base + "/scratch", "/tmp", "/dev/shm", "/sys"} if strict else set(places) - {base + "/spills"}
    for path in places:
        seen["status of " + path] = status(path, path not in moving)
    own = status(here, False)
    seen["scratch"] = own
    seen["scratch's entries"] = os.listdir(here)
    for path in ("/", "/dev", "/tmp", "/dev/shm", base + "/spills") if strict else (base + "/spills",):
        try:
            seen["entries of " + path] = sorted(os.listdir(path))
        except OSError as error:
            seen["entries of " + path] = error.errno
    for name in dir(resource):
        if name.startswith("RLIMIT_"):
            seen[name] = list(resource.getrlimit(getattr(resource, name)))
    seen["nice"] = os.getpriority(os.PRIO_PROCESS, 0)
    seen["scheduler"] = [os.sched_getscheduler(0), os.sched_getparam(0).sched_priority, sorted(os.sched_getaffinity(0))]
    seen["ioprio"] = libc.syscall(252, 1, 0)
    mask = os.umask(0o22)
    os.umask(mask)
    seen["umask"] = mask
    seen["blocked signals"] = sorted(map(int, signal.pthread_sigmask(signal.SIG_BLOCK, [])))
    seen["pending signals"] = sorted(map(int, signal.sigpending()))
    seen["signals"] = {str(int(n)): str(signal.getsignal(n)).split(" at 0x")[0] for n in signal.valid_signals()}
    seen["timers"] = [list(signal.getitimer(n)) for n in (0, 1, 2)]
    for name, option in (("dumpable", 3), ("slack", 30), ("no new privileges", 39), ("huge pages off", 42), ("secure bits", 27), ("keep capabilities", 7), ("execute denied", 66), ("merge", 68)):
        seen[name] = libc.prctl(option, 0, 0, 0, 0)
    for name, option in (("dies with", 2), ("subreaper", 37)):
        cell = ctypes.c_int(-1)
        libc.prctl(option, ctypes.byref(cell), 0, 0, 0)
        seen[name] = cell.value
    comm = ctypes.create_string_buffer(16)
    libc.prctl(16, comm, 0, 0, 0)
    seen["name"] = comm.value.decode()
    seen["personality"] = libc.personality(0xffffffff)
    seen["ids"] = [list(os.getresuid()), list(os.getresgid()), os.getgroups()]
    try:
        seen["oom score"] = open("/proc/self/oom_score_adj").read()
    except OSError as error:
        seen["oom score"] = error.errno
    try:
        seen["descriptors"] = {str(fd): descriptor(fd) for fd in range(1024)}
    except OSError as error:
        seen["descriptors"] = error.errno
    seen["threads"] = threading.active_count()
    own_names = ("PINFOLD_WORKER_ID", "HOME", "TMPDIR", "TEMP", "TMP")
    seen["environment"] = {k: v for k, v in os.environ.items() if k not in own_names}
    seen["path"] = [p for p in sys.path if p != here and ".pinfold-box-" not in p]
    seen["interpreter"] = [sys.getrecursionlimit(), sys.getswitchinterval(), len(sys.meta_path), len(sys.path_hooks)]
    return seen
"""


def look(level: str) -> WorkerCall:
    return WorkerCall(code=LOOK, function_name="f", args=[level == "strict"])


def differences(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """Return one line for each thing that a later call finds changed."""
    told = []
    for name, value in after.items():
        was = before.get(name)
        if value == was:
            continue
        if isinstance(value, dict) and isinstance(was, dict):
            keys = [key for key in {**was, **value} if was.get(key) != value.get(key)]
            told += [
                f"{name} {key}: {was.get(key)!r:.90} is {value.get(key)!r:.90}" for key in keys
            ]
        else:
            told.append(f"{name}: {was!r:.90} is {value!r:.90}")
    return told


def family(own_mark: bytes) -> set[int]:
    """Return the processes that descend from this one or carry its mark."""
    parents = {}
    found = set()
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            parents[int(name)] = int(
                Path(f"/proc/{name}/stat").read_text().rpartition(")")[2].split()[1]
            )
            if own_mark in Path(f"/proc/{name}/environ").read_bytes():
                found.add(int(name))
    found |= {pid for pid in parents if _descends(pid, parents)}
    return found - {os.getpid()}


def _descends(pid: int, parents: dict[int, int]) -> bool:
    while (pid := parents.get(pid, 0)) > 1:
        if pid == os.getpid():
            return True
    return False


def hostile_among(pids: set[int]) -> set[int]:
    """Return the processes with the name that every program gives itself."""
    found = set()
    for pid in pids:
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{pid}/stat").read_text()
            alive = fields.rpartition(")")[2].split()[0] != "Z"
            if alive and fields.partition("(")[2].rpartition(")")[0] in ("hostile", "sleep"):
                found.add(pid)
    return found


def planted(name: str, root: Path, pids: set[int]) -> Iterator[str]:
    """Yield files with this in their name, wherever a call might leave one, and entries of scratch
    and spill directories in which no process works."""
    places = {
        root,
        Path("/tmp"),
        Path("/var/tmp"),
        Path("/dev/shm"),
        Path("/dev/mqueue"),
        Path.cwd(),
    }
    for pid in pids:  # the views of strict boxes
        inside = Path(f"/proc/{pid}/root")
        places |= {inside, inside / "tmp", inside / "dev", inside / "dev/shm"}
        with contextlib.suppress(OSError):
            places |= set((inside / str(root)[1:] / "spills").glob(".pinfold-box-*/*"))
    places |= set((root / "spills").glob(".pinfold-box-*/*"))
    for place in places:
        with contextlib.suppress(OSError):
            yield from (f"{place}/{entry}" for entry in os.listdir(place) if name in entry)
    for base in (root / "spills").glob(".pinfold-box-*"):
        with contextlib.suppress(OSError):
            yield from map(str, (base / "spills").iterdir())
        directories: list[Path] = []
        for name in ("scratch", "trash"):
            with contextlib.suppress(OSError):
                directories += (base / name).iterdir()
        for directory in directories:
            with contextlib.suppress(OSError):
                for entry in directory.iterdir():
                    # A reused worker has one directory for each call.
                    if not stat.S_ISDIR(entry.lstat().st_mode) or any(entry.iterdir()):
                        yield str(entry)

# SPDX-License-Identifier: Apache-2.0
"""Run the hostile programs and print the table of programs and levels.

    python tests/stress/hostile/hostile_run.py [--markdown FILE] [--report FILE] [--level LEVEL ...]
        [--isolation ISOLATION ...] [--jobs N] [--untimed] [--user UID | --no-user] [NAME ...]

*blocked*: the attempt was refused. *contained*: the attempt had an effect that the call's end undid.
**not blocked**: the attempt succeeded, left something that a later call finds, ended the caller, or
delayed a neighbour. In the boxes each program runs in `fresh` and in `reuse`, and a second time as
an ordinary user if the first is root. The exit status is 1 if a program is not blocked in a box and
KNOWN below does not list it with a reason.

Each attempt has a separate process as its caller, which it may end. Failures that depend on time
count only if they repeat: the program runs again alone, up to three times.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import fcntl
import gc
import json
import os
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).parent))

import hostile_look
import numpy  # noqa: F401  # once, and not in each attempt
from hostile_base import MIB, PRELUDE, SPILLS, Program, Seen, harmless
from hostile_programs import PROGRAMS

import pinfold
from pinfold import LocalBackend, WorkerCall, WorkerConfig, WorkerResult
from pinfold._host import sandbox
from pinfold._worker.box import _box

LEVELS = ("none", "standard", "strict")
ISOLATIONS = ("fresh", "reuse")
DEADLINE_S = 4.0
HONEST = WorkerCall(code="def f(n):\n    return sum(range(n))\n", function_name="f", args=[10])
ECHO = WorkerCall(code="def f(v):\n    return v\n", function_name="f", args=[b"e" * 100_000])
"""Its argument and its value are spills."""
HANG = WorkerCall(code="import time\ndef f():\n    time.sleep(3600)\n", function_name="f")
MARK = "LOKY_PINFOLD_HOSTILE"

NEIGHBOUR_S = 2.0
TIMED = True
"""Not when another user runs the same."""
LATE_S = 0.05
"""The delay that one call may add to the report of another's deadline."""
HELD_UP_S = 0.5
NS_PER_BYTE, TIMES = 300, 100
"""What reading a result of the `data` codec may cost: processor time a byte, and memory."""

PAYLOAD = struct.pack("<IIQ", 0x4C504650, 1, 2).ljust(64, b"\0") + b"\x18\x2a"
"""What the pool would take for the value 42, in a file that is the caller's alone."""

_REUSE = "calls that share a worker are not protected from one another"

# Programs that nothing blocks (docs/security.md, "What is not defended"): the name; a word of the runs
# in which this holds, a level, an isolation or a user, "" for all; the reason.
KNOWN: dict[str, tuple[str, str]] = {
    "use_threads": ("", "RLIMIT_NPROC counts per user; stacks' addresses bound threads"),
    "forge_failed": ("", "of its own call a program may say what it wants"),
    "forge_result": ("reuse", _REUSE),
    "forge_and_wait": ("reuse", _REUSE),
    "limit_lifted": ("reuse", "what is put back after a call, the call can lift: a soft limit"),
    "connect_readable_socket": ("user", "where python lies outside of its prefix: see the text"),
    "connect_readable_socket_by_link": ("user", "the same"),
    "use_disk_many": ("standard", "nothing bounds the number of files on the disk"),
    "use_inodes": ("standard", "the same"),
    "two_results": ("reuse", _REUSE),
    "late_result": ("reuse", _REUSE),
    "tamper_codec": ("reuse", _REUSE),
    "tamper_outcome": ("reuse", _REUSE),
    "tamper_builtins": ("reuse", _REUSE),
    "lock_read_file": ("", "a lock needs no right to write: whoever locks the same file waits"),
    "lock_record_read_file": ("", "the same"),
    "memory_in_flight_in_pieces": (
        "",
        "no process holds the files open, and the kernel tells nobody",
    ),
    "memory_advised_away": ("", "the same"),
    "cpu_by_hops": ("", "the kernel forgets the time of children that nobody waits for"),
    "cpu_by_hops_told": ("", "the same"),
    "read_proc_net": ("standard", "a Landlock rule for a process's directory is for all in it"),
}


def is_known(name: str, column: str) -> bool:
    where = KNOWN.get(name, ("no such word", ""))[0]
    return not where or where in column.split()


@contextlib.contextmanager
def world() -> Iterator[dict[str, Any]]:
    """Provide victims for the programs: files, servers, a process. They go away at the end."""
    with (
        tempfile.TemporaryDirectory(prefix="hostile-", ignore_cleanup_errors=True) as directory,
        contextlib.ExitStack() as stack,
    ):
        root = Path(directory)
        (root / "home/.ssh").mkdir(parents=True)
        (root / "spills").mkdir()
        (root / "library").mkdir()
        secret, victim, key = root / "home/secret", root / "home/victim", root / "home/.ssh/id"
        for path in (secret, key, root / "library/.env"):
            path.write_text("secret\n")
        (root / "home/payload").write_bytes(PAYLOAD)
        shutil.copy(_some_library(), root / "library/libsome.so")
        tcp = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        tcp6_port = 9
        with contextlib.suppress(OSError):
            tcp6 = stack.enter_context(socket.create_server(("::1", 0), family=socket.AF_INET6))
            tcp6_port = tcp6.getsockname()[1]
        udp = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        udp.bind(("127.0.0.1", 0))
        abstract = f"\0pinfold-hostile-{os.getpid()}"
        # Some are in a directory that the box may read: the package's.
        beside = Path(pinfold.__file__).parent / f".hostile-{os.getpid()}"
        for kind, name in (
            (socket.SOCK_STREAM, str(root / "unix")),
            (socket.SOCK_STREAM, abstract),
            (socket.SOCK_STREAM, f"{beside}.stream"),
            (socket.SOCK_DGRAM, str(root / "datagram")),
            (socket.SOCK_DGRAM, f"{beside}.datagram"),
        ):
            named = stack.enter_context(socket.socket(socket.AF_UNIX, kind))
            with contextlib.suppress(OSError):
                named.bind(name)
                if kind == socket.SOCK_STREAM:
                    named.listen()
            if name.startswith(str(beside)):
                stack.callback(Path(name).unlink, missing_ok=True)
        environment = {k: v for k, v in os.environ.items() if k != MARK}
        planted = (
            f"planted-{os.getpid()}-{time.time_ns()}"  # not that of an attempt with this pid before
        )
        for directory in ("/tmp", "/var/tmp"):
            stack.callback(Path(directory, planted).unlink, missing_ok=True)
        locked = Path(f"{beside}.locked")
        locked.write_text("locked\n")
        stack.callback(locked.unlink, missing_ok=True)
        lock = stack.enter_context(locked.open("r+"))
        fcntl.lockf(lock, fcntl.LOCK_EX)
        # A stopped process shows a SIGCONT, which does no harm.
        sentinel = subprocess.Popen(
            ["sleep", "300"], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        sentinel.send_signal(signal.SIGSTOP)
        while state_of(sentinel.pid) != "T":
            time.sleep(0.001)
        memory = ctypes.create_string_buffer(b"in the caller's memory")
        fd = os.open(secret, os.O_RDONLY)
        try:
            yield {
                "root": str(root), "home": str(root / "home"), "spills": str(root / "spills"),
                "secret": str(secret), "victim": str(victim), "key": str(key), "fd": fd,
                "caller": os.getpid(), "address": ctypes.addressof(memory),
                "sentinel": sentinel.pid, "tcp": tcp.getsockname()[1], "tcp6": tcp6_port,
                "udp": udp.getsockname()[1], "unix": str(root / "unix"), "abstract": abstract,
                "datagram": str(root / "datagram"), "disk": _disk(), "beside": str(beside),
                "planted": planted, "library": str(root / "library"),
                "package": pinfold.__file__, "locked": str(locked),
            }  # fmt: skip
            assert sentinel.poll() is None, "the sentinel is dead"
        finally:
            os.close(fd)
            sentinel.kill()
            sentinel.wait()


def is_locked(path: str) -> bool:
    """Return whether a process has a lock by fcntl(2) on the file."""
    inode = os.stat(path).st_ino
    locks = [line.split() for line in Path("/proc/locks").read_text().splitlines()]
    return any(lock[1] == "POSIX" and lock[5].endswith(f":{inode}") for lock in locks)


def state_of(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def priorities_of(pid: int) -> tuple[object, ...]:
    libc = ctypes.CDLL(None)
    return (
        os.getpriority(os.PRIO_PROCESS, pid), libc.syscall(252, 1, pid),
        os.sched_getscheduler(pid), os.sched_getaffinity(pid), *_limits_of(pid),
    )  # fmt: skip


def _limits_of(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/limits").read_text().splitlines()


def _some_library() -> str:
    for line in Path("/proc/self/maps").read_text().splitlines():
        if line.endswith(".so") and "/pinfold/" in line:
            return line.split(None, 5)[5]
    raise AssertionError("no library")


def _disk() -> str:
    for name in ("/dev/vda", "/dev/sda", "/dev/nvme0n1"):
        if os.path.exists(name):
            return name
    return "/dev/sda"


@contextlib.contextmanager
def working_in(directory: str) -> Iterator[None]:
    before = os.getcwd()
    os.chdir(directory)
    try:
        yield
    finally:
        os.chdir(before)
        # The tree is deeper than the standard library can remove.
        fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        for name in ("d", "spills"):
            with contextlib.suppress(FileNotFoundError):
                inner = os.open(name, os.O_RDONLY | os.O_DIRECTORY, dir_fd=fd)
                _box.clear(inner, 0xFFFFFFFF)
                os.close(inner)
        os.close(fd)


def own_mark() -> bytes:
    return f"{MARK}={os.environ[MARK]}".encode()


def marked(mark: bytes | None = None) -> set[int]:
    """Return the processes that workers and their descendants have started and left."""
    mark = mark or own_mark()
    found = set()
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            if mark in Path(f"/proc/{name}/environ").read_bytes() and int(name) != os.getpid():
                found.add(int(name))
    return found


def call_of(program: Program, world: dict[str, Any], body: str = "") -> WorkerCall:
    text = "".join(f"    {line}\n" for line in (body or program.body).strip().splitlines())
    source = f"{PRELUDE}{SPILLS}\ndef f(w):\n{text}"
    return WorkerCall(code=source, function_name="f", args=[world], limits=program.limits)


def judge(program: Program, result: WorkerResult, world: dict[str, Any]) -> str:
    if program.check is not None:
        if program.check(result, world):
            return "not blocked"
        return "contained" if result.outcome == "ok" else "blocked"
    if result.outcome == "ok":
        return "not blocked" if result.value else "blocked"
    if result.outcome in ("lost", "internal"):  # the call took down more than itself
        return "not blocked"
    if result.outcome in ("exception", "bad_result"):
        return "blocked"
    return "contained"


@dataclass
class Verdict:
    word: str
    told: str = ""
    hard: list[str] = field(default_factory=list)
    """Why it is not blocked."""
    soft: list[str] = field(default_factory=list)
    """The same, of what a busy machine can do as well."""

    def settle(self) -> Verdict:
        if self.hard or self.soft:
            self.word = "not blocked"
        return self


@contextlib.contextmanager
def beside(backend: LocalBackend, program: Program) -> Iterator[None]:
    """Run the program's victim among the calls beside it."""
    if not program.beside:
        yield
        return
    body = f"    {program.beside}\n    time.sleep(60)\n"
    victim = backend.submit(WorkerCall(code=f"import time\ndef f():\n{body}", function_name="f"))
    until = time.monotonic() + 30
    while not any(os.path.exists(f"/proc/{pid}/cwd/note") for pid in marked()):
        assert time.monotonic() < until, "the call beside it does nothing"
        time.sleep(0.001)
    yield
    victim.cancel()


class Neighbour:
    """An honest call that exceeds its deadline, and the time at which its caller learns of it."""

    def __init__(self, backend: LocalBackend, deadline_s: float) -> None:
        self.due = time.monotonic() + deadline_s
        self.told_at = 0.0
        self.future = backend.submit(HANG, deadline_s=deadline_s)
        self.future.add_done_callback(self._told)

    def _told(self, _: object) -> None:
        self.told_at = time.monotonic()

    def late_s(self) -> float:
        """Return the delay, after the call has ended."""
        return max(0.0, self.told_at - self.due)


def memory(name: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1]) * 1024
    return 0


class Attack:
    """One program in a separate backend, which it may damage."""

    def __init__(self, program: Program, level: str, isolation: str) -> None:
        self.program, self.level, self.isolation = program, level, isolation
        self.boxed = level != "none"
        self.timed = self.boxed and bool(program.kind) and isolation == "fresh" and TIMED
        """Whether a call with a deadline stands beside it: once a level, as this takes its time."""
        self.verdict = Verdict("blocked")
        self.seen = Seen()

    def run(self) -> Verdict:
        program = self.program
        # Without a box, a program writes to its caller's directory.
        with world() as victims, working_in(victims["root"]):
            self.victims = victims
            Path(victims["victim"]).write_text("victim\n")
            sentinel = priorities_of(victims["sentinel"])
            setup = program.setup.replace("@", victims["root"]) or None
            config = WorkerConfig(
                sandbox=self.level,  # type: ignore[arg-type]
                isolation=self.isolation,  # type: ignore[arg-type]
                max_workers=3 if self.boxed and program.kind else 2,
                spill_dir=Path(victims["spills"]),
                setup=setup,
            )
            os.environ["PINFOLD_HOSTILE_SECRET"] = "s"
            with LocalBackend(config) as backend:
                assert backend.submit(HONEST).result(timeout=60).value == 45
                self._open(backend)
            until = time.monotonic() + 20
            while (left := marked()) and time.monotonic() < until:
                time.sleep(0.02)
            for pid in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            hard = self.verdict.hard
            if left:
                hard.append("processes outlived the pool")
            if files := list(Path(victims["spills"]).rglob("*")):
                hard.append(f"{files[0]} outlived the pool")
            kept = {".ssh", "secret", "victim", "payload"}
            if new := [p for p in Path(victims["home"]).iterdir() if p.name not in kept]:
                hard.append(f"{new[0]} was made")
            if self.boxed and Path(victims["victim"]).read_text() != "victim\n":
                hard.append("the victim was written to")
            if self.boxed and not is_locked(victims["locked"]):
                hard.append("the caller has lost its lock")
            if state_of(victims["sentinel"]) != "T":
                hard.append("the sentinel was signalled")
            if priorities_of(victims["sentinel"]) != sentinel:
                hard.append("the sentinel's priority or limits were changed")
            return self.verdict.settle()

    def _open(self, backend: LocalBackend) -> None:
        """Attack, and look for leftovers while the pool is open."""
        program = self.program
        before: dict[str, Any] = {}
        if self.boxed:
            before = backend.submit(hostile_look.look(self.level)).result(timeout=60).unwrap()
            assert isinstance(before, dict)
        gc.collect()
        descriptors, resident = len(os.listdir("/proc/self/fd")), memory("VmRSS")
        control = late = 0.0
        if self.timed:
            first = Neighbour(backend, 0.1)
            first.future.result(timeout=60)
            control = first.late_s()
        with beside(backend, program):
            honest = Neighbour(backend, NEIGHBOUR_S) if self.timed else None
            if honest is not None:
                while honest.future.running() is False and not honest.future.done():
                    time.sleep(0.001)
            accomplice = None
            if program.accomplice:
                other = call_of(program, self.victims, program.accomplice)
                accomplice = backend.submit(other, deadline_s=DEADLINE_S)
            for _ in range(program.times):
                result = self._once(backend)
                self.verdict.word = self._judge(result)
                if self.verdict.word == "not blocked":
                    break
            if accomplice is not None:
                accomplice.result(timeout=60)
            while honest is not None and not honest.future.done():
                again = backend.submit(call_of(program, self.victims), deadline_s=NEIGHBOUR_S)
                with contextlib.suppress(TimeoutError):
                    again.result(timeout=60)
        if honest is not None:
            honest.future.result(timeout=60)
            late = honest.late_s() - max(control, 0.05)
            if late > LATE_S:
                self.verdict.soft.append(f"a neighbour was told of its deadline {late:.2f} s late")
        pid = result.metrics.worker_pid if result.metrics else 0
        del result
        self._after(backend, before, descriptors, resident, pid)

    def _once(self, backend: LocalBackend) -> WorkerResult:
        program, seen = self.program, self.seen
        Path("/proc/self/clear_refs").write_text("5")
        resident, cpu = memory("VmRSS"), time.process_time()
        start = time.monotonic()
        attacking = backend.submit(call_of(program, self.victims), deadline_s=DEADLINE_S)
        if self.boxed and program.kind and not program.sent and program.neighbours:
            self._neighbours(backend, attacking, cpu)
        result = attacking.result(timeout=60)
        seen.cpu_s = time.process_time() - cpu
        seen.growth = memory("VmHWM") - resident
        took = time.monotonic() - start
        if took > DEADLINE_S + 2:
            self.verdict.soft.append(f"it was told {took - DEADLINE_S:.1f} s after its deadline")
        if program.sent:
            allowed = NS_PER_BYTE * 1e-9 * program.sent + 0.1
            if seen.cpu_s > allowed:
                self.verdict.soft.append(
                    f"it cost the caller {seen.cpu_s:.2f} s, not {allowed:.2f}"
                )
            bytes_ = min(TIMES * program.sent, program.limits.result_bytes or 1 << 62) + 24 * MIB
            if seen.growth > bytes_:
                grown = f"the caller grew by {seen.growth >> 20} MiB, not {bytes_ >> 20}"
                self.verdict.hard.append(grown)
        if program.then:
            later = call_of(program, self.victims, program.then)
            seen.then = backend.submit(later, deadline_s=DEADLINE_S).result(timeout=60)
            if seen.then.outcome == "ok" and seen.then.value and program.check in (None, harmless):
                self.verdict.hard.append(f"a later call got {seen.then.value!r:.60}")
        return result

    def _neighbours(self, backend: LocalBackend, attacking: Any, cpu: float) -> None:
        """Make honest calls with spills in turn while the program runs, and one more."""
        last = False
        while True:
            start = time.monotonic()
            echo = backend.submit(ECHO, deadline_s=20).result(timeout=60)
            took = time.monotonic() - start
            if echo.outcome == "lost" and self.isolation == "reuse":
                pass  # handed to the worker that this program then ended: docs/design.md
            elif echo.outcome != "ok" or echo.value != ECHO.args[0]:
                told = told_of(echo)
                self.verdict.hard.append(f"a neighbour's call failed: {echo.outcome}, {told:.100}")
                return
            if took > HELD_UP_S:
                self.verdict.soft.append(f"a neighbour's spill took {took:.2f} s")
            if self.program.alone and (wanting := resources()):
                self.verdict.hard.append(f"the caller is refused {wanting}")
                return
            if last:
                return
            last = attacking.done()
            time.sleep(0.02)

    def _judge(self, result: WorkerResult) -> str:
        told = told_of(result)
        self.verdict.told = f"{result.outcome}: {told[:90]!r}"
        seen = {**self.victims, "seen": self.seen}
        word = judge(self.program, result, seen)
        if word == "not blocked":
            self.verdict.told = f"got it: {self.verdict.told}"
        if self.boxed and word != "not blocked" and result.outcome in ("lost", "internal"):
            self.verdict.hard.append(f"it ended as {result.outcome}: {told[:90]}")
        if self.seen.then is not None:
            then = self.seen.then
            self.verdict.told += f" then {then.outcome}: {str(then.error.message if then.error else then.value)[:60]}"
        return word

    def _after(
        self,
        backend: LocalBackend,
        before: dict[str, Any],
        descriptors: int,
        resident: int,
        worker: int,
    ) -> None:
        hard, soft = self.verdict.hard, self.verdict.soft
        looks: list[str] = []
        after = backend.submit(HONEST, deadline_s=60).result(timeout=120)
        if after.value != 45:
            told = told_of(after)
            hard.append(f"an honest call afterwards ends as {after.outcome}: {told:.100}")
            return
        if not self.boxed:
            return
        for _ in range(2):
            found = backend.submit(hostile_look.look(self.level), deadline_s=60).result(timeout=120)
            if found.outcome != "ok":
                told = found.error.message if found.error else ""
                hard.append(f"a later call cannot look: {found.outcome}, {told:.200}")
                break
            assert isinstance(found.value, dict)
            if self.program.clean:
                looks = hostile_look.differences(before, found.value)
            if looks:
                break
        honest = {worker} if self.isolation == "reuse" else set()
        root = Path(self.victims["root"])
        until = time.monotonic() + 12  # deep trees take long to remove
        while True:
            pids = hostile_look.family(own_mark()) - {self.victims["sentinel"]}
            left = hostile_look.hostile_among(pids) - honest
            files = list(hostile_look.planted(self.victims["planted"], root, pids))
            if not left and not files:
                break
            if time.monotonic() > until:
                if left:
                    hard.append(f"{len(left)} processes are left between calls")
                if files:
                    hard.append(f"{files[0]} is left between calls")
                break
            time.sleep(0.02)
        gc.collect()
        if (now := len(os.listdir("/proc/self/fd"))) > descriptors + 20:
            hard.append(f"{now - descriptors} descriptors more in the caller")
        if (now := memory("VmRSS")) > resident + 64 * MIB:
            soft.append(f"{(now - resident) >> 20} MiB more in the caller")
        hard += looks


def told_of(result: WorkerResult) -> str:
    if result.error:
        return result.error.message
    try:
        return repr(result.value)
    except ValueError:  # an int with more digits than Python prints
        return "a large value"


def resources() -> str:
    """Return the resource shared by a user's processes that this process is refused, or ""."""
    libc = ctypes.CDLL(None, use_errno=True)
    fd = libc.inotify_init1(0)
    if fd < 0:
        return "an inotify instance"
    os.close(fd)
    r, w = os.pipe()
    size = libc.fcntl(r, 1032)
    os.close(r)
    os.close(w)
    if size < 65536:
        return "a pipe of 64 KiB"
    context = ctypes.c_ulong()
    if libc.syscall(206, 8, ctypes.byref(context)) < 0:
        return "an aio context"
    libc.syscall(207, context)
    number = int(signal.SIGRTMIN) + 8
    signal.pthread_sigmask(signal.SIG_BLOCK, [number])
    libc.pthread_self.restype = ctypes.c_void_p
    to = ctypes.c_void_p(libc.pthread_self())
    if libc.pthread_sigqueue(to, number, ctypes.c_void_p()) != 0:
        return "a queued signal"
    signal.sigtimedwait([number], 0)
    a, b = socket.socketpair()
    try:
        socket.send_fds(a, [b"x"], [0])
    except OSError:
        return "a descriptor in flight"
    finally:
        a.close()
        b.close()
    try:
        pid = os.fork()
    except OSError:
        return "a process"
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    return ""


def unavailable(level: str) -> bool:
    """Return whether this machine lacks anything that a level needs."""
    return bool(sandbox.isolation_of(WorkerConfig(sandbox=level)).missing)  # type: ignore[arg-type]


def attack(program: Program, level: str, isolation: str = "fresh") -> Verdict:
    return Attack(program, level, isolation).run()


# --- many of them ---------------------------------------------------------------------------------


class Task(NamedTuple):
    program: Program
    level: str
    isolation: str


ATTEMPT_S = 90.0


def fork_patiently() -> int:
    """Return os.fork(), tried again while a storm of processes that has ended still holds all pids."""
    until = time.monotonic() + 20
    while True:
        try:
            return os.fork()
        except BlockingIOError:
            if time.monotonic() > until:
                raise
            time.sleep(0.1)


class Attempt:
    """An attack in a separate process, whose end is part of the verdict."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self.started = time.monotonic()
        self.mark = f"{os.getpid()}-{time.time_ns()}"
        sys.stdout.flush()
        self.fd, end = os.pipe()
        self.text = b""
        self.pid = fork_patiently()
        if self.pid == 0:
            status = 1
            try:
                os.close(self.fd)
                os.setsid()
                os.environ[MARK] = self.mark
                verdict = attack(*task)
                os.write(end, json.dumps(asdict(verdict)).encode())
                status = 0
            except BaseException as error:
                import traceback

                traceback.print_exc()
                verdict = Verdict(
                    "not blocked", soft=[f"the runner: {type(error).__name__}: {error}"]
                )
                os.write(end, json.dumps(asdict(verdict)).encode())
            finally:
                sys.stderr.flush()
                os._exit(status)
        os.close(end)

    def late(self) -> bool:
        return time.monotonic() - self.started > ATTEMPT_S

    def end(self) -> Verdict:
        """Return the verdict. The attempt's pipe is at end-of-file, or the attempt is late."""
        frozen = self.late()
        if frozen:
            os.kill(self.pid, signal.SIGKILL)
        status = os.waitpid(self.pid, 0)[1]
        os.close(self.fd)
        if self.text and not frozen:
            return Verdict(**json.loads(self.text))
        with contextlib.suppress(OSError):
            os.killpg(self.pid, signal.SIGKILL)  # and its sentinel
        self._clear()
        if frozen:
            return Verdict("not blocked", hard=["the caller stood still"])
        return Verdict("not blocked", hard=[f"the caller died by signal {os.WTERMSIG(status)}"])

    def _clear(self) -> None:
        until = time.monotonic() + 10
        while left := marked(f"{MARK}={self.mark}".encode()):
            for pid in left if time.monotonic() > until - 8 else ():
                with contextlib.suppress(OSError):
                    os.kill(pid, signal.SIGKILL)
            if time.monotonic() > until:
                break
            time.sleep(0.05)


def attempt_all(tasks: list[Task], jobs: int) -> Iterator[tuple[Task, Verdict]]:
    """Start the tasks in this order; yield verdicts as they come."""
    waiting = list(reversed(tasks))
    running: dict[int, Attempt] = {}
    while waiting or running:
        while waiting and len(running) < jobs:
            attempt = Attempt(waiting.pop())
            running[attempt.fd] = attempt
        ready, _, _ = select.select(list(running), [], [], 0.5)
        for fd, attempt in list(running.items()):
            if fd in ready and (got := os.read(fd, 65536)):
                attempt.text += got
            elif fd in ready or attempt.late():
                del running[fd]
                yield attempt.task, attempt.end()


def attempt(task: Task) -> Verdict:
    """Attempt a task alone, up to three times if its failures depend on time."""
    for _ in range(3):
        ((_, verdict),) = attempt_all([task], 1)
        if verdict.hard or not verdict.soft:
            break
    return verdict


Rows = dict[str, dict[str, str]]
"""Name, then "level isolation user", then the verdict."""


def tasks_of(names: list[str], levels: list[str], isolations: list[str]) -> list[Task]:
    return [
        Task(program, level, isolation)
        for program in PROGRAMS
        if not names or program.name in names
        for level in levels
        if level in program.levels and (program.at_none or level != "none")
        for isolation in (isolations if level != "none" else ["fresh"])
    ]


def run(tasks: list[Task], jobs: int, user: str) -> Rows:
    rows: Rows = {}

    def tell(task: Task, verdict: Verdict) -> None:
        column = f"{task.level} {task.isolation} {user}"
        rows.setdefault(task.program.name, {})[column] = verdict.word
        why = "; ".join([*verdict.hard, *verdict.soft])[:300]
        print(
            f"{task.program.name:32} {column:22} {verdict.word:12} {verdict.told} {why}", flush=True
        )

    again = []
    for task, verdict in attempt_all([t for t in tasks if not t.program.alone], jobs):
        if verdict.soft and not verdict.hard and task.level != "none":
            again.append(task)
        else:
            tell(task, verdict)
    for task in [*again, *(t for t in tasks if t.program.alone)]:
        tell(task, attempt(task))
    return rows


def run_as_user(uid: int, arguments: list[str], report: Path) -> subprocess.Popen[bytes]:
    """Run again as an ordinary user, with copies of the package, its dependencies and the interpreter,
    because this user's may be unreadable for others."""
    place = report.parent
    site = place / "site"
    for name in ("pinfold", "cbor2", "cloudpickle", "numpy", "numpy.libs"):
        source = Path(pinfold.__file__).parents[1] / name
        if source.is_dir():
            shutil.copytree(
                source, site / name, ignore=shutil.ignore_patterns("tests", ".hostile*")
            )
    shutil.copytree(Path(__file__).parent, place / "hostile")
    python = _interpreter_for(uid, place)
    (place / "tmp").mkdir()
    for path in (place, *place.rglob("*")):
        os.chown(path, uid, uid, follow_symlinks=False)
    command = [
        *_as_user(uid), python, str(place / "hostile/hostile_run.py"),
        "--report", str(report), *arguments,
    ]  # fmt: skip
    environment = {
        **os.environ, "PYTHONPATH": str(site), "HOME": str(place), "TMPDIR": str(place / "tmp"),
    }  # fmt: skip
    return subprocess.Popen(command, env=environment, cwd=place)


def _as_user(uid: int) -> list[str]:
    return ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups"]


def _interpreter_for(uid: int, place: Path) -> str:
    there = "import os, sys; sys.exit(not os.path.exists(sys.executable))"
    if subprocess.run([*_as_user(uid), sys.executable, "-c", there], check=False).returncode == 0:
        return sys.executable
    base, version = Path(sys.base_prefix), f"python3.{sys.version_info.minor}"
    ignored = shutil.ignore_patterns(
        "test", "tests", "site-packages", "idlelib", "config-3*", "*.a"
    )
    shutil.copytree(base / "lib" / version, place / "python/lib" / version, ignore=ignored)
    for library in (base / "lib").glob("libpython*.so*"):
        shutil.copy(library, place / "python/lib", follow_symlinks=False)
    (place / "python/bin").mkdir()
    shutil.copy((base / "bin" / version).resolve(), place / "python/bin" / version)
    return str(place / "python/bin" / version)


# --- the table ------------------------------------------------------------------------------------

_WORST = ("not run", "blocked", "contained", "not blocked")


def cell(columns: dict[str, str], level: str) -> str:
    """Return the worst of a level's runs, and the runs that it holds for if not all."""
    words = {c.partition(" ")[2]: word for c, word in columns.items() if c.split()[0] == level}
    if not words:
        return "not run"
    worst = max(words.values(), key=_WORST.index)
    text = "**not blocked**" if worst == "not blocked" else worst
    where = [run for run, word in words.items() if word == worst]
    if len(where) == len(words):
        return text
    for names in zip(*(run.split() for run in words), strict=True):  # one isolation or one user
        for name in dict.fromkeys(names):
            if [run for run in words if name in run.split()] == where:
                return f"{text} ({name})"
    return f"{text} ({', '.join(where)})"


def markdown(rows: Rows, levels: list[str]) -> str:
    columns = {level: set[str]() for level in levels}
    for row in rows.values():
        for column in row:
            columns[column.split()[0]].add(column.partition(" ")[2])
    told = "; ".join(f"{level}: {', '.join(sorted(columns[level]))}" for level in levels)
    runs = sum(map(len, rows.values()))
    lines = [
        f"{len(rows)} programs, {runs} runs ({told}). A cell has the worst of its level's runs, and in"
        " brackets which of them, if it was not all.",
        "",
        f"| program | what it tries | {' | '.join(levels)} |",
        "|---" * (2 + len(levels)) + "|",
    ]
    lines += [
        f"| `{p.name}` | {p.tries} | {' | '.join(cell(rows[p.name], level) for level in levels)} |"
        for p in PROGRAMS
        if p.name in rows
    ]
    return "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="*")
    parser.add_argument("--level", action="append", choices=LEVELS)
    parser.add_argument("--isolation", action="append", choices=(*ISOLATIONS, "spawn"))
    parser.add_argument("--markdown", type=Path)
    parser.add_argument("--report", type=Path, help="write the findings as JSON")
    parser.add_argument("--jobs", type=int, default=3 * (os.cpu_count() or 1))
    parser.add_argument(
        "--untimed", action="store_true", help="run no calls with deadlines beside them"
    )
    parser.add_argument("--user", type=int, default=1000, help="the ordinary user")
    parser.add_argument("--no-user", action="store_true", help="do not run as that user")
    asked = parser.parse_args()
    global TIMED
    TIMED = not asked.untimed
    if unknown := set(asked.names) - {program.name for program in PROGRAMS}:
        parser.error(f"no program {', '.join(sorted(unknown))}")
    levels = asked.level or list(LEVELS)
    isolations = asked.isolation or list(ISOLATIONS)
    tasks = tasks_of(asked.names, levels, isolations)
    as_root = os.geteuid() == 0
    jobs = asked.jobs
    with tempfile.TemporaryDirectory(prefix="hostile-user-") as place:
        second = None
        report = Path(place) / "report.json"
        if as_root and not asked.no_user:
            os.chmod(place, 0o755)
            jobs = max(1, jobs // 2)
            boxes = [level for level in levels if level != "none"]
            arguments = [*asked.names, "--untimed", "--jobs", str(jobs)]
            arguments += [word for level in boxes for word in ("--level", level)]
            arguments += [word for isolation in isolations for word in ("--isolation", isolation)]
            if boxes:
                second = run_as_user(asked.user, arguments, report)
        rows = run(tasks, jobs, "root" if as_root else "user")
        if second is not None:
            second.wait()
            for name, row in json.loads(report.read_text()).items():
                rows.setdefault(name, {}).update(row)
    if asked.report:
        asked.report.write_text(json.dumps(rows))
    if asked.markdown:
        asked.markdown.write_text(markdown(rows, levels))
    open_ = {
        name
        for name, row in rows.items()
        for column, word in row.items()
        if word == "not blocked" and column.split()[0] != "none" and not is_known(name, column)
    }
    runs = sum(map(len, rows.values()))
    print(
        f"{len(rows)} programs, {runs} runs; not blocked in a box: {', '.join(sorted(open_)) or 'none'}"
    )
    return 1 if open_ else 0


if __name__ == "__main__":
    sys.exit(main())

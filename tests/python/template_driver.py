# SPDX-License-Identifier: Apache-2.0
"""Drive a template as a pool does, by the protocol of pinfold_worker.h."""

from __future__ import annotations

import array
import contextlib
import itertools
import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any

import pinfold._worker
from pinfold import _wire, codec

PATIENCE_S = 60.0

# All but PATH are for an instrumented build.
PASSED_ON = ("PATH", "LD_PRELOAD", "PYTHONMALLOC", "ASAN_OPTIONS", "UBSAN_OPTIONS")
PACKAGE = Path(pinfold._worker.__file__).parent.parent

SETUP, TEMPLATE, READY, FAILED, START, STARTED, EXITED, SWEPT, CALL, RESULT, STACK = range(1, 12)
OK, EXCEPTION, BAD, TOO_LARGE, INTERNAL = range(5)
SETUP_PDEATHSIG = EXITED_ORPHANS = CALL_SPILLED = RESULT_SPILLED = 1
RESULT_CHILDREN = 2
INLINE_MAX = 60000

HEAD = struct.Struct("<HBBIQ")
STARTED_BODY = struct.Struct("<iiQ")
EXITED_BODY = struct.Struct("<iIQQQ")
RESULT_BODY = struct.Struct("<QQQQIIiI")


@dataclass
class Frame:
    kind: int
    id: int
    body: bytes
    fds: list[int]

    def close(self) -> None:
        while self.fds:
            os.close(self.fds.pop())


def send(
    to: socket.socket, kind: int, number: int, body: bytes = b"", fds: Sequence[int] = ()
) -> None:
    head = HEAD.pack(0x4650, 2, kind, HEAD.size + len(body), number)
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
    to.sendmsg([head, body], rights)


def receive(source: socket.socket, timeout_s: float = PATIENCE_S) -> Frame | None:
    """Return the next frame, or None at the end of file. Fails if none arrives in time."""
    ready, _, _ = select.select([source], [], [], timeout_s)
    assert ready, "no frame came"
    take = partial(source.recvmsg, 65536, 1024, socket.MSG_CMSG_CLOEXEC)
    try:
        data, rights, _, _ = take()
    except ConnectionResetError:  # the peer ended with unread data; its own follows
        data, rights, _, _ = take()
    if not data:
        return None
    fds = array.array("i")
    for _level, _kind, part in rights:
        fds.frombytes(part)
    magic, version, kind, size, number = HEAD.unpack_from(data)
    assert (magic, version, size) == (0x4650, 2, len(data))
    return Frame(kind, number, data[HEAD.size :], list(fds))


def payload(segments: Sequence[Any]) -> bytes:
    views = [memoryview(segment).cast("B") for segment in segments]
    out = bytearray(struct.pack("<II", 0x4C504650, len(views)))
    out += b"".join(struct.pack("<Q", len(view)) for view in views)
    for view in views:
        out += bytes(-len(out) % 64)
        out += view
    return bytes(out)


def segments(data: bytes) -> list[memoryview]:
    magic, n = struct.unpack_from("<II", data)
    assert magic == 0x4C504650
    at = 8 + 8 * n
    found = []
    for length in struct.unpack_from(f"<{n}Q", data, 8):
        at += -at % 64
        found.append(memoryview(bytearray(data[at : at + length])))
        at += length
    assert at == len(data)
    return found


@dataclass
class Result:
    status: int
    flags: int
    segments: list[memoryview]
    user_us: int
    sys_us: int
    peak_kb: int

    @property
    def value(self) -> Any:
        assert self.status == OK, self.failure
        return codec.decode(self.segments, "data")

    @property
    def failure(self) -> _wire.Failure:
        return _wire.unpack_failure(self.segments)


@dataclass
class Exit:
    status: int
    flags: int
    peak_kb: int

    @property
    def signal(self) -> int:
        return os.WTERMSIG(self.status) if os.WIFSIGNALED(self.status) else 0

    @property
    def code(self) -> int:
        return os.WEXITSTATUS(self.status) if os.WIFEXITED(self.status) else -1


@dataclass
class Worker:
    number: int
    worker_id: str
    channel: socket.socket
    out: int
    err: int
    calls: int = 0
    pid: int = 0
    pidfd: int = -1
    inherited_kb: int = 0
    error: int = 0
    stacks: list[str] = field(default_factory=list)

    def call(
        self,
        code: str,
        function: str = "f",
        *args: Any,
        spill: bool = False,
        result_max: int = 0,
        kind: str = "data",
        **options: Any,
    ) -> None:
        request = _wire.pack_request(
            code=code,
            function=function,
            args=list(args),
            kwargs=options.get("kwargs", {}),
            python_path=options.get("python_path", []),
            env=options.get("env", {}),
            codec=kind,
        )
        data = payload(request)
        self.calls = next(numbers)
        if not spill and len(data) <= INLINE_MAX:
            body = struct.pack("<QQII", len(data), result_max, 0, 0) + data
            send(self.channel, CALL, self.calls, body)
            return
        with tempfile.TemporaryFile() as file:
            file.write(data)
            file.flush()
            body = struct.pack("<QQII", len(data), result_max, CALL_SPILLED, 0)
            send(self.channel, CALL, self.calls, body, [file.fileno()])

    def ask(self) -> str:
        """Ask for the call's stack and return it."""
        signal.pidfd_send_signal(self.pidfd, signal.SIGRTMAX - 3)
        frame = receive(self.channel)
        assert frame is not None and (frame.kind, frame.id) == (STACK, self.calls), frame
        return frame.body.decode()

    def result(self) -> Result | None:
        """Return the result, or None if the channel ends without one. Keeps stacks."""
        while frame := receive(self.channel):
            if frame.kind == STACK:
                assert frame.id == self.calls
                self.stacks.append(frame.body.decode())
                continue
            assert (frame.kind, frame.id) == (RESULT, self.calls), (frame.kind, frame.body)
            size, user, system, peak, status, flags, _, _ = RESULT_BODY.unpack_from(frame.body)
            data = frame.body[RESULT_BODY.size :]
            if flags & RESULT_SPILLED:
                assert not data and len(frame.fds) == 1
                data = os.pread(frame.fds[0], size, 0)
            frame.close()
            assert len(data) == size
            return Result(status, flags, segments(data), user, system, peak)
        return None

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)

    def line(self) -> str:
        """Return the next line that the worker prints."""
        line = b""
        while not line.endswith(b"\n"):
            ready, _, _ = select.select([self.out], [], [], PATIENCE_S)
            assert ready, "nothing was printed"
            line += (byte := os.read(self.out, 1))
            assert byte, "it has ended"
        return line.decode().rstrip()

    def printed(self, stream: str = "out") -> str:
        """Return the output up to its end; wait for the worker's death before."""
        fd = self.out if stream == "out" else self.err
        return b"".join(iter(lambda: os.read(fd, 65536), b"")).decode()

    def close(self) -> None:
        self.channel.close()
        for fd in (self.out, self.err, self.pidfd):
            if fd >= 0:
                os.close(fd)
        self.out = self.err = self.pidfd = -1


numbers = itertools.count(1)


class Template:
    """A template; this process stands in for the pool and the guard."""

    def __init__(
        self,
        isolation: str = "fresh",
        *,
        spill_dir: str,
        preload: Sequence[str] = (),
        setup: str | None = None,
        env: dict[str, str] | None = None,
        python: str = sys.executable,
        package: Path = PACKAGE,
        flags: int = SETUP_PDEATHSIG,
    ) -> None:
        settings = {
            "preload": list(preload),
            "setup": setup,
            "node_id": "node-1",
            "isolation": isolation,
            "package": str(package.parent),
            "path": [path for path in sys.path if path.endswith("site-packages")],
        }
        self.isolation = isolation
        self.control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.log = tempfile.TemporaryFile()  # noqa: SIM115
        self.workers: list[Worker] = []
        self.exits: dict[int, Exit] = {}
        self.swept: set[int] = set()
        command = [
            python,
            str(package / "_worker" / "boot" / "template.py"),
            "1",
            json.dumps(settings),
        ]
        kept = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
        environment = {**kept, **(env or {})}

        def descriptors() -> None:
            os.dup2(theirs.fileno(), 3)

        self.process = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=self.log,
            stderr=self.log,
            pass_fds=(3,),
            preexec_fn=descriptors,
        )
        theirs.close()
        body = struct.pack("<II", ("fresh", "reuse", "spawn").index(isolation), flags)
        send(self.control, SETUP, 0, body + spill_dir.encode())

    def ready(self) -> Template:
        frame = receive(self.control)
        assert frame is not None, self.printed()
        assert (frame.kind, frame.id) == (READY, 0), frame.body.decode()
        return self

    def failure(self) -> str:
        frame = receive(self.control)
        assert frame is not None and frame.kind == FAILED, frame
        return frame.body.decode()

    def printed(self) -> str:
        self.log.seek(0)
        return self.log.read().decode()

    def ask(self) -> Worker:
        """Ask for a worker, without waiting for it."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        out, out_write = os.pipe2(os.O_CLOEXEC)
        err, err_write = os.pipe2(os.O_CLOEXEC)
        number = next(numbers)
        worker = Worker(number, f"{number:012x}", ours, out, err)
        self.workers.append(worker)
        fds = [theirs.fileno(), out_write, err_write]
        send(self.control, START, number, worker.worker_id.encode().ljust(16, b"\0"), fds)
        theirs.close()
        os.close(out_write)
        os.close(err_write)
        return worker

    def start(self) -> Worker:
        worker = self.ask()
        while not (worker.pid or worker.error):
            assert self.hear()
        if self.isolation == "spawn":
            frame = receive(worker.channel)
            assert frame is not None and (frame.kind, frame.id) == (READY, worker.number), frame
        return worker

    def run(self, code: str, *args: Any, **options: Any) -> Result:
        """Call `f` in a new worker and return the result."""
        worker = self.start()
        worker.call(code, "f", *args, **options)
        result = worker.result()
        assert result is not None, self.exit_of(worker)
        return result

    def value(self, code: str, *args: Any, **options: Any) -> Any:
        return self.run(code, *args, **options).value

    def hear(self, timeout_s: float = PATIENCE_S) -> Frame | None:
        """Process the template's next report."""
        frame = receive(self.control, timeout_s)
        if frame is None:
            return None
        if frame.kind == STARTED:
            worker = next(worker for worker in self.workers if worker.number == frame.id)
            worker.pid, worker.error, worker.inherited_kb = STARTED_BODY.unpack(frame.body)
            worker.pidfd = frame.fds.pop() if frame.fds else -1
        elif frame.kind == EXITED:
            status, flags, _, _, peak = EXITED_BODY.unpack(frame.body)
            self.exits[frame.id] = Exit(status, flags, peak)
        elif frame.kind == SWEPT:
            self.swept.add(frame.id)
        else:
            raise AssertionError(frame)
        return frame

    def exit_of(self, worker: Worker) -> Exit:
        while worker.number not in self.exits:
            assert self.hear(), self.printed()
        return self.exits[worker.number]

    def until_swept(self, worker: Worker) -> None:
        """Wait until the template reports, with the exit or later, that nothing is left."""
        orphans = self.exit_of(worker).flags & EXITED_ORPHANS
        while orphans and worker.number not in self.swept:
            assert self.hear(), self.printed()

    def drop(self) -> None:
        """End all workers, and wait until they are gone."""
        for worker in self.workers:
            if worker.pid and worker.number not in self.exits:
                worker.kill()
            self.exit_of(worker)
            worker.close()
        self.workers.clear()

    def close(self) -> None:
        self.control.close()
        self.process.wait(PATIENCE_S)
        for worker in self.workers:
            worker.close()
        self.log.close()

    def __enter__(self) -> Template:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        self.close()


def dies(pid: int) -> bool:
    """Return whether the process is dead or dies within PATIENCE_S."""
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    ready, _, _ = select.select([pidfd], [], [], PATIENCE_S)
    os.close(pidfd)
    return bool(ready)

"""Runs the hostile programs at each level, and prints the table program x level.

    python tests/hostile/hostile_run.py [--markdown FILE] [--level LEVEL ...] [NAME ...]

*blocked*: the program was refused what it tried. *contained*: it did something, and the call's end
undid it. **not blocked**: it got it. The exit status is 1 if `strict` shows anything not blocked
that is not listed as such below, with the reason.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from hostile_programs import PRELUDE, PROGRAMS, Program

from pinfold import LocalBackend, WorkerCall, WorkerConfig, WorkerResult
from pinfold.runtime import _box

LEVELS = ("none", "standard", "strict")
DEADLINE_S = 4.0
HONEST = WorkerCall(code="def f(n):\n    return sum(range(n))\n", function_name="f", args=[10])
MARK = "LOKY_PINFOLD_HOSTILE"

# What no mechanism of the kernel blocks without a cgroup of one's own, or a quota.
KNOWN = {
    "use_memfd": "memory in a file that nobody maps is counted by memory cgroups only",
    "use_threads": "RLIMIT_NPROC counts per user; stacks' addresses bound threads",
}


@contextlib.contextmanager
def world() -> Iterator[dict[str, Any]]:
    """Victims for the programs: files, servers, a process. All of them end with this."""
    with (
        tempfile.TemporaryDirectory(prefix="hostile-") as directory,
        contextlib.ExitStack() as stack,
    ):
        root = Path(directory)
        (root / "home/.ssh").mkdir(parents=True)
        (root / "spills").mkdir()
        secret, victim, key = root / "home/secret", root / "home/victim", root / "home/.ssh/id"
        for path in (secret, key):
            path.write_text("secret\n")
        tcp = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        tcp6_port = 9
        with contextlib.suppress(OSError):
            tcp6 = stack.enter_context(socket.create_server(("::1", 0), family=socket.AF_INET6))
            tcp6_port = tcp6.getsockname()[1]
        udp = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        udp.bind(("127.0.0.1", 0))
        unix = stack.enter_context(socket.socket(socket.AF_UNIX))
        unix.bind(str(root / "unix"))
        unix.listen()
        abstract = f"\0pinfold-hostile-{os.getpid()}"
        named = stack.enter_context(socket.socket(socket.AF_UNIX))
        named.bind(abstract)
        named.listen()
        datagram = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
        datagram.bind(str(root / "datagram"))
        environment = {k: v for k, v in os.environ.items() if k != MARK}
        # Stopped: a SIGCONT, which hurts nobody, shows.
        sentinel = subprocess.Popen(["sleep", "3000"], env=environment)
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
                "datagram": str(root / "datagram"), "disk": _disk(),
            }  # fmt: skip
            assert sentinel.poll() is None, "the sentinel is dead"
        finally:
            os.close(fd)
            sentinel.kill()
            sentinel.wait()


def state_of(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


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
        # Deeper than what the standard library removes.
        fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        for name in ("d", "spills"):
            with contextlib.suppress(FileNotFoundError):
                inner = os.open(name, os.O_RDONLY | os.O_DIRECTORY, dir_fd=fd)
                _box.clear(inner, 0xFFFFFFFF)
                os.close(inner)
        os.close(fd)


def marked() -> set[int]:
    """Processes that workers, or anything below them, have started and left."""
    own = f"{MARK}={os.environ[MARK]}".encode()
    found = set()
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            if own in Path(f"/proc/{name}/environ").read_bytes() and int(name) != os.getpid():
                found.add(int(name))
    return found


def call_of(program: Program, world: dict[str, Any]) -> WorkerCall:
    body = "".join(f"    {line}\n" for line in program.body.splitlines())
    source = f"{PRELUDE}\ndef f(w):\n{body}"
    return WorkerCall(code=source, function_name="f", args=[world], limits=program.limits)


def judge(program: Program, result: WorkerResult, world: dict[str, Any]) -> str:
    if program.check is not None:
        if program.check(result, world):
            return "not blocked"
        return "contained" if result.outcome == "ok" else "blocked"
    if result.outcome == "ok":
        return "not blocked" if result.value else "blocked"
    if result.outcome in ("lost", "internal"):  # it brought down more than itself
        return "not blocked"
    if result.outcome in ("exception", "bad_result"):
        return "blocked"
    return "contained"


@contextlib.contextmanager
def beside(backend: LocalBackend, program: Program) -> Iterator[None]:
    """The program's victim among the calls runs, and has done what it does."""
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


def attack(program: Program, level: str) -> tuple[str, WorkerResult]:
    """One program in a backend of its own: it may do to it what it can."""
    # Without a box, a program writes to where its caller is.
    with world() as victims, working_in(victims["root"]):
        Path(victims["victim"]).write_text("victim\n")
        config = WorkerConfig(sandbox=level, max_workers=2, spill_dir=Path(victims["spills"]))
        os.environ["PINFOLD_HOSTILE_SECRET"] = "s"
        with LocalBackend(config) as backend:
            assert backend.submit(HONEST).result(timeout=60).value == 45
            with beside(backend, program):
                attacking = backend.submit(call_of(program, victims), deadline_s=DEADLINE_S)
                result = attacking.result(timeout=60)
            verdict = judge(program, result, victims)
            if state_of(victims["sentinel"]) != "T":
                verdict = "not blocked"
            after = backend.submit(HONEST, deadline_s=60).result(timeout=120)
            if after.value != 45:
                verdict = "not blocked"
        until = time.monotonic() + 20
        while (left := marked()) and time.monotonic() < until:
            time.sleep(0.02)
        for pid in left:
            verdict = "not blocked"
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        files = list(Path(victims["spills"]).rglob("*"))
        planted = [p for p in Path(victims["home"]).iterdir() if p.name not in KEPT]
        if files or planted:
            verdict = "not blocked"
        if level != "none" and Path(victims["victim"]).read_text() != "victim\n":
            verdict = "not blocked"
        return verdict, result


KEPT = {".ssh", "secret", "victim"}


def table(names: list[str], levels: list[str]) -> dict[str, dict[str, str]]:
    rows: dict[str, dict[str, str]] = {}
    for program in PROGRAMS:
        if names and program.name not in names:
            continue
        rows[program.name] = {}
        for level in levels:
            if level == "none" and not program.at_none:
                rows[program.name][level] = "not run"
                continue
            verdict, result = attack(program, level)
            rows[program.name][level] = verdict
            told = result.error.message if result.error else repr(result.value)
            print(
                f"{program.name:32} {level:9} {verdict:12} {result.outcome:13} {told[:90]!r}",
                flush=True,
            )
    return rows


def markdown(rows: dict[str, dict[str, str]], levels: list[str]) -> str:
    tries = {program.name: program.tries for program in PROGRAMS}
    lines = [
        f"| program | what it tries | {' | '.join(levels)} |",
        "|---" * (2 + len(levels)) + "|",
    ]
    for name, verdicts in rows.items():
        cells = [
            "**not blocked**" if verdicts[level] == "not blocked" else verdicts[level]
            for level in levels
        ]
        lines.append(f"| `{name}` | {tries[name]} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="*")
    parser.add_argument("--level", action="append", choices=LEVELS)
    parser.add_argument("--markdown", type=Path)
    asked = parser.parse_args()
    os.environ[MARK] = f"{os.getpid()}-{time.time_ns()}"
    levels = asked.level or list(LEVELS)
    rows = table(asked.names, levels)
    if asked.markdown:
        asked.markdown.write_text(markdown(rows, levels))
    open_ = [name for name, row in rows.items() if row.get("strict") == "not blocked"]
    print(f"{len(rows)} programs; not blocked at strict: {', '.join(open_) or 'none'}")
    return 1 if set(open_) - KNOWN.keys() else 0


if __name__ == "__main__":
    sys.exit(main())

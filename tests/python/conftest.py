# SPDX-License-Identifier: Apache-2.0
"""The fixtures of all tests: they make backends, and count what a test leaves behind.

A test fails if anything is there after it that was not there before: processes, descriptors,
threads, mappings of spills, files and directories in spill directories. The count waits for things
that go away by themselves, because a shutdown may end in the background.
"""

from __future__ import annotations

import contextlib
import gc
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import pytest

import pinfold
from pinfold.config import default_spill_dir

# Workers and their children inherit this variable, because of its prefix. It finds processes that
# no chain of parents leads to.
MARK = "LOKY_PINFOLD_TESTS"
os.environ[MARK] = uuid.uuid4().hex
MARKED = f"{MARK}={os.environ[MARK]}".encode()

# Set on many machines and let through to workers, but not set for most users: a test that needs
# them sets them.
for variable in ("PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE"):
    os.environ.pop(variable, None)

GONE_WITHIN_S = 60.0


@dataclass
class Count:
    """Everything that the count looks at, at one moment."""

    processes: dict[int, str] = field(default_factory=dict)
    descriptors: dict[str, str] = field(default_factory=dict)
    threads: dict[int, str] = field(default_factory=dict)
    mappings: dict[str, str] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)

    def beyond(self, before: Count) -> list[str]:
        """Return one line for each thing that is here and was not in `before`."""
        return [
            f"{kind.name}: {name} {text}".rstrip()
            for kind in fields(self)
            for name, text in getattr(self, kind.name).items()
            if name not in getattr(before, kind.name)
            or (kind.name == "descriptors" and before.descriptors[name] != text)
        ]


def pytest_configure(config: pytest.Config) -> None:
    """Restore signals that tests send themselves; nohup and background jobs ignore them. Set a
    TMPDIR of this process: in a shared one, each test would wait for the spills of other processes.
    """
    for number in (signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if hasattr(config, "workerinput") or not config.getoption("numprocesses", None):
        directory = tempfile.mkdtemp(prefix="pinfold-tests-")
        os.environ["TMPDIR"] = directory
        config.add_cleanup(lambda: shutil.rmtree(directory, ignore_errors=True))


def pytest_collection_finish() -> None:
    with contextlib.suppress(ImportError):
        import numpy  # noqa: F401 - its BLAS starts threads, which no test has left behind


class OtherProcesses:
    """Processes that are unrelated to the tests, so that later counts skip them.

    A pid means another process in the next count only if the kernel used all pids in between.
    """

    def __init__(self) -> None:
        self._pids: set[int] = set()

    def without(self, pids: set[int]) -> set[int]:
        self._pids &= pids
        return pids - self._pids

    def add(self, pids: set[int]) -> None:
        self._pids |= pids


OTHERS = OtherProcesses()


def count(spill_dirs: list[Path], *, learn: bool = False) -> Count:
    """Count this process's things, its descendants, processes with the mark, and files in the
    directories. With `learn`, later counts skip the unrelated processes of this one."""
    now = Count()
    now.processes = _processes(learn)
    for fd in os.listdir("/proc/self/fd"):
        try:
            now.descriptors[fd] = os.readlink(f"/proc/self/fd/{fd}")
        except OSError:  # the listing's own
            continue
    names = {thread.native_id: thread.name for thread in threading.enumerate()}
    for tid in map(int, os.listdir("/proc/self/task")):
        now.threads[tid] = names.get(tid, "(not Python's)")
    wanted = ["memfd:", *map(str, spill_dirs)]
    maps = _read("self", "maps").decode(errors="surrogateescape")
    if any(text in maps for text in wanted):
        for line in maps.splitlines():
            place, _, rest = line.partition(" ")
            if any(text in rest for text in wanted):
                now.mappings[place] = rest
    for directory in spill_dirs:
        for place, below, found in os.walk(directory):  # passes over entries that vanish meanwhile
            now.files |= {os.path.join(place, name): "" for name in below + found}
    return now


def _processes(learn: bool) -> dict[int, str]:
    own = os.getpid()
    pids = OTHERS.without({int(name) for name in os.listdir("/proc") if name.isdigit()})
    parents: dict[int, int] = {}
    marked: set[int] = set()
    for pid in pids - {own}:
        try:
            parents[pid] = int(_read(pid, "stat").rpartition(b")")[2].split()[1])
            if MARKED in _read(pid, "environ").split(b"\0"):
                marked.add(pid)
        except OSError:
            continue
    ours = {pid for pid in parents if pid in marked or _descends(pid, parents)}
    if learn:
        OTHERS.add(parents.keys() - ours)
    return {pid: _describe(pid) for pid in ours}


def _read(pid: int | str, name: str) -> bytes:
    with open(f"/proc/{pid}/{name}", "rb", buffering=0) as file:
        return file.readall()


def _describe(pid: int) -> str:
    try:
        lines = _read(pid, "status").decode(errors="replace").splitlines()
        status = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
        command = _read(pid, "cmdline").replace(b"\0", b" ")
    except OSError:
        return "gone"
    return f"{status['Name']} ({status['State']}) of {status['PPid']}: {command[:120]!r}"


def _descends(pid: int, parents: dict[int, int]) -> bool:
    while (parent := parents.get(pid, 0)) > 1:
        if parent == os.getpid():
            return True
        pid = parent
    return False


@pytest.fixture(autouse=True)
def leftovers(tmp_path: Path) -> Iterator[Callable[[], None]]:
    """Count before and after each test; a test may call it to count in between."""
    spill_dirs = [tmp_path / "spills", default_spill_dir()]
    gc.collect()
    before = count(spill_dirs, learn=True)

    def check() -> None:
        gc.collect()
        until = time.monotonic() + GONE_WITHIN_S
        while left := count(spill_dirs).beyond(before):
            if time.monotonic() > until:
                _end(before, spill_dirs)
                pytest.fail("left behind:\n" + "\n".join(left))
            time.sleep(0.01)

    yield check
    check()
    gc.freeze()  # collections of later tests need not walk objects that outlive this one


def _end(before: Count, spill_dirs: list[Path]) -> None:
    """Kill the processes that a failed test left, so that they do not fail later tests."""
    for pid in count(spill_dirs).processes.keys() - before.processes.keys():
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


def output_of(script: str, *args: str | Path, **options: Any) -> str:
    """Run a script in a new interpreter and return its output. It must succeed within a minute.
    `options` are those of subprocess.run."""
    done = subprocess.run(
        [sys.executable, "-c", script, *args],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        **options,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


MakeBackend = Callable[..., pinfold.LocalBackend]


@pytest.fixture
def spill_dir(tmp_path: Path) -> Path:
    return tmp_path / "spills"


@pytest.fixture
def make_backend(leftovers: object, spill_dir: Path) -> Iterator[MakeBackend]:
    """Return a function that makes backends of two workers; close them after the test."""
    made: list[pinfold.LocalBackend] = []

    def make(**config: Any) -> pinfold.LocalBackend:
        given = {"max_workers": 2, "spill_dir": spill_dir, **config}
        made.append(pinfold.LocalBackend(pinfold.WorkerConfig(**given)))
        return made[-1]

    yield make
    for backend in made:
        backend.close()


@pytest.fixture(params=["fresh", "reuse"])
def isolation(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def backend(make_backend: MakeBackend) -> pinfold.LocalBackend:
    """Return a backend of two fresh workers."""
    return make_backend()


@pytest.fixture
def either(make_backend: MakeBackend, isolation: str) -> pinfold.LocalBackend:
    """Return a backend of two workers, once ``fresh`` and once ``reuse``."""
    return make_backend(isolation=isolation)


@pytest.fixture
def default(leftovers: object, spill_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Set the environment of the default backend, and shut that down after the test."""
    monkeypatch.setenv("PINFOLD_SPILL_DIR", str(spill_dir))
    monkeypatch.setenv("PINFOLD_MAX_WORKERS", "2")
    yield
    pinfold.shutdown_executor(wait=True)

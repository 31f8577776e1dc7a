"""What every test stands on: fixtures that make backends, and the count of what a test left behind.

A test fails if anything is there after it that was not there before: processes, descriptors,
threads, mappings of spills, files and directories in spill directories. The count waits for what
goes away by itself, because a shutdown may end in the background; a leftover is what stays.
"""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import subprocess
import sys
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

# Workers, and whatever they start, inherit this variable: it has a prefix that is let through. It
# finds processes that no chain of parents leads to any more.
MARK = "LOKY_PINFOLD_TESTS"
os.environ[MARK] = uuid.uuid4().hex

# Set on many machines, let through to workers, and not what users have: a test that needs them set
# sets them.
for variable in ("PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE"):
    os.environ.pop(variable, None)

GONE_WITHIN_S = 60.0


@dataclass
class Count:
    """What there is now."""

    processes: dict[int, str] = field(default_factory=dict)
    descriptors: dict[str, str] = field(default_factory=dict)
    threads: dict[int, str] = field(default_factory=dict)
    mappings: dict[str, str] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)

    def beyond(self, before: Count) -> list[str]:
        """What is here and was not there, one line each."""
        return [
            f"{kind.name}: {name} {text}".rstrip()
            for kind in fields(self)
            for name, text in getattr(self, kind.name).items()
            if name not in getattr(before, kind.name)
            or (kind.name == "descriptors" and before.descriptors[name] != text)
        ]


def pytest_configure() -> None:
    """nohup, and a shell's jobs in the background, ignore signals that tests send themselves."""
    for number in (signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_finish() -> None:
    """What is there for good is not looked at again in the collections of every test."""
    with contextlib.suppress(ImportError):
        import numpy  # noqa: F401 - its BLAS starts threads, which no test has left behind
    gc.collect()
    gc.freeze()


def count(spill_dirs: list[Path]) -> Count:
    """What there is, in this process, in those that descend from it or carry the mark, and in the
    directories."""
    now = Count()
    parents = {}
    mark = f"{MARK}={os.environ[MARK]}".encode()
    for pid in (int(name) for name in os.listdir("/proc") if name.isdigit()):
        try:
            parents[pid] = int(_read(pid, "stat").rpartition(b")")[2].split()[1])
            marked = mark in _read(pid, "environ").split(b"\0")
        except OSError:
            continue
        if pid != os.getpid() and marked:
            now.processes[pid] = _describe(pid)
    now.processes |= {pid: _describe(pid) for pid in parents if _descends(pid, parents)}

    for fd in os.listdir("/proc/self/fd"):
        try:
            now.descriptors[fd] = os.readlink(f"/proc/self/fd/{fd}")
        except OSError:  # the listing's own
            continue
    names = {thread.native_id: thread.name for thread in threading.enumerate()}
    for tid in map(int, os.listdir("/proc/self/task")):
        now.threads[tid] = names.get(tid, "(not Python's)")
    for line in Path("/proc/self/maps").read_text().splitlines():
        place, _, rest = line.partition(" ")
        if any(str(path) in rest for path in spill_dirs) or "memfd:" in rest:
            now.mappings[place] = rest
    for directory in spill_dirs:
        for place, below, found in os.walk(directory):  # which passes over what vanishes meanwhile
            if directory != default_spill_dir():  # where others may have pools
                found += below
            now.files |= {os.path.join(place, name): "" for name in found}
    return now


def _read(pid: int, name: str) -> bytes:
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
    """Counts before and after; a test may call it to count in between."""
    spill_dirs = [tmp_path / "spills", default_spill_dir()]
    gc.collect()
    before = count(spill_dirs)

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


def _end(before: Count, spill_dirs: list[Path]) -> None:
    """What a failed test left must not fail the next ones."""
    for pid in count(spill_dirs).processes.keys() - before.processes.keys():
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


def output_of(script: str, *args: str | Path, **options: Any) -> str:
    """What a program of its own prints, which ends within a minute, and ends well. `options` are
    those of subprocess.run."""
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
    """Makes backends of two workers with the fields given, and closes them after the test."""
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
    """A backend of two fresh workers."""
    return make_backend()


@pytest.fixture
def either(make_backend: MakeBackend, isolation: str) -> pinfold.LocalBackend:
    """A backend of two workers, once ``fresh`` and once ``reuse``."""
    return make_backend(isolation=isolation)


@pytest.fixture
def default(leftovers: object, spill_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Surroundings for the default backend, which is dropped after the test."""
    monkeypatch.setenv("PINFOLD_SPILL_DIR", str(spill_dir))
    monkeypatch.setenv("PINFOLD_MAX_WORKERS", "2")
    yield
    pinfold.shutdown_executor(wait=True)

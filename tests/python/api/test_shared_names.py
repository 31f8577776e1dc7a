# SPDX-License-Identifier: Apache-2.0
"""Names in /dev/shm that a resource tracker knows are removed with the call."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import MakeBackend
from pinfold import Limits, LocalBackend, WorkerCall
from programs import SQUARE

SHM = "/dev/shm"

SOURCE = """
import multiprocessing, os, signal, subprocess, sys, time
from multiprocessing import shared_memory

def leave(path):
    memory = shared_memory.SharedMemory(create=True, size=1 << 20)
    semaphore = multiprocessing.get_context("spawn").Semaphore()
    with open(path, "a") as file:
        print(memory.name, "sem." + semaphore._semlock.name[1:], file=file)
    return memory, semaphore

def value(path):
    return len(leave(path))

def value_beside_a_child(path):
    kept = leave(path)
    if os.fork() == 0:  # which holds the tracker's pipe as well
        time.sleep(60)
    return len(kept)

def exception(path):
    kept = leave(path)
    raise ValueError

def exit(path):
    kept = leave(path)
    os._exit(3)

def abort(path):
    kept = leave(path)
    os.abort()

def killed(path):
    kept = leave(path)
    os.kill(os.getpid(), signal.SIGKILL)

def timeout(path):
    kept = leave(path)
    time.sleep(60)

def of_a_child(path):
    subprocess.Popen([sys.executable, "-c", '''
import sys, time
from multiprocessing import shared_memory
memory = shared_memory.SharedMemory(create=True, size=1 << 20)
with open(sys.argv[1], "a") as file:
    print(memory.name, file=file)
time.sleep(60)
''', path])
    time.sleep(60)
"""

NAMES = [line[4:-7] for line in SOURCE.splitlines() if line.startswith("def ")][1:]


@pytest.fixture
def told(tmp_path: Path) -> Iterator[Path]:
    """Return a file in which calls list the names that they leave. All are gone in the end."""
    path = tmp_path / "names"
    path.touch()
    yield path
    until = time.monotonic() + 10
    while left := there(path):
        assert time.monotonic() < until, left
        time.sleep(0.01)


def there(path: Path) -> list[str]:
    return [name for name in path.read_text().split() if os.path.exists(f"{SHM}/{name}")]


@pytest.mark.parametrize("isolation", ["fresh", "reuse", "spawn"])
def test_shared_memory_and_semaphores_of_a_call_are_gone_when_it_is_told(
    isolation: str, make_backend: MakeBackend, told: Path
) -> None:
    backend = make_backend(isolation=isolation, max_workers=1)
    for n, name in enumerate(NAMES, 1):
        limits = Limits(wall_s=1 if name in ("timeout", "of_a_child") else 60)
        future = backend.submit(WorkerCall(SOURCE, name, [str(told)], limits=limits))
        result = future.result(timeout=60)
        assert told.read_text().count("psm_") == n, result
        # A timeout is reported at once, and the names are removed soon after.
        assert result.outcome == "timeout" or not there(told), (name, result)
    assert backend.submit(SQUARE).result(timeout=60).value == 49


def test_a_process_that_is_deaf_to_signals_gets_half_a_second_at_most(
    backend: LocalBackend,
) -> None:
    body = """
import os, signal, time
def f():
    for _ in range(40):
        if os.fork() == 0:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            time.sleep(60)
    time.sleep(0.2)
    return 1
"""
    assert backend.submit(WorkerCall(body, "f")).result(timeout=30).value == 1


CALLER = f"""
import sys, time
from pinfold import LocalBackend, WorkerCall, WorkerConfig
backend = LocalBackend(WorkerConfig(max_workers=1, isolation=sys.argv[1]))
future = backend.submit(WorkerCall({SOURCE!r}, "timeout", [sys.argv[2]]))
time.sleep(60)
"""


@pytest.mark.parametrize("isolation", ["fresh", "reuse", "spawn"])
def test_they_are_gone_when_the_caller_is_killed(isolation: str, told: Path) -> None:
    caller = subprocess.Popen([sys.executable, "-c", CALLER, isolation, told])
    until = time.monotonic() + 30
    while not there(told):
        assert time.monotonic() < until
        time.sleep(0.01)
    caller.send_signal(signal.SIGKILL)
    caller.wait()

# SPDX-License-Identifier: Apache-2.0
"""Open a backend, make a few calls of every kind, and close: python scenario.py ISOLATION SANDBOX.

tests/stress/faults/faults.h may make one call of the guard, the template or a worker fail. Every
call must still have one outcome, its own or an error of Pinfold's, a value must be right, later
calls must run, and nothing may be left when the backend is shut down.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
import threading
from concurrent.futures import Future
from pathlib import Path

import pinfold
from pinfold.config import DEFAULT_ENV_WHITELIST

SOURCE = """
import os, time

def short(i):
    return i

def large(data):
    return data + data

def prints():
    print("x" * 5000)

def crash():
    os.abort()

def end():
    os._exit(3)

def daemon():
    if os.fork() == 0:
        os.setsid()
        time.sleep(3600)

def change():
    os.chdir("/")
    os.umask(0)
    os.environ["X"] = "y"

def sleep():
    time.sleep(3600)
"""
LARGE = b"x" * 100_000

# The function, its arguments, its outcome, and its value.
STEPS: tuple[tuple[str, list[object], str, object], ...] = (
    ("short", [1], "ok", 1),
    ("large", [LARGE], "ok", LARGE + LARGE),
    ("prints", [], "ok", None),
    ("change", [], "ok", None),
    ("crash", [], "signalled", None),
    ("end", [], "exited", None),
    ("daemon", [], "ok", None),
    ("sleep", [], "timeout", None),
)
AFTERWARDS = 3  # at most one of these calls is hit

Submitted = Future[pinfold.WorkerResult]


def submit(backend: pinfold.LocalBackend, name: str, args: list[object]) -> Submitted | None:
    """Return the call's future, or None if an error of Pinfold's refused the call."""
    call = pinfold.WorkerCall(SOURCE, name, args=args)
    try:
        return backend.submit(call, deadline_s=0.3 if name == "sleep" else 60)
    except pinfold.PoolError as error:
        assert str(error)
        return None


def check(name: str, outcome: str, value: object, future: Submitted | None) -> bool:
    """Return whether the call had its own outcome, not an error of Pinfold's."""
    if future is None:
        return False
    result = future.result(timeout=100)
    told = f"{name}: {result.outcome}, not {outcome}: {result.error}"
    # A full disk makes a bad result.
    full = name == "large" and re.search("does not fit|No space left|quota exceeded", told)
    assert full or result.outcome in (outcome, "internal", "lost"), told
    if result.outcome == "ok":
        assert result.value == value, name
    else:
        assert result.error is not None and (result.error.message or result.error.type), told
    return result.outcome == outcome


def run(backend: pinfold.LocalBackend) -> None:
    futures = [submit(backend, name, args) for name, args, _, _ in STEPS]
    for (name, _, outcome, value), future in zip(STEPS, futures, strict=True):
        check(name, outcome, value, future)
    right = [check("short", "ok", i, submit(backend, "short", [i])) for i in range(AFTERWARDS)]
    assert right.count(False) <= 1, right


def main() -> None:
    isolation, sandbox = sys.argv[1:]
    descriptors = len(os.listdir("/proc/self/fd"))
    with tempfile.TemporaryDirectory() as directory:
        spill_dir = Path(directory) / "spills"
        config = pinfold.WorkerConfig(
            max_workers=2,
            spill_dir=spill_dir,
            isolation=isolation,  # type: ignore[arg-type]
            sandbox=sandbox,  # type: ignore[arg-type]
            max_calls_per_worker=3,
            setup_timeout_s=30,
            env_whitelist=(*DEFAULT_ENV_WHITELIST, *os.environ),
        )
        try:
            with pinfold.LocalBackend(config) as backend:
                run(backend)
        except (pinfold.PoolError, pinfold.InvalidConfig) as error:  # the pool could not start
            assert str(error)
            with pinfold.LocalBackend(config) as backend:
                run(backend)
        left = [path for path in spill_dir.rglob("*") if path.is_file()]
        assert not left, left
    assert len(os.listdir("/proc/self/fd")) == descriptors
    assert threading.active_count() == 1, threading.enumerate()


main()

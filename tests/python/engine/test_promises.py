# SPDX-License-Identifier: Apache-2.0
"""Pinfold's promises about deaths, deadlines and size, under adverse loads."""

from __future__ import annotations

import contextlib
import os
import random
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, wait
from pathlib import Path

import numpy  # imported here, because its threads stay
import pytest

import pinfold
from boxes import level_is_there
from conftest import MakeBackend, output_of
from pinfold import WorkerCall

HERE = Path(__file__).parents[1]
ROUNDS = int(os.environ.get("PINFOLD_KILL_ROUNDS", "100"))


def test_sleepers_time_out_and_a_thousand_short_calls_beside_them_are_ok(
    make_backend: MakeBackend,
) -> None:
    backend = make_backend(max_workers=8)
    sleeper = WorkerCall("import time\ndef f():\n    time.sleep(3600)", "f")
    short = WorkerCall("def f(i):\n    return i", "f")
    sleepers = [backend.submit(sleeper, deadline_s=1) for _ in range(64)]
    trivial = [
        backend.submit(WorkerCall(short.code, "f", args=[i]), deadline_s=120) for i in range(1000)
    ]
    assert [future.result().outcome for future in sleepers] == ["timeout"] * 64
    results = [future.result() for future in trivial]
    assert [result.outcome for result in results] == ["ok"] * 1000
    assert [result.value for result in results] == list(range(1000))


def _caller(spill_dir: Path, isolation: str, sandbox: str = "none") -> subprocess.Popen[str]:
    caller = subprocess.Popen(
        [sys.executable, str(HERE / "mixed_load.py"), str(spill_dir), isolation, sandbox],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert caller.stdout is not None
    assert caller.stdout.readline() == "running\n"
    return caller


def _kill_after(caller: subprocess.Popen[str], delay_s: float, *more: int) -> None:
    """Kill at a random moment: every state must be cleaned up."""
    select.select([], [], [], delay_s)
    os.kill(caller.pid, signal.SIGKILL)
    for pid in more:
        with contextlib.suppress(ProcessLookupError):  # it saw the caller die and ended first
            os.kill(pid, signal.SIGKILL)
    caller.wait()
    assert caller.stdout is not None
    caller.stdout.close()


@pytest.mark.long
def test_a_killed_caller_leaves_nothing_behind_at_whatever_moment(
    spill_dir: Path, leftovers: Callable[[], None]
) -> None:
    moment = random.Random(20261122)
    for n in range(ROUNDS):
        caller = _caller(spill_dir, ("fresh", "reuse")[n % 2])
        _kill_after(caller, moment.uniform(0, 0.3))
        leftovers()


def _below(pid: int) -> list[int]:
    """Return the processes below a process, parents first."""
    children: dict[int, list[int]] = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            stat = Path(f"/proc/{name}/stat").read_text(errors="replace")
        except OSError:
            continue
        children.setdefault(int(stat.rpartition(")")[2].split()[1]), []).append(int(name))
    found = [pid]
    for parent in found:
        found += children.get(parent, [])
    return found[1:]


def _guard_and_template(pid: int) -> list[int]:
    """Wait for both and return them: on a busy machine, calls may end before."""
    while len(below := _below(pid)[:2]) < 2:
        select.select([], [], [], 0.01)
    return below


@pytest.mark.parametrize("isolation", ["fresh", "reuse"])
@pytest.mark.parametrize("victim", ["guard", "template"])
def test_a_caller_and_the_process_next_to_it_killed_at_once_leave_nothing_behind(
    spill_dir: Path, leftovers: Callable[[], None], isolation: str, victim: str
) -> None:
    for _ in range(5):
        caller = _caller(spill_dir, isolation)
        guard, template = _guard_and_template(caller.pid)
        _kill_after(caller, 0.05, guard if victim == "guard" else template)
        leftovers()


@pytest.mark.parametrize("isolation", ["fresh", "reuse", "spawn"])
@pytest.mark.parametrize(
    ("level", "victim"),
    # The guard of a strict box dies with its template, and then no process is left.
    [(level, victim) for level in ("standard", "strict") for victim in ("", "template")]
    + [("standard", "guard")],
)
def test_a_killed_caller_leaves_nothing_of_its_boxes(
    spill_dir: Path, leftovers: Callable[[], None], isolation: str, level: str, victim: str
) -> None:
    if not level_is_there(level):
        pytest.skip("not to be had here")
    caller = _caller(spill_dir, isolation, level)
    guard, template = _guard_and_template(caller.pid)
    while not list(spill_dir.glob(".pinfold-box-*/scratch/*")) and level == "standard":
        select.select([], [], [], 0.01)
    _kill_after(caller, 0.3, *{"": (), "guard": (guard,), "template": (template,)}[victim])
    leftovers()


IDLE = """
import sys, pinfold
spill_dir, isolation, sandbox, setup = sys.argv[1:]
config = pinfold.WorkerConfig(
    spill_dir=spill_dir, isolation=isolation, sandbox=sandbox, preload=["decimal"], setup=setup
)
backend = pinfold.LocalBackend(config)
backend.submit(pinfold.WorkerCall("def f(): pass", "f")).result()
print("idle", flush=True)
sys.stdin.read()
"""


@contextlib.contextmanager
def _idle_caller(*arguments: str | Path) -> Iterator[subprocess.Popen[str]]:
    caller = subprocess.Popen(
        [sys.executable, "-c", IDLE, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with caller:
        yield caller


# Warms up until the guard is dead, and then finds that it had begun to remove what is used here.
FAILS_LATE = """
import os, time
from pinfold._worker.boot import rehearsal
guard = os.getppid()
def rehearse(sources):
    while os.getppid() == guard:
        time.sleep(0.01)
    raise OSError(sources)
rehearsal.rehearse = rehearse
"""


@pytest.mark.parametrize(
    ("isolation", "setup"),
    [("fresh", ""), ("reuse", ""), ("spawn", ""), ("fresh", FAILS_LATE), ("reuse", FAILS_LATE)],
)
def test_a_caller_and_its_guard_killed_as_the_template_starts_leave_nothing_behind(
    spill_dir: Path, leftovers: Callable[[], None], isolation: str, setup: str
) -> None:
    with _idle_caller(spill_dir, isolation, "none", setup) as caller:
        while not list(spill_dir.glob(".pinfold-box-*")):
            pass
        guard, template = _guard_and_template(caller.pid)
        if not setup:
            os.kill(template, signal.SIGSTOP)  # usually before it serves
        os.kill(guard, signal.SIGSTOP)
        os.kill(guard, signal.SIGKILL)
        os.kill(caller.pid, signal.SIGKILL)
    leftovers()


@pytest.mark.parametrize("isolation", ["fresh", "reuse", "spawn"])
@pytest.mark.parametrize("level", ["none", "standard", "strict"])
def test_what_stays_when_nobody_is_left_to_clear_up_goes_with_the_next_pool(
    spill_dir: Path, make_backend: MakeBackend, isolation: str, level: str
) -> None:
    if level != "none" and not level_is_there(level):
        pytest.skip("not to be had here")
    with _idle_caller(spill_dir, isolation, level, "") as caller:
        assert caller.stdout is not None
        assert caller.stdout.readline() == "idle\n"
        guard, template = _guard_and_template(caller.pid)
        for number in (signal.SIGSTOP, signal.SIGKILL):
            for pid in (template, guard, caller.pid):  # a death wakes the processes below
                os.kill(pid, number)
    left = list(spill_dir.glob(".pinfold-box-*"))
    assert len(left) == 1
    with make_backend() as backend:
        assert backend.submit(WorkerCall("def f(): return 1", "f")).result().value == 1
        assert not left[0].exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="gives up root")
def test_a_caller_that_gives_up_its_privileges_is_not_held_against_a_program(
    spill_dir: Path,
) -> None:
    script = """
import os, sys
import pinfold
backend = pinfold.LocalBackend(pinfold.WorkerConfig(spill_dir=sys.argv[1]))
small, large = (pinfold.WorkerCall(f"def f(): return bytes({n})", "f") for n in (1, 1 << 20))
backend.submit(small).result().unwrap()
os.setgroups([])
os.setgid(65534)
os.setuid(65534)
print(backend.submit(small).result().outcome, backend.submit(large).result().outcome)
backend.close()
"""
    assert output_of(script, spill_dir) == "ok internal\n"


@pytest.mark.parametrize("isolation", ["fresh", "reuse", "spawn"])
def test_a_killed_template_loses_its_calls_and_is_replaced(
    make_backend: MakeBackend, isolation: str
) -> None:
    backend = make_backend(isolation=isolation)
    started = threading.Semaphore(0)

    @backend.on_start
    def _(call: WorkerCall, worker: pinfold.Worker) -> None:
        started.release()

    source = "import time\ndef sleep():\n    time.sleep(3600)\ndef one():\n    return 1"
    running = [backend.submit(WorkerCall(source, "sleep"), deadline_s=60) for _ in range(2)]
    for _ in running:
        started.acquire()
    waiting = backend.submit(WorkerCall(source, "one"), deadline_s=60)
    os.kill(backend.stats().template_pid, signal.SIGKILL)
    assert [future.result().outcome for future in running] == ["lost", "lost"]
    assert waiting.result().value == 1
    assert backend.stats().templates_started == 2


@pytest.mark.parametrize("isolation", ["fresh", "reuse"])
def test_a_worker_killed_from_outside_takes_its_call_and_no_other(
    make_backend: MakeBackend, isolation: str
) -> None:
    backend = make_backend(max_workers=4, isolation=isolation)
    pids: list[int] = []
    all_run = threading.Barrier(2)

    @backend.on_start
    def _(call: WorkerCall, worker: pinfold.Worker) -> None:
        pids.append(worker.pid)
        if len(pids) == 4:
            all_run.wait()

    source = "import os, time\ndef f(p):\n    while not os.path.exists(p): time.sleep(0.01)"
    flag = backend.config.spill_dir.parent / "go"
    futures = [
        backend.submit(WorkerCall(source, "f", args=[str(flag)]), deadline_s=60) for _ in range(4)
    ]
    all_run.wait()
    os.kill(pids[0], signal.SIGKILL)
    done, _ = wait(futures, return_when=FIRST_COMPLETED)
    hit = done.pop().result()
    flag.touch()
    results = [future.result() for future in futures]
    assert hit.outcome == "signalled"
    assert hit.error is not None
    assert hit.error.signal == signal.SIGKILL
    assert sorted(result.outcome for result in results) == ["ok", "ok", "ok", "signalled"]


def _rss_kb() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    raise AssertionError("no VmRSS")


@pytest.mark.long
@pytest.mark.parametrize("codec", ["data", "pickle"])
def test_two_gigabytes_come_back_without_touching_the_callers_memory(
    make_backend: MakeBackend, codec: str
) -> None:
    backend = make_backend(preload=("numpy",))
    source = (
        "import numpy\ndef f(n):\n    a = numpy.zeros(n, dtype='u1')\n    a[-1] = 7\n    return a"
    )
    backend.submit(WorkerCall(source, "f", args=[8], codec=codec), deadline_s=60).result()
    before = _rss_kb()
    size = 2 << 30
    value = (
        backend.submit(WorkerCall(source, "f", args=[size], codec=codec), deadline_s=240)
        .result()
        .value
    )
    assert isinstance(value, numpy.ndarray)
    assert value.shape == (size,)
    assert _rss_kb() - before < 32 << 10
    assert value[-1] == 7
    value[0] = 1  # a private page
    assert value.flags.writeable
    assert value.ctypes.data % 64 == 0


def test_a_kill_needs_no_cooperation(make_backend: MakeBackend) -> None:
    backend = make_backend(max_workers=6)
    bodies = {
        "python": "while True: pass",
        "gil": "import re; re.match('(a+)+$', 'a' * 64 + 'b')",
        "stopped": "import os, signal; os.kill(os.getpid(), signal.SIGSTOP)",
        "ignored": "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); signal.pause()",
        "blocked": "pthread_sigmask(SIG_BLOCK, range(1, 65)); pause()",
        "caught": "try:\n        while True: pass\n    except BaseException:\n        f()",
    }
    began = time.monotonic()
    futures = {
        name: backend.submit(
            WorkerCall(f"from signal import *\ndef f():\n    {body}", "f"), deadline_s=1
        )
        for name, body in bodies.items()
    }
    results = {name: future.result() for name, future in futures.items()}
    assert {name: result.outcome for name, result in results.items()} == dict.fromkeys(
        bodies, "timeout"
    )
    assert time.monotonic() - began < 60  # not for ever
    # Each program reports its stack sooner or later: on a busy machine a kill does not wait for it.
    for name in ("python", "gil"):
        for _ in range(100):
            if stack := results[name].error.stack:
                break
            body = f"from signal import *\ndef f():\n    {bodies[name]}"
            results[name] = backend.submit(WorkerCall(body, "f"), deadline_s=1).result()
        assert "in f" in stack
    assert "re" in results["gil"].error.stack

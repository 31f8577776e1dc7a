# SPDX-License-Identifier: Apache-2.0
"""``cpus_per_worker``: the CPUs of a worker, and the reported wait for them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import pinfold
from conftest import MakeBackend
from pinfold import InvalidConfig, WorkerCall, WorkerConfig
from pinfold._host.cpus import usable_cpus
from pinfold.config import THREAD_COUNTS

CPUS = usable_cpus()

two_cpus = pytest.mark.skipif(CPUS < 2, reason="takes two CPUs")

# Returns its CPUs when `count` calls of its kind run.
TOGETHER = """
import os, time
def f(directory, count):
    open(os.path.join(directory, str(os.getpid())), "w").close()
    while len(os.listdir(directory)) < count:
        time.sleep(0.001)
    return sorted(os.sched_getaffinity(0))
"""

WHERE = WorkerCall("import os\ndef f(): return sorted(os.sched_getaffinity(0))", "f")

# Computes for 0.1 s beside a process that computes on the same CPU.
CROWDED = """
import os, time
def f():
    pid = os.fork()
    if pid == 0:
        while True:
            pass
    until = time.process_time() + 0.1
    while time.process_time() < until:
        pass
    os.kill(pid, 9)
    os.waitpid(pid, 0)
"""


@two_cpus
@pytest.mark.parametrize("mode", ["fresh", "reuse", "spawn"])
def test_every_call_that_runs_has_cpus_of_its_own(
    make_backend: MakeBackend, tmp_path: Path, mode: str
) -> None:
    backend = make_backend(cpus_per_worker=1, isolation=mode, max_workers=2)
    for number in range(3):
        directory = tmp_path / str(number)
        directory.mkdir()
        call = WorkerCall(TOGETHER, "f", args=[str(directory), 2])
        first, second = (
            future.result().unwrap() for future in [backend.submit(call) for _ in range(2)]
        )
        assert len(first) == len(second) == 1
        assert first != second
        assert {*first, *second} <= os.sched_getaffinity(0)


def test_threads_of_a_preload_run_where_their_worker_does(
    make_backend: MakeBackend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "threaded.py").write_text(
        "import threading\nthreading.Thread(target=threading.Event().wait, daemon=True).start()"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    backend = make_backend(cpus_per_worker=1, isolation="spawn", preload=["threaded"])
    code = "import os\ndef f(): return [sorted(os.sched_getaffinity(int(thread)))"
    code += " for thread in os.listdir('/proc/self/task')]"
    main, other = backend.submit(WorkerCall(code, "f")).result().unwrap()
    assert main == other
    assert len(main) == 1


def test_a_program_that_moves_elsewhere_does_not_move_the_next_one(
    make_backend: MakeBackend,
) -> None:
    backend = make_backend(cpus_per_worker=1, isolation="reuse", max_workers=1)
    placed = backend.submit(WHERE).result().unwrap()
    moving = "import os\ndef f(cpus): os.sched_setaffinity(0, cpus)"
    backend.submit(
        WorkerCall(moving, "f", args=[sorted(os.sched_getaffinity(0))])
    ).result().unwrap()
    assert backend.submit(WHERE).result().unwrap() == placed


@pytest.mark.parametrize("count", sorted({1, CPUS}))
def test_libraries_are_told_to_start_as_many_threads_as_there_are_cpus(
    make_backend: MakeBackend, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "64")
    backend = make_backend(
        cpus_per_worker=count, max_workers=None, setup="import os\nSEEN = dict(os.environ)"
    )
    code = "import os, pinfold_setup\ndef f(names): return [os.environ[n] for n in names]"
    code += "+ [pinfold_setup.SEEN[n] for n in names] + [str(len(os.sched_getaffinity(0)))]"
    told = backend.submit(WorkerCall(code, "f", args=[list(THREAD_COUNTS)])).result().unwrap()
    assert set(told) == {str(count)}


def test_there_are_as_many_workers_as_there_are_cpus_for(
    make_backend: MakeBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PYTEST_XDIST_WORKER_COUNT", raising=False)
    assert make_backend(cpus_per_worker=1, max_workers=None).max_workers == CPUS
    assert make_backend(cpus_per_worker=CPUS, max_workers=None).max_workers == 1
    assert make_backend(cpus_per_worker=1, max_workers=1).max_workers == 1


def test_more_workers_than_there_are_cpus_for_are_refused(spill_dir: Path) -> None:
    config = WorkerConfig(cpus_per_worker=2, max_workers=CPUS, spill_dir=spill_dir)
    with pytest.raises(InvalidConfig, match=f"cpus_per_worker is 2.*max_workers {CPUS} "):
        pinfold.LocalBackend(config)
    config = WorkerConfig(cpus_per_worker=CPUS + 1, spill_dir=spill_dir)
    with pytest.raises(InvalidConfig, match=f"cpus_per_worker is {CPUS + 1}.* {CPUS}$"):
        pinfold.LocalBackend(config)


def test_the_time_a_call_waited_for_its_cpu_is_told(
    make_backend: MakeBackend, isolation: str
) -> None:
    backend = make_backend(cpus_per_worker=1, isolation=isolation, max_workers=1)
    for _ in range(2):
        result = backend.submit(WorkerCall(CROWDED, "f")).result()
        result.unwrap()
        metrics = result.metrics
        assert metrics is not None
        assert metrics.cpu_wait_s is not None
        assert metrics.preemptions is not None
        assert 0.01 < metrics.cpu_wait_s < metrics.wall_time_s
        assert metrics.preemptions > 0
    assert backend.stats().outcomes["ok"] == 2


def test_without_cpus_of_its_own_nothing_is_told(backend: pinfold.LocalBackend) -> None:
    metrics = backend.submit(WHERE).result().metrics
    assert metrics is not None
    assert (metrics.cpu_wait_s, metrics.preemptions) == (None, None)
    assert set(backend.submit(WHERE).result().unwrap()) == os.sched_getaffinity(0)


@pytest.mark.parametrize("sandbox", ["standard", "strict"])
def test_a_worker_in_a_box_has_cpus_of_its_own(
    make_backend: MakeBackend, isolation: str, sandbox: str
) -> None:
    backend = make_backend(
        cpus_per_worker=1,
        isolation=isolation,
        max_workers=1,
        sandbox=sandbox,
        sandbox_required=False,
    )
    for _ in range(3):
        result = backend.submit(WHERE).result()
        assert len(result.unwrap()) == 1
        assert result.metrics is not None
        assert result.metrics.cpu_wait_s is not None

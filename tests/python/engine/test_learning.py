# SPDX-License-Identifier: Apache-2.0
"""A template with ``preload="auto"``: modules that it learns, or not, and the effect of lies."""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import pinfold
from conftest import MakeBackend
from pinfold import WorkerCall
from pinfold._client.learner import read_note

PATIENCE_S = 60.0

SLOW = "import time\ntime.sleep(0.06)\n"
SLOWER = "import time\ntime.sleep(0.12)\n"
IN_A_WORKER = "import os\nWORKER = 'PINFOLD_WORKER_ID' in os.environ\n"

Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Install modules among those of the workers' interpreter."""
    directory = tmp_path / "installed"
    directory.mkdir()
    monkeypatch.setenv("PYTHONPATH", str(directory))

    def write(**sources: str) -> None:
        for name, source in sources.items():
            (directory / f"{name}.py").write_text(source)

    return write


@pytest.fixture
def learning(make_backend: MakeBackend) -> MakeBackend:
    def make(**config: Any) -> pinfold.LocalBackend:
        return make_backend(preload="auto", max_workers=1, **config)

    return make


def importing(*names: str, python_path: list[str] | None = None) -> WorkerCall:
    """Return a call that imports the modules; its value names those that were loaded before."""
    code = "import sys\nbefore = sorted(sys.modules)\n"
    code += "".join(f"import {name}\n" for name in names)
    code += f"def f(): return [name for name in {list(names)} if name in before]\n"
    return WorkerCall(code, "f", python_path=python_path or [])


def repeat_until(
    backend: pinfold.LocalBackend, call: WorkerCall, done: Callable[[pinfold.PoolStats], bool]
) -> pinfold.PoolStats:
    """Repeat the call until the stats are as wanted."""
    until = time.monotonic() + PATIENCE_S
    while not done(stats := backend.stats()):
        backend.submit(call).result().unwrap()
        assert time.monotonic() < until, stats
    return stats


@pytest.mark.parametrize("name", ["slow_library", "package.inner.slow"])
def test_a_module_that_calls_import_again_and_again_is_preloaded(
    learning: MakeBackend, install: Install, isolation: str, tmp_path: Path, name: str
) -> None:
    install(slow_library=SLOW)
    inner = tmp_path / "installed" / "package" / "inner"
    inner.mkdir(parents=True)
    (inner / "slow.py").write_text(SLOW)
    backend = learning(isolation=isolation, max_calls_per_worker=1)
    call = importing(name)
    assert backend.submit(call).result().unwrap() == []
    assert (backend.stats().generation, backend.stats().learned) == (1, ())
    stats = repeat_until(backend, call, lambda stats: stats.generation == 2)
    assert stats.learned == (name,)
    assert stats.templates_started == 2
    assert backend.submit(call).result().unwrap() == [name]


def test_a_second_module_is_learned_beside_the_first_and_both_outlive_the_template(
    learning: MakeBackend, install: Install
) -> None:
    install(first=SLOW, second=SLOW)
    backend = learning()
    repeat_until(backend, importing("first"), lambda stats: stats.generation == 2)
    both = importing("first", "second")
    stats = repeat_until(backend, both, lambda stats: stats.generation == 3)
    assert stats.learned == ("first", "second")
    os.kill(stats.template_pid, signal.SIGKILL)
    until = time.monotonic() + PATIENCE_S
    while (result := backend.submit(both).result()).outcome == "lost":
        assert time.monotonic() < until
    assert result.unwrap() == ["first", "second"]


def test_what_a_module_imports_in_turn_is_its_own_cost(
    learning: MakeBackend, install: Install
) -> None:
    install(inner=SLOWER, outer="import inner\n" + SLOW)
    backend = learning()
    stats = repeat_until(backend, importing("outer"), lambda stats: stats.generation == 2)
    assert stats.learned == ("outer",)
    assert backend.submit(importing("outer", "inner")).result().unwrap() == ["outer", "inner"]


def test_the_setup_runs_in_every_generation(learning: MakeBackend, install: Install) -> None:
    install(slow_library=SLOW)
    backend = learning(setup="import sys\nVALUE = 'slow_library' in sys.modules")
    call = importing("pinfold_setup", "slow_library")
    repeat_until(backend, call, lambda stats: stats.generation == 2)
    read = "import pinfold_setup\ndef f(): return pinfold_setup.VALUE"
    assert backend.submit(WorkerCall(read, "f")).result().unwrap() is True


# Modules that are not installed.


def test_a_module_of_the_call_s_own_path_is_not_learned(
    learning: MakeBackend, install: Install, isolation: str, tmp_path: Path
) -> None:
    install(installed=SLOW)
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "supplied.py").write_text(SLOWER)
    backend = learning(isolation=isolation, max_calls_per_worker=1)
    call = importing("supplied", "installed", python_path=[str(tmp_path / "own")])
    stats = repeat_until(backend, call, lambda stats: stats.generation == 2)
    assert (stats.learned, stats.not_learned) == (("installed",), ())


def test_a_module_in_the_working_directory_is_not_learned(
    learning: MakeBackend, install: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(installed=SLOW)
    (tmp_path / "cwd").mkdir()
    (tmp_path / "cwd" / "nearby.py").write_text(SLOWER)
    monkeypatch.chdir(tmp_path / "cwd")
    backend = learning()
    call = importing("nearby", "installed")
    stats = repeat_until(backend, call, lambda stats: stats.generation == 2)
    assert (stats.learned, stats.not_learned) == (("installed",), ())


# Modules that cannot be preloaded.

CANNOT = {
    "raises": "if not WORKER: raise RuntimeError('not here')\n",
    "exits": "if not WORKER: os._exit(3)\n",
    "hangs": "import signal\nwhile not WORKER: signal.pause()\n",
    "thread": "import threading as t\nif not WORKER: t.Thread(target=t.Event().wait).start()\n",
}
TOLD = {
    "raises": "RuntimeError: not here",
    "exits": "the template ended before it was ready",
    "hangs": "the template was not ready within 4 s",
    "thread": "started a thread",
}


@pytest.mark.parametrize("kind", list(CANNOT))
def test_a_module_with_which_no_template_starts_is_told_once_and_never_tried_again(
    learning: MakeBackend, install: Install, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    install(unfit=IN_A_WORKER + SLOWER + CANNOT[kind], fit=SLOW)
    backend = learning(setup_timeout_s=4)
    with caplog.at_level(logging.INFO, "pinfold"):
        call = importing("unfit", "fit")
        stats = repeat_until(backend, call, lambda stats: bool(stats.not_learned))
        assert (stats.not_learned, stats.generation) == (("unfit",), 1)
        stats = repeat_until(backend, call, lambda stats: stats.generation == 2)
        assert stats.learned == ("fit",)
        started = stats.templates_started
        for _ in range(5):
            assert backend.submit(call).result().unwrap() == ["fit"]
        assert backend.stats().templates_started == started
    told = [record.getMessage() for record in caplog.records if "unfit" in record.getMessage()]
    assert len(told) == 1
    assert TOLD[kind] in told[0]
    assert "\n" not in told[0]


def test_a_backend_may_be_closed_while_it_learns(
    learning: MakeBackend, install: Install, caplog: pytest.LogCaptureFixture
) -> None:
    install(unfit=IN_A_WORKER + SLOWER + CANNOT["hangs"])
    backend = learning()
    repeat_until(backend, importing("unfit"), lambda stats: stats.templates_started == 2)
    backend.close()
    stats = backend.stats()
    assert (stats.learned, stats.not_learned) == ((), ())
    assert not [record for record in caplog.records if record.name == "pinfold"]


# Lies of a candidate.

LIAR = """
import time
from pinfold._worker.ext import _runtime
from pinfold._worker.code import search
def f(*names):
    time.sleep(0.2)
    _runtime.take_imports = lambda: [(name, {cost}) for name in names]
    search.is_installed = lambda *_: True
    return True
"""


def lie(*names: str, cost: int = 190_000_000 // 2, **fields: Any) -> WorkerCall:
    return WorkerCall(LIAR.format(cost=cost), "f", args=names, **fields)


def test_a_lie_never_has_a_candidate_s_own_code_preloaded(
    learning: MakeBackend, install: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(json_like="")
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")
    for name in ("evil", "json_like"):
        Path(f"{name}.py").write_text(f"open({str(tmp_path / name)!r}, 'w')")
    backend = learning()
    for name in ("evil", "json_like", "user_code"):
        call = lie(name, python_path=[os.getcwd()])
        repeat_until(backend, call, lambda stats, name=name: name in stats.not_learned)  # type: ignore[misc]
    stats = backend.stats()
    assert (stats.generation, stats.learned) == (1, ())
    assert not list(tmp_path.glob("evil"))
    assert not list(tmp_path.glob("json_like"))


def test_liars_cannot_have_templates_started_for_ever(
    learning: MakeBackend, install: Install
) -> None:
    install(slow_library=SLOW)
    backend = learning()
    for number in range(5):
        name = f"nothing_{number}"
        repeat_until(backend, lie(name), lambda stats, name=name: name in stats.not_learned)  # type: ignore[misc]
    started = backend.stats().templates_started
    for _ in range(5):
        backend.submit(lie("nothing_else")).result().unwrap()
    assert backend.stats().templates_started == started == 6


def test_a_call_cannot_tell_of_more_time_than_it_took(
    learning: MakeBackend, install: Install
) -> None:
    install(slow_library=SLOW)
    backend = learning()
    for _ in range(4):
        backend.submit(lie("nothing", "slow_library", cost=10**12)).result().unwrap()
    assert backend.stats().templates_started == 1


def test_a_note_is_read_without_trust() -> None:
    assert read_note(b"numpy 100\nscipy.special 50\n", 150) == {"numpy": 100, "scipy.special": 50}
    assert read_note(b"", 0) == {}
    for note in (
        b"numpy 100\nscipy 51\n",
        b"numpy -100\n",
        b"numpy 1e2\n",
        b"numpy\n",
        b"numpy  1\n",
        b"a..b 1\n",
        b"../numpy 1\n",
        b".numpy 1\n",
        b"numpy; 1\n",
        b"\xff 1\n",
        b"\xc3\xa9 1\n",
        b"a" * 201 + b" 1\n",
        b"numpy " + b"1" * 5000,
        b"numpy 100\n\n",
    ):
        assert read_note(note, 150) == {}, note


def test_what_a_failing_import_is_told_as_does_not_change(
    learning: MakeBackend, make_backend: MakeBackend, install: Install
) -> None:
    install(broken="import not_there_at_all\n")
    call = importing("broken")
    told = [
        (backend.submit(call).result().error or pinfold.WorkerError("")).stderr
        for backend in (learning(), make_backend())
    ]
    assert told[0] == told[1]
    assert "ModuleNotFoundError" in told[0]


def test_nothing_is_learned_unless_it_is_asked_for(
    make_backend: MakeBackend, install: Install
) -> None:
    install(slow_library=SLOW)
    backend = make_backend(max_workers=1)
    for _ in range(4):
        assert backend.submit(importing("slow_library")).result().unwrap() == []
    stats = backend.stats()
    assert (stats.generation, stats.learned, stats.templates_started) == (1, (), 1)

# SPDX-License-Identifier: Apache-2.0
"""A program does byte for byte what ``python main.py`` does.

The reference is this interpreter itself, with its output on pipes and its input from a file.
"""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path

import pytest

from boxes import level_is_there
from conftest import MakeBackend
from executing import INTERNAL, Process
from pinfold import LocalBackend, WorkerCall, _wire
from script_list import SCRIPTS
from scripts import Run, reference, run_of


@cache
def expected(name: str) -> Run:
    return reference(SCRIPTS[name])


@pytest.fixture(autouse=True)
def _plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unset the variables, as most users have them."""
    for name in ("PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE"):
        monkeypatch.delenv(name, raising=False)


def differences(backend: LocalBackend, names: list[str]) -> dict[str, tuple[Run, Run]]:
    """Run the programs, and return what each did and should have done where the two differ."""
    futures = {name: backend.submit(SCRIPTS[name].call(), deadline_s=60) for name in names}
    runs = {name: run_of(future.result()) for name, future in futures.items()}
    return {name: (run, expected(name)) for name, run in runs.items() if run != expected(name)}


PARTS = 6


@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("mode", ["fresh"])
def test_a_program_does_what_the_interpreter_does(
    make_backend: MakeBackend, mode: str, part: int
) -> None:
    backend = make_backend(max_workers=2, isolation=mode)
    assert differences(backend, list(SCRIPTS)[part::PARTS]) == {}


# They need semaphores, and thus /dev/shm.
NOT_IN_STANDARD = {
    *("multiprocessing_fork", "multiprocessing_spawn", "multiprocessing_queue", "process_pool"),
    *("multiprocessing_forkserver", "multiprocessing_manager", "shared_memory"),
}


@pytest.mark.parametrize("level", ["standard", "strict"])
def test_a_program_in_a_box_does_what_the_interpreter_does(
    make_backend: MakeBackend, level: str
) -> None:
    if not level_is_there(level):
        pytest.skip(f"no {level} sandbox here")
    names = SCRIPTS.keys() - (NOT_IN_STANDARD if level == "standard" else set())
    # Paths of sockets have at most 107 bytes, and those of pytest's directories nearly as many.
    with tempfile.TemporaryDirectory() as spill_dir:
        backend = make_backend(max_workers=2, sandbox=level, spill_dir=spill_dir)
        assert differences(backend, sorted(names)) == {}
        backend.close()


BAD_NAMES = ["../up", "/abs", "a/../../b", "a//b", "./a", "", "a/", "nul\0", ".."]


@pytest.mark.parametrize("name", BAD_NAMES)
@pytest.mark.parametrize("function", ["f", ""])
def test_a_worker_refuses_names_that_leave_the_directory(
    tmp_path: Path, name: str, function: str
) -> None:
    (tmp_path / "sources").mkdir()
    request = _wire.pack_request(
        code="def f(): return 1",
        function=function,
        files={"ok": b"x", name: b"y"},
        python_path=[],
        env={},
        codec="data",
    )
    with Process("fresh", tmp_path, sources=tmp_path / "sources") as process:
        answer = process.run([bytes(segment) for segment in request])
        assert answer.status == INTERNAL
        assert repr(name) in answer.text or "main.py" in answer.text
    left = {path.relative_to(tmp_path).parts[0] for path in tmp_path.rglob("*")}
    assert left <= {"sources", "printed"}


def test_a_file_in_the_place_of_the_script_is_refused(tmp_path: Path) -> None:
    (tmp_path / "sources").mkdir()
    request = _wire.pack_request(
        code="1/0", function="", files={"main.py": b"y"}, python_path=[], env={}, codec="data"
    )
    with Process("fresh", tmp_path, sources=tmp_path / "sources") as process:
        answer = process.run([bytes(segment) for segment in request])
        assert answer.status == INTERNAL


@pytest.mark.parametrize("sandbox", ["none", "standard", "strict"])
def test_the_files_of_a_function_lie_in_a_working_directory_of_their_own(
    make_backend: MakeBackend, sandbox: str
) -> None:
    if not level_is_there(sandbox):
        pytest.skip(f"no {sandbox} sandbox here")
    backend = make_backend(sandbox=sandbox)
    code = (
        "import os\n"
        "def f():\n"
        "    open('new', 'w').close()\n"
        "    big = open('big', 'rb').read()\n"
        "    return sorted(os.listdir()), open('d/a').read(), big == bytes(1 << 20)\n"
    )
    files = {"d/a": b"1", "big": bytes(1 << 20)}
    result = backend.submit(WorkerCall(code=code, function_name="f", files=files)).result()
    assert result.value == (["big", "d", "new"], "1", True), result.error


def test_a_function_with_files_still_imports_from_the_callers_directory(
    make_backend: MakeBackend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "beside.py").write_text("x = 1\n")
    (tmp_path / "given.py").write_text("x = 1\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
    backend = make_backend()
    code = "import beside, given\ndef f(): return [beside.x, given.x]\n"
    files = {"given.py": "x = 2"}
    result = backend.submit(WorkerCall(code=code, function_name="f", files=files)).result()
    assert result.value == [1, 2], result.error
    assert not (tmp_path / "__pycache__").exists()


def test_multiprocessing_that_was_preloaded_knows_the_script(make_backend: MakeBackend) -> None:
    preload = ["multiprocessing.pool", "concurrent.futures.process"]
    backend = make_backend(max_workers=2, preload=preload)
    names = ["multiprocessing_pipe", "multiprocessing_spawn", "multiprocessing_left", "thread_pool"]
    assert differences(backend, [*names, "process_pool", "multiprocessing_queue"]) == {}

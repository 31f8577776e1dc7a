# SPDX-License-Identifier: Apache-2.0
"""Bringing files back: which match, which come, and from which ends of a call."""

from __future__ import annotations

import glob
import os
import socket
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from boxes import level_is_there
from conftest import MakeBackend
from pinfold import Limits, LocalBackend, ProgramCall, WorkerCall
from pinfold._wire import split_collected
from pinfold._worker.call.execute import payload_size
from pinfold._worker.main import collect as collecting
from programs import answers, call


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a directory that is the working directory, too."""
    place = tmp_path / "here"
    place.mkdir()
    monkeypatch.chdir(place)
    return place


def collected(
    patterns: list[str], most: int = 0, *, hurry: bool = False
) -> tuple[dict[str, bytes], dict[str, str]]:
    segments = [memoryview(each) for each in collecting.collect(patterns, most, hurry=hurry)]
    rest, index, first = split_collected([memoryview(b"value"), *segments])
    assert (list(map(bytes, rest)), first) == ([b"value"], 1)
    contents = map(bytes, segments[:-1])
    return dict(zip(index.files, contents, strict=True)), index.refused


NAMES = ["a", "b.txt", "c.py", ".hidden", "[x]", "é", "a b", "*"]
PARTS = ["*", "**", "a", "*.txt", "?", "[ab]*", "[!a]*", ".*", "d", "*d*", "[[]x]", "[*]", "é"]


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("tree")
    for directory in ("", "d", "d/d", "d/.d", ".d", "ad/a"):
        (root / directory).mkdir(parents=True, exist_ok=True)
        for name in NAMES:
            if not (root / directory / name).exists():
                (root / directory / name).write_bytes(name.encode())
    return root


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.sampled_from(PARTS), min_size=1, max_size=4))
def test_the_files_that_match_are_those_of_glob(tree: Path, parts: list[str]) -> None:
    pattern = "/".join(parts)
    before = os.getcwd()
    os.chdir(tree)
    try:
        files, refused = collected([pattern])
        wanted = {path for path in glob.glob(pattern, recursive=True) if os.path.isfile(path)}
    finally:
        os.chdir(before)
    assert set(files) == wanted
    assert refused == {}


def test_no_link_is_followed_and_what_is_no_file_is_named(here: Path) -> None:
    (here / "real").write_bytes(b"x")
    (here / "below").mkdir()
    (here / "below" / "in").write_bytes(b"y")
    (here / "link").symlink_to("real")
    (here / "out").symlink_to("/etc")
    (here / "loop").symlink_to(".")
    os.mkfifo(here / "fifo")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket")
        files, refused = collected(["**", "out/*", "loop/real"])
    assert files == {"real": b"x", "below/in": b"y"}
    assert refused == {
        "fifo": "it is a FIFO",
        "link": "it is a link",
        "loop": "it is a link",
        "out": "it is a link",
        "socket": "it is a socket",
    }


def test_what_does_not_fit_is_refused_and_smaller_files_come(here: Path) -> None:
    (here / "a").write_bytes(bytes(3 << 20))  # mapped
    (here / "b").write_bytes(bytes(9 << 20))
    (here / "c").write_bytes(b"small")
    files, refused = collected(["*"], 4 << 20)
    assert {name: len(data) for name, data in files.items()} == {"a": 3 << 20, "c": 5}
    assert list(refused) == ["b"]
    assert "has 9437184 bytes" in refused["b"]
    assert collected(["*"], 1)[0] == {}


def test_many_entries_are_bounded(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for n in range(30):
        (here / f"f{n:02}").write_bytes(b"")
        (here / f"l{n:02}").symlink_to("x")
    monkeypatch.setattr(collecting, "FILES_MOST", 10)
    monkeypatch.setattr(collecting, "REFUSED_MOST", 20)
    files, refused = collected(["*"])
    assert list(files) == [f"f{n:02}" for n in range(10)]
    assert len(refused) == 21
    assert refused["f10"] == "more than 10 files match"
    assert refused["l00"] == "it is a link" if "l00" in refused else True
    assert refused["..."] == "30 more were refused"
    monkeypatch.setattr(collecting, "ENTRIES_MOST", 25)
    files, refused = collected(["f*"])
    assert refused["..."] == "the directory was looked at for 25 entries"


def test_in_a_hurry_the_rest_is_left_out(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / "a").write_bytes(b"x")
    monkeypatch.setattr(time, "monotonic", iter([0.0, 0.0, 9.0]).__next__)
    files, refused = collected(["*"], hurry=True)
    assert files == {}
    assert "could not be read within" in refused["a"]


def test_a_file_that_cannot_be_read_or_changes_is_refused(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (here / "a").write_bytes(b"12345")
    real = os.pread
    monkeypatch.setattr(os, "pread", lambda fd, size, at: real(fd, size - 1, at))
    assert collected(["a"]) == ({}, {"a": "it changed while it was read"})

    def broken(fd: int, size: int, at: int) -> bytes:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "pread", broken)
    assert collected(["a"]) == ({}, {"a": "it cannot be read: Input/output error"})


def test_the_names_count_towards_what_fits(here: Path) -> None:
    for n in range(4000):
        (here / f"{n:04}{'n' * 200}").touch()
        os.symlink("x", here / f"{n:04}{'r' * 200}")
    for most in (1, 5000, 100_000, 1_000_000):
        segments = collecting.collect(["*"], most, hurry=False)
        assert payload_size(segments) <= max(most, 300)
    files, refused = collected(["*"], 1_000_000)
    assert 1000 < len(files) < 4000
    assert collecting.REST in refused


def test_another_users_file_is_refused(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / "a").touch()
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    assert collected(["a"]) == ({}, {"a": "it is another user's"})


LEVELS = ["none", "standard", "strict"]


@pytest.fixture(params=LEVELS)
def level(request: pytest.FixtureRequest) -> str:
    if not level_is_there(request.param):
        pytest.skip("not to be had here")
    return str(request.param)


@pytest.mark.parametrize("isolation", ["fresh", "reuse", "spawn"])
def test_calls_of_both_kinds_bring_files_in_every_mode(
    make_backend: MakeBackend, level: str, isolation: str
) -> None:
    backend = make_backend(sandbox=level, isolation=isolation, max_workers=1)
    body = "open('out/new', 'wb').write(open('in/given', 'rb').read() * 2); print('x')"
    files = {"in/given": b"\xff", "out/old": "é"}
    asked: list[Any] = [
        ProgramCall(body, files=files, collect=["out/*"]),
        call(f"{body}\nreturn args", 7, files=files, collect=["out/*"]),
    ]
    for _ in range(2):
        for each in asked:
            result = backend.submit(each, deadline_s=60).result()
            assert result.outcome == "ok", result.error
            assert result.files == {"out/new": b"\xff\xff", "out/old": "é".encode()}
            assert (result.stdout, result.files_refused) == ("x\n", {})
        assert result.value == (7,)


@pytest.mark.parametrize("isolation", ["fresh", "reuse"])
def test_a_stopped_call_brings_its_files_its_stack_and_what_it_had_not_flushed(
    make_backend: MakeBackend, level: str, isolation: str
) -> None:
    backend = make_backend(sandbox=level, isolation=isolation, max_workers=1)
    code = "import os\nopen('kept', 'w').write('x')\nprint('held back')\nwhile True: pass\n"
    limits = Limits(wall_s=0.4)
    program = ProgramCall(code, collect=["kept"], limits=limits)
    for result in answers(lambda: backend.submit(program).result()):
        assert (result.outcome, result.files) == ("timeout", {"kept": b"x"})
        assert result.stdout == "held back\n"
    assert result.error is not None
    assert "line 4" in result.error.stack
    body = code.replace("while True: pass", "\nwhile True: pass")
    asked = call(body, collect=["kept"], limits=limits)
    result = backend.submit(asked).result()
    assert (result.outcome, result.files) == ("timeout", {"kept": b"x"})
    assert result.stdout == "held back\n"
    assert backend.submit(call("return 3")).result().value == 3


def test_the_output_of_a_stopped_call_comes_once(backend: LocalBackend) -> None:
    """It is killed while it writes, in one of two runs after the write and before it is noted."""
    code = "n = 0\nwhile True:\n    print(n)\n    n += 1\n"
    limits = Limits(wall_s=0.15, output_bytes=64 << 20)
    for _ in range(12):
        result = backend.submit(ProgramCall(code, collect=["*"], limits=limits)).result()
        assert (result.outcome, result.stdout_truncated) == ("timeout", False)
        lines = result.stdout.split("\n")[:-1]
        assert lines == list(map(str, range(len(lines))))


FORGE = r"""
import os, struct
found = False
for fd in range(3, 1024):
    try:
        name = os.readlink(f"/proc/self/fd/{fd}")
    except OSError:
        continue
    if name.startswith("/memfd:account"):
        os.ftruncate(fd, 0)
        os.pwrite(fd, struct.pack("<8sIiQ", b"account\n", *args), 0)
        found = True
assert found
os._exit(0)
"""


@pytest.mark.parametrize(
    "head", [(77, 0, 0), (5, 9999, 0), (5, -99, 0), (0, 0, 0), (0, 0, 1 << 60)]
)
def test_a_forged_account_harms_its_own_call_alone(
    backend: LocalBackend, head: tuple[int, ...]
) -> None:
    result = backend.submit(call(FORGE, *head, collect=["*"])).result()
    assert result.outcome == "exited", result.error
    assert backend.submit(call("return 3")).result().value == 3


def test_what_hinders_a_call_with_files_is_told_as_without(make_backend: MakeBackend) -> None:
    """The account of a call that did not begin, or whose value did not fit, has an index, too."""
    backend = make_backend(setup="import os\ndef after_fork():\n    os.mkdir = None\n")
    files = {"d/a": b""}
    for collect in ((), ["*"]):
        result = backend.submit(call("return 1", files=files, collect=collect)).result()
        assert result.outcome == "internal"
        assert result.error.type == "TypeError"


def test_a_program_that_exits_by_itself_loses_what_it_has_not_flushed(
    backend: LocalBackend,
) -> None:
    body = "import os, sys\nprint('lost')\nos._exit(3)"
    for collect in ((), ["*"]):
        result = backend.submit(ProgramCall(body, collect=collect)).result()
        assert (result.outcome, result.returncode, result.stdout) == ("exited", 3, "")
        result = backend.submit(call(body.replace("lost", "kept"), collect=collect)).result()
        assert (result.outcome, result.returncode, result.stdout) == ("exited", 3, "kept\n")


def test_what_a_call_left_is_dead_before_its_files_are_read(
    make_backend: MakeBackend, level: str
) -> None:
    """A process that the call left behind, and that writes on, changes no file that came back."""
    backend = make_backend(sandbox=level, max_workers=1)
    body = """
import os, time
if os.fork() == 0:
    os.setsid()
    with open('grows', 'w', buffering=1) as file:
        while True:
            file.write('x' * 100)
while not os.path.exists('grows') or os.path.getsize('grows') < 10_000:
    time.sleep(0.001)
"""
    for asked in (ProgramCall(body, collect=["*"]), call(body, collect=["*"])):
        result = backend.submit(asked, deadline_s=60).result()
        assert result.outcome == "ok", result.error
        assert set(result.files["grows"]) == {ord("x")}
        assert result.files_refused == {}


def test_the_metrics_are_those_of_the_call_itself(make_backend: MakeBackend, level: str) -> None:
    backend = make_backend(sandbox=level, max_workers=1)
    body = """
import time
block = b'x' * (64 << 20)
until = time.process_time() + 0.2
while time.process_time() < until: pass
"""
    for asked in (ProgramCall(body, collect=["*"]), call(body, collect=["x"])):
        metrics = backend.submit(asked).result().metrics
        assert metrics is not None
        assert 60 << 10 < metrics.peak_rss_kb < 200 << 10
        assert 0.15 < metrics.user_time_s + metrics.sys_time_s < 2


@pytest.mark.parametrize("kind", ["program", "function"])
def test_a_call_that_kills_its_collector_harms_itself_alone(
    make_backend: MakeBackend, kind: str
) -> None:
    backend = make_backend(max_workers=1)
    body = "import os, signal\nos.kill(os.getppid(), signal.SIGKILL)\nwhile True: pass"
    asked: Any = ProgramCall(body, collect=["*"])
    if kind == "function":
        asked = call(body, collect=["*"])
    result = backend.submit(asked, deadline_s=60).result()
    assert (result.outcome, result.returncode) == ("signalled", -9)
    assert backend.submit(call("return 3")).result().value == 3


def test_a_result_beside_files_is_bounded_with_them(backend: LocalBackend) -> None:
    limits = Limits(result_bytes=1 << 20)
    body = "open('f', 'wb').write(bytes(args[0]))\nreturn bytes(args[1])"
    for file, value, outcome, names in (
        (100, 100, "ok", ["f"]),
        (900_000, 100_000, "ok", []),
        (100, 2 << 20, "output_limit", ["f"]),
    ):
        asked = call(body, file, value, collect=["f"], limits=limits)
        result = backend.submit(asked).result()
        assert (result.outcome, list(result.files)) == (outcome, names), result.error


def test_a_source_that_runs_again_is_compiled_once_and_does_the_same(
    backend: LocalBackend,
) -> None:
    """From its third run on, a source comes with its compiled form."""
    program = (
        "import sys\n\ndef f():\n    print(f.__code__.co_filename == __file__, sys.argv)\n\nf()\n"
    )
    wrong = "def f(x):\n    return 1 / x\n\nf(0)\n"
    invalid = "x = (\n"
    warns = "x = 1\nif x is 1: print('same')\n"
    for code in (program, wrong, invalid, warns):
        results = [backend.submit(ProgramCall(code)).result() for _ in range(4)]
        first = results[0]
        for each in results:
            assert (each.outcome, each.stdout) == (first.outcome, first.stdout)
            assert _masked(each.stderr) == _masked(first.stderr)
    forms = backend._engine.forms
    assert forms is not None
    assert [bool(forms.find(code)) for code in (program, wrong, invalid, warns)] == [
        True,
        True,
        False,
        False,
    ]
    errors = [backend.submit(WorkerCall(wrong, "f", [0])).result().error for _ in range(4)]
    assert len({(error.stderr, error.line) for error in errors if error is not None}) == 1


def _masked(text: str) -> str:
    import re

    return re.sub(r'"/[^"]*/', '"', re.sub(r"/\S*/main\.py", "main.py", text))


def test_many_large_files_come_back(here: Path) -> None:
    """Mapping one takes no descriptor for as long as the result is there."""
    size = collecting._MAPPED
    for n in range(300):
        with (here / f"{n:03}").open("wb") as file:
            file.truncate(size)
    before = len(os.listdir("/proc/self/fd"))
    segments = collecting.collect(["*"], 0, hurry=False)
    assert len(segments) == 301
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize("isolation", ["reuse", "spawn"])
def test_a_call_with_files_costs_no_new_worker(
    make_backend: MakeBackend, level: str, isolation: str
) -> None:
    """In a box, the kernel tells what a dead process of the call used only at its worker's end."""
    backend = make_backend(isolation=isolation, sandbox=level, max_workers=1)
    body = "import os\nopen('f', 'wb').write(bytes(2 << 20))\nos.mkdir('d')\n"
    collecting_calls: list[Any] = [
        ProgramCall(body, collect=["*"]),
        call(f"{body}return bytes(2 << 20)", collect=["*"]),
    ]
    for each in (
        *(collecting_calls if level == "none" else ()),
        ProgramCall(body),
        call(body, files={"x": b"y"}),
    ):
        backend.submit(each).result()
        result = backend.submit(each).result()
        assert result.outcome == "ok", result.error
        assert result.metrics.calls_before > 0

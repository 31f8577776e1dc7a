# SPDX-License-Identifier: Apache-2.0
"""The boxes: a program's surroundings in one, and that no program runs without its walls."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import queue
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from boxes import level_is_there
from conftest import MakeBackend
from pinfold import InvalidConfig, LocalBackend, WorkerCall, WorkerConfig
from pinfold._host import sandbox as host_sandbox
from pinfold._worker.boot import base
from pinfold._worker.ext import _runtime
from programs import SQUARE, call

sys.path.insert(0, str(Path(__file__).parents[2] / "stress" / "hostile"))

import hostile_run
from hostile_programs import PRELUDE, PROGRAMS, Program


@pytest.fixture(
    params=[
        pytest.param(
            level, marks=pytest.mark.skipif(not level_is_there(level), reason="not to be had here")
        )
        for level in ("standard", "strict")
    ]
)
def level(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.parametrize(
    "program", [program for program in PROGRAMS if program.fast], ids=lambda program: program.name
)
def test_a_hostile_program_does_not_get_what_it_tries(
    program: Program, level: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(hostile_run.MARK, f"{os.getpid()}-{program.name}-{level}")
    verdict = hostile_run.attack(program, level)
    assert verdict.word in ("blocked", "contained"), verdict


def test_a_call_finds_an_empty_scratch_directory_that_is_gone_afterwards(
    make_backend: MakeBackend, level: str, isolation: str, spill_dir: Path
) -> None:
    body = """
import os, tempfile
os.makedirs("a/b/c")
name = tempfile.mkstemp()[1]
before = [n for n in os.listdir(".") if n not in ("a", os.path.basename(name))]
return before, os.getcwd(), os.environ["TMPDIR"], os.path.dirname(name)
"""
    with make_backend(sandbox=level, isolation=isolation, max_workers=1) as backend:
        for _ in range(3):
            before, cwd, tmpdir, place = backend.submit(call(body)).result(timeout=60).unwrap()
            assert before == []
            assert cwd == tmpdir == place
            assert Path(cwd).is_relative_to(spill_dir.resolve())
    assert list(spill_dir.iterdir()) == []


# Changes to a call's scratch directory that the next call must not find.
MARKS = {
    "a file": "open('x', 'w').close()",
    "a file that is gone": "open('x', 'w').close(); os.remove('x')",
    "its mode": "os.chmod('.', 0o711)",
    "an attribute": "os.setxattr('.', 'user.mark', b'1')",
    "its times": "os.utime('.', (1, 2))",
    "a look": "os.listdir('.')",
}


@pytest.mark.parametrize("mark", MARKS.values(), ids=MARKS)
def test_no_call_finds_what_another_did_to_its_scratch_directory(
    make_backend: MakeBackend, level: str, mark: str
) -> None:
    body = f"""
import contextlib, os
is_ = os.stat(".")
attributes = []
with contextlib.suppress(OSError):  # this file system has none
    attributes = os.listxattr(".")
names = os.listdir(".")
found = oct(is_.st_mode), is_.st_atime_ns - is_.st_mtime_ns, attributes, names
with contextlib.suppress(OSError):
    {mark}
return found
"""
    backend = make_backend(sandbox=level, max_workers=1)
    for _ in range(60):
        found = backend.submit(call(body)).result(timeout=60).unwrap()
        assert found == ("0o40700", 0, [], [])


def test_a_scratch_directory_that_was_left_alone_is_used_again(
    make_backend: MakeBackend,
) -> None:
    if not level_is_there("standard"):
        pytest.skip("not to be had here")
    backend = make_backend(sandbox="standard", max_workers=1)
    where = call("import os\nreturn os.getcwd()")
    places = {backend.submit(where).result(timeout=60).unwrap() for _ in range(100)}
    assert len(places) < 100


@pytest.mark.parametrize("has_path", [False, True], ids=["plain", "with a path of its own"])
def test_a_call_has_the_scratch_directory_in_its_environment_and_in_that_of_the_c_library(
    make_backend: MakeBackend, level: str, has_path: bool, tmp_path: Path
) -> None:
    body = """
import ctypes, os, tempfile
library = ctypes.CDLL(None)
library.getenv.restype = ctypes.c_char_p
names = "HOME", "TMPDIR", "TEMP", "TMP"
here = os.getcwd()
wrong = [n for n in names if os.environ[n] != here or library.getenv(n.encode()) != here.encode()]
os.environ["HOME"], os.environ["TMP"] = "/changed", here + "/longer"
del os.environ["TEMP"]
changed = [library.getenv(n.encode()) for n in ("HOME", "TEMP", "TMP")]
told = changed == [b"/changed", None, (here + "/longer").encode()]
del os.environ["TMP"]
return wrong, told, tempfile.gettempdir() == here
"""
    preload = ["tempfile", "ctypes"]
    with make_backend(
        sandbox=level, preload=preload, setup="import tempfile; tempfile.gettempdir()"
    ) as backend:
        program = call(body, python_path=[tmp_path] if has_path else [])
        for _ in range(40):  # the first have a directory of their own making
            assert backend.submit(program).result(timeout=60).unwrap() == ([], True, True)


@pytest.mark.parametrize("has_path", [False, True], ids=["plain", "with a path of its own"])
def test_a_call_has_no_privileges_and_no_descriptor_of_what_made_its_box(
    make_backend: MakeBackend, level: str, has_path: bool, tmp_path: Path
) -> None:
    body = """
import os
with open("/proc/self/status") as status:
    told = dict(line.split()[:2] for line in status if len(line.split()) > 1)
names = "CapInh:", "CapPrm:", "CapEff:", "CapAmb:"
base = os.path.dirname(os.path.dirname(os.getcwd()))
fds = {}
for fd in os.listdir("/proc/self/fd"):
    try:
        fds[int(fd)] = os.readlink("/proc/self/fd/" + fd)
    except OSError:  # the listing's own
        pass
held = [(fd, path) for fd, path in fds.items() if fd >= 256 or path == base]
return [int(told[n], 16) for n in names], told["NoNewPrivs:"], told["Seccomp:"], held
"""
    program = call(body, python_path=[tmp_path] if has_path else [])
    with make_backend(sandbox=level) as backend:
        for _ in range(40):  # the first have a directory of their own making
            told = backend.submit(program).result(timeout=60).unwrap()
            assert told == ([0, 0, 0, 0], "1", "2", [])


def test_arrays_come_back_and_modules_of_the_call_are_found(
    make_backend: MakeBackend, level: str, tmp_path: Path
) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "helper_of_call.py").write_text("SCALE = 3\n")
    source = "import helper_of_call, numpy as np\ndef f(a):\n    return a * helper_of_call.SCALE\n"
    backend = make_backend(sandbox=level, preload=["numpy"])
    array = np.arange(100_000.0)
    program = WorkerCall(source, "f", args=[array], python_path=[tmp_path / "own"])
    assert (backend.submit(program).result(timeout=60).unwrap() == array * 3).all()
    # Other calls of the same backend cannot see that directory.
    other = call("import os\nreturn os.listdir(args[0])", str(tmp_path / "own"))
    for _ in range(20):
        assert backend.submit(program).result(timeout=60).outcome == "ok"
        assert backend.submit(other).result(timeout=60).outcome == "exception"


def test_every_outcome_is_what_it_is_without_a_box(make_backend: MakeBackend, level: str) -> None:
    backend = make_backend(sandbox=level)
    ends: dict[str, Any] = {
        "exception": call("raise ValueError"),
        "exited": call("import os; os._exit(3)"),
        "signalled": call("import ctypes; ctypes.string_at(0)"),
        "timeout": call("while True: pass"),
        "bad_result": call("return object()"),
        "ok": SQUARE,
    }
    for outcome, program in ends.items():
        result = backend.submit(program, deadline_s=2).result(timeout=60)
        assert result.outcome == outcome, result
        assert result.metrics is not None
        assert result.metrics.worker_pid > 100  # the pid in the caller's namespace


def test_processor_time_is_the_kernels_and_less_than_a_tick_counts(
    make_backend: MakeBackend, level: str
) -> None:
    body = """
import time
began = time.process_time()
while (used := time.process_time() - began) < 0.003:
    pass
return used
"""
    backend = make_backend(sandbox=level)
    for _ in range(5):
        result = backend.submit(call(body)).result(timeout=60)
        assert result.metrics is not None
        assert result.metrics.user_time_s + result.metrics.sys_time_s >= result.unwrap() - 1e-6


def test_a_preload_may_use_what_the_box_refuses_its_calls(
    make_backend: MakeBackend, level: str, tmp_path: Path
) -> None:
    (tmp_path / "data").write_text("held\n")
    setup = f"DATA = open({str(tmp_path / 'data')!r}).read()\n"
    backend = make_backend(sandbox=level, setup=setup)
    held = call("import pinfold_setup\nreturn pinfold_setup.DATA")
    assert backend.submit(held).result(timeout=60).value == "held\n"


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the numbers are those of x86-64")
def test_two_filters_refuse_what_the_whole_one_refuses(make_backend: MakeBackend) -> None:
    """A forked worker in a strict box has the template's filter and a second, short one."""
    if not level_is_there("strict"):
        pytest.skip("not to be had here")
    body = """
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
def error_of(number):
    ctypes.set_errno(0)
    libc.syscall(ctypes.c_long(number), *[ctypes.c_long(-1)] * 6)
    return ctypes.get_errno()
# From capset and mount to what no kernel knows; arguments that none of them takes.
numbers = 126, 165, 166, 155, 272, 308, *range(424, 444), *range(447, 450), 500, 1000
return [error_of(n) for n in numbers], [error_of(n) for n in (317, 444, 445, 446)]
"""
    told = []
    for isolation in ("fresh", "reuse", "spawn"):
        backend = make_backend(sandbox="strict", isolation=isolation)
        told.append(backend.submit(call(body)).result(timeout=60).unwrap())
    listed, narrowing = zip(*told, strict=True)
    assert listed[0] == listed[1] == listed[2]
    assert listed[0][:6] == [38, 1, 1, 1, 38, 1]  # ENOSYS: not listed; EPERM: refused
    assert 38 not in narrowing[0]
    assert narrowing[1] == narrowing[2] == [38] * 4


def test_what_is_missing_fails_the_backend_with_the_list(
    monkeypatch: pytest.MonkeyPatch, spill_dir: Path
) -> None:
    found = {"landlock": -38, "seccomp": 0, "namespaces": -1, "namespaces_step": 0}
    monkeypatch.setattr(host_sandbox, "_machine", lambda: found)
    with pytest.raises(InvalidConfig, match="landlock_files: no Landlock") as caught:
        LocalBackend(WorkerConfig(sandbox="strict", spill_dir=spill_dir))
    assert "user_namespace: cannot make a user namespace" in str(caught.value)
    config = WorkerConfig(sandbox="strict", sandbox_required=False, spill_dir=spill_dir)
    with LocalBackend(config) as backend:
        assert backend.submit(SQUARE).result(timeout=60).value == 49
        states = {one.name: one.state for one in backend.isolation().mechanisms}
    assert states["landlock_files"] == states["pid_namespace"] == "unavailable"
    assert states["seccomp"] == "active"


def test_an_older_kernel_lacks_only_what_nothing_else_does(
    monkeypatch: pytest.MonkeyPatch, level: str
) -> None:
    found = {"landlock": 2, "seccomp": 0, "namespaces": 0, "namespaces_step": 0}
    monkeypatch.setattr(host_sandbox, "_machine", lambda: found)
    isolation = host_sandbox.isolation_of(WorkerConfig(sandbox=level))  # type: ignore[arg-type]
    assert [one.name for one in isolation.missing] == ["landlock_scopes"]
    told = {one.name: one.why for one in isolation.mechanisms}
    assert "ABI 2" in told["landlock_tcp"]
    assert "ABI 2" in told["landlock_scopes"]
    assert "ABI 2" in told["landlock_truncate"]


def test_a_file_that_may_be_read_keeps_its_length_where_landlock_does_not_see_to_it(
    make_backend: MakeBackend, monkeypatch: pytest.MonkeyPatch, level: str, tmp_path: Path
) -> None:
    found = {**host_sandbox._machine(), "landlock": 1}
    monkeypatch.setattr(host_sandbox, "_machine", lambda: found)
    body = """
import os
path = os.path.join(sys.path[0], "module.py")
assert open(path).read() == "value = 1\\n"
done = []
for flags in (os.O_RDONLY, os.O_WRONLY, os.O_RDWR, os.O_ACCMODE):
    try:
        os.close(os.open(path, flags | os.O_TRUNC))
        done.append(flags)
    except OSError:
        pass
try:
    os.truncate(path, 0)
    done.append("truncate")
except OSError:
    pass
with open("own", "w") as own:
    own.write("text")
with open("own", "w") as own:  # cut as it is opened
    own.truncate(2)
return done, os.stat("own").st_size, os.stat(path).st_size
"""
    (tmp_path / "module.py").write_text("value = 1\n")
    backend = make_backend(sandbox=level, sandbox_required=False, max_workers=1)
    reading = call(f"import sys{body}", python_path=[str(tmp_path)])
    assert backend.submit(reading).result(timeout=60).unwrap() == ([], 2, 10)
    assert (tmp_path / "module.py").read_text() == "value = 1\n"


@pytest.mark.skipif(os.geteuid() != 0, reason="every test here is one of an ordinary user's")
def test_what_root_can_an_ordinary_user_can(level: str) -> None:
    """Return a call with its own python_path, the most that a user needs in a strict box."""
    script = f"""
import os, sys
from pinfold import LocalBackend, WorkerCall, WorkerConfig
os.mkdir("own")
with open("own/of_call.py", "w") as module:
    module.write("SCALE = 3\\n")
config = WorkerConfig(sandbox={level!r}, spill_dir=os.getcwd())
code = "import of_call\\ndef f(n):\\n    return n * of_call.SCALE\\n"
with LocalBackend(config) as backend:
    call = WorkerCall(code, "f", args=[4], python_path=[os.path.abspath("own")])
    print(backend.submit(call).result(timeout=60).unwrap())
"""

    def as_nobody(code: str, cwd: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", code],
            user=65534, group=65534, extra_groups=[], cwd=cwd, env={}, timeout=120,
            text=True, capture_output=True, check=False,
        )  # fmt: skip

    with tempfile.TemporaryDirectory() as directory:
        os.chown(directory, 65534, 65534)
        try:
            readable = as_nobody("import pinfold", directory).returncode == 0
        except PermissionError:
            readable = False
        if not readable:
            pytest.skip("this interpreter is not for everybody to read")
        done = as_nobody(script, directory)
    assert (done.stdout, done.stderr) == ("12\n", "")


def test_programs_that_set_modes_and_times_in_passing_go_on_in_standard(
    make_backend: MakeBackend, isolation: str
) -> None:
    if not level_is_there("standard"):
        pytest.skip("not to be had here")
    body = """
import os, shutil, tarfile
with open("a", "w") as file:
    file.write("text")
os.chmod("a", 0o600)
os.utime("a", (1, 1))
shutil.copy2("a", "b")
shutil.copytree(".", "tree", ignore=shutil.ignore_patterns("tree"))
with tarfile.open("t.tar", "w") as tar:
    tar.add("tree")
with tarfile.open("t.tar") as tar:
    tar.extractall("out")
return sorted(os.listdir("out/tree")), os.stat("a").st_mtime > 1
"""
    backend = make_backend(sandbox="standard", isolation=isolation, max_workers=1)
    for _ in range(3):
        found = backend.submit(call(body)).result(timeout=60).unwrap()
        assert found == (["a", "b"], True)


def test_a_directory_that_nobody_may_enter_goes_after_its_call(
    make_backend: MakeBackend, level: str, isolation: str, spill_dir: Path
) -> None:
    body = "import os\nos.makedirs('a/b', 0o700)\nos.mkdir('a/c', 0)\nos.mkdir('d', 0)\n"
    with make_backend(sandbox=level, isolation=isolation, max_workers=1) as backend:
        for _ in range(4):
            made = backend.submit(call(f"{body}return sorted(os.listdir('.'))"))
            assert made.result(timeout=60).unwrap() == ["a", "d"]
    assert list(spill_dir.iterdir()) == []


def test_the_doctor_tells_each_mechanism_as_text_and_json() -> None:
    def doctor(*arguments: str) -> str:
        command = [sys.executable, "-m", "pinfold", "doctor", *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=60).stdout

    told = json.loads(doctor("--json", "--sandbox", "standard"))
    names = {one["name"]: one["state"] for one in told["mechanisms"]}
    assert names["pid_namespace"] == "off"
    assert names["no_new_privileges"] == "active"
    text = doctor()
    assert all(name in text for name in names)


def test_a_caller_that_ignores_the_ends_of_children_has_the_same_levels(level: str) -> None:
    script = f"""
import signal, pinfold
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
pinfold.LocalBackend(pinfold.WorkerConfig(sandbox={level!r})).close()
"""
    subprocess.run([sys.executable, "-c", script], check=True)


def test_a_process_that_a_call_forked_and_that_comes_back_takes_nothing_away(
    make_backend: MakeBackend, level: str
) -> None:
    backend = make_backend(sandbox=level, isolation="reuse", max_workers=1)
    body = """
import os
open("mine", "w").close()
child = os.fork()
if child == 0:
    return 0
os.waitpid(child, 0)
return os.listdir(), os.getpid()
"""
    first, second = (backend.submit(call(body)).result(timeout=60).unwrap() for _ in range(2))
    assert first == second
    assert first[0] == ["mine"]


@pytest.mark.parametrize("isolation", ["fresh", "reuse", "spawn"])
def test_a_callers_umask_costs_nothing(
    make_backend: MakeBackend, level: str, isolation: str
) -> None:
    mask = os.umask(0o777)
    try:
        backend = make_backend(sandbox=level, isolation=isolation)
        result = backend.submit(call("return bytes(200_000)")).result(timeout=60)
        assert result.unwrap() == bytes(200_000)
        backend.close()
    finally:
        os.umask(mask)


def test_a_base_that_is_cleared_away_before_it_is_held_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another pool in the same spill directory may be looking for abandoned files."""
    cleared = []

    def after_a_look(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def late(*args: Any) -> Any:
            if name not in cleared:
                cleared.append(name)
                _runtime.clear_bases(str(tmp_path))
                assert list(tmp_path.iterdir()) == []
            return call(*args)

        return late

    monkeypatch.setattr(os, "open", after_a_look("open", os.open))
    monkeypatch.setattr(fcntl, "flock", after_a_look("flock", fcntl.flock))
    made, lock = base.make_base(str(tmp_path))
    assert cleared == ["open", "flock"]
    _runtime.clear_bases(str(tmp_path))
    assert list(tmp_path.iterdir()) == [Path(made)]
    assert sorted(os.listdir(made)) == ["root", "scratch", "sources", "trash"]
    os.close(lock)
    _runtime.clear_bases(str(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_a_machine_that_could_not_be_probed_is_asked_again(spill_dir: Path) -> None:
    if not level_is_there("strict"):
        pytest.skip("not to be had here")
    script = f"""
import os, resource, pinfold
config = pinfold.WorkerConfig(sandbox="strict", spill_dir={str(spill_dir)!r})
config.spill_dir.mkdir(parents=True, exist_ok=True)
soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (max(map(int, os.listdir("/proc/self/fd"))) + 2, hard))
try:
    pinfold.LocalBackend(config)
except pinfold.InvalidConfig as error:
    assert "Too many open files" in str(error), error
else:
    raise AssertionError("the probe had descriptors")
resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
pinfold.LocalBackend(config).close()
"""
    subprocess.run([sys.executable, "-c", script], check=True)


NESTED = """
import pinfold
def f():
    config = pinfold.WorkerConfig(max_workers=1, isolation=ISOLATION)
    with pinfold.LocalBackend(config) as backend:
        return backend.submit(pinfold.WorkerCall("def f(): return 7", "f")).result().unwrap()
"""


@pytest.mark.parametrize("level", ["standard", "strict"])
def test_a_pool_in_a_box_closes_though_it_cannot_list_its_processes(
    make_backend: MakeBackend, isolation: str, level: str
) -> None:
    if not level_is_there(level):
        pytest.skip("not to be had here")
    backend = make_backend(sandbox=level, isolation=isolation)
    # A guard that could not see its template was given up after two times five seconds.
    code = NESTED.replace("ISOLATION", repr(isolation))
    assert backend.submit(WorkerCall(code, "f"), deadline_s=9.5).result().unwrap() == 7


@pytest.mark.parametrize("isolation", ["fresh", "reuse", "spawn"])
def test_a_box_has_no_place_for_spills_and_large_values_come_whole(
    make_backend: MakeBackend, level: str, isolation: str, spill_dir: Path
) -> None:
    body = """
import os
value, outside = args
here, made = os.getcwd(), []
for top, directories, names in os.walk(outside):
    try:
        os.close(os.open(top, os.O_TMPFILE | os.O_RDWR, 0o600))
        made.append(top)
    except OSError:
        pass
held = [os.path.realpath(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd")]
held = [path for path in held if path.startswith(outside) and "/#" not in path]
held = [path for path in held if SPARED not in path + "/"]  # its source's file, to write it anew
return value, [top for top in made if not (top + "/").startswith(here + "/")], held
"""
    large = b"x" * 300_000
    with make_backend(isolation=isolation, sandbox=level, max_workers=1) as backend:
        spared = "none" if isolation == "fresh" else "/sources/"
        program = call(body.replace("SPARED", repr(spared)), large, str(spill_dir))
        for _ in range(3):
            assert backend.submit(program).result(timeout=60).unwrap() == (large, [], [])


@pytest.mark.parametrize("isolation", ["fresh", "reuse", "spawn"])
def test_what_children_have_used_is_told_though_they_live_on(
    make_backend: MakeBackend, level: str, isolation: str
) -> None:
    body = """
import os, time
reader, writer = os.pipe()
if os.fork() == 0:
    held = b"x" * (100 << 20)
    while time.process_time() < 0.4: pass
    os.write(writer, b"x")
    time.sleep(60)
os.read(reader, 1)
"""
    with make_backend(isolation=isolation, sandbox=level, max_workers=1) as backend:
        for _ in range(2):
            result = backend.submit(call(body), deadline_s=50).result(timeout=60)
            assert result.outcome == "ok"
            assert result.metrics is not None
            assert result.metrics.user_time_s + result.metrics.sys_time_s > 0.3
            # A reused worker has killed them before it answers.
            assert isolation != "fresh" or result.metrics.peak_rss_kb > 100 << 10


@pytest.mark.parametrize("isolation", ["fresh", "reuse", "spawn"])
def test_a_boxed_call_without_a_descriptor_left_returns_a_large_value(
    make_backend: MakeBackend, level: str, isolation: str
) -> None:
    body = """
import os
try:
    while True:
        os.open("/dev/null", os.O_RDONLY)
except OSError as error:
    return bytes([error.errno]) * 300_000
"""
    with make_backend(isolation=isolation, sandbox=level, max_workers=1) as backend:
        for _ in range(2):
            value = backend.submit(call(body)).result(timeout=60).unwrap()
            assert value == bytes([errno.EMFILE]) * 300_000


@pytest.mark.parametrize("isolation", ["reuse", "spawn"])
def test_a_worker_that_waits_for_a_call_holds_no_result(
    make_backend: MakeBackend, level: str, isolation: str
) -> None:
    workers: queue.SimpleQueue[int] = queue.SimpleQueue()
    with make_backend(isolation=isolation, sandbox=level, max_workers=1) as backend:
        backend.on_start(lambda call, worker: workers.put(worker.pid))
        value = backend.submit(call("return b'x' * 300_000")).result(timeout=60).unwrap()
        assert value == b"x" * 300_000
        held = Path(f"/proc/{workers.get(timeout=60)}/fd")
        until = time.monotonic() + 30
        while any("memfd:pinfold-spill" in os.path.realpath(fd) for fd in held.iterdir()):
            assert time.monotonic() < until
            time.sleep(0.001)


@pytest.mark.parametrize("isolation", ["fresh", "reuse", "spawn"])
def test_a_file_that_comes_as_the_result_of_a_boxed_call_is_refused(
    make_backend: MakeBackend, level: str, isolation: str
) -> None:
    """The sender could open it again for writing while the caller maps it."""
    program = f"""{PRELUDE}
def f():
    data = payload(b"\\x01")
    fd = os.open(".", os.O_TMPFILE | os.O_RDWR, 0o600)
    os.write(fd, data)
    reader = os.open("/proc/self/fd/%d" % fd, os.O_RDONLY)
    os.close(fd)
    frame = result_frame(my_call(), b"", size=len(data), flags=1)
    socket.send_fds(channel(), [frame], [reader])
    time.sleep(20)
"""
    with make_backend(isolation=isolation, sandbox=level, max_workers=1) as backend:
        result = backend.submit(WorkerCall(program, "f"), deadline_s=60).result(timeout=60)
        assert result.outcome == "bad_result"
        assert result.error is not None and "damaged frame" in result.error.message
        assert backend.submit(SQUARE).result(timeout=60).unwrap() == 49


@pytest.mark.parametrize("isolation", ["fresh", "reuse", "spawn"])
def test_what_a_boxed_call_leaves_can_be_told_from_what_others_leave(
    make_backend: MakeBackend, level: str, isolation: str
) -> None:
    body = """
import ctypes, os, resource
LOCKS = 10
limits = resource.getrlimit(LOCKS)
refused = []
for set_limit in (resource.setrlimit, lambda *limit: resource.prlimit(0, *limit)):
    try:
        set_limit(LOCKS, (5, limits[1]))
    except (OSError, ValueError):
        refused.append(True)
return limits, refused, resource.getrlimit(LOCKS) == limits
"""
    seen = set()
    with make_backend(isolation=isolation, sandbox=level, max_workers=1) as backend:
        for _ in range(2):
            limits, refused, kept = backend.submit(call(body)).result(timeout=60).unwrap()
            assert 0 < limits[0] < limits[1]
            assert refused == [True, True] and kept
            seen.add(limits[0])
    assert len(seen) == (2 if isolation == "fresh" else 1)

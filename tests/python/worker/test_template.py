# SPDX-License-Identifier: Apache-2.0
"""A template and its workers, driven from outside over their sockets."""

from __future__ import annotations

import ctypes
import errno
import json
import os
import pickle
import re
import select
import shutil
import signal
import subprocess
import sys
import threading
import time
import venv
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy
import pytest

from template_driver import (
    BAD,
    EXCEPTION,
    EXITED_ORPHANS,
    FAILED,
    OK,
    PACKAGE,
    PATIENCE_S,
    RESULT_CHILDREN,
    RESULT_SPILLED,
    TOO_LARGE,
    Template,
    Worker,
    dies,
    receive,
)

pytestmark = pytest.mark.extension

Make = Callable[..., Template]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """Return a function that starts templates; end them after the test."""
    made: list[Template] = []

    def start(isolation: str = "fresh", **options: Any) -> Template:
        made.append(Template(isolation, spill_dir=str(tmp_path), **options))
        return made[-1]

    yield start
    for template in made:
        template.close()


@pytest.fixture
def modules(tmp_path: Path) -> Callable[..., dict[str, str]]:
    """Return a function that writes modules and returns an environment that can import them."""

    def write(**sources: str) -> dict[str, str]:
        for name, source in sources.items():
            (tmp_path / f"{name}.py").write_text(source)
        return {"PYTHONPATH": str(tmp_path)}

    return write


@pytest.fixture(scope="module", params=["fresh", "reuse", "spawn"])
def shared(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Template]:
    directory = str(tmp_path_factory.mktemp("spills"))
    with Template(request.param, spill_dir=directory) as template:
        yield template.ready()


@pytest.fixture
def any_template(shared: Template) -> Iterator[Template]:
    """Share one template of each isolation among many tests: no call may harm it."""
    yield shared
    shared.drop()


# A candidate's surroundings.

LOOK = """
import sys
def f():
    main = sys.modules["__main__"]
    return {
        "path": list(sys.path),
        "argv": list(sys.argv),
        "main": sorted(vars(main)),
        "modules": sorted({name for name in sys.modules if "." not in name}),
        "flags": list(sys.flags)[:12],
    }
"""


def test_the_interpreter_is_as_one_that_was_started_without_a_script(
    any_template: Template,
) -> None:
    seen = any_template.value(LOOK)
    code = LOOK + "import json; print(json.dumps(f()))"
    plain = subprocess.run(
        [sys.executable, "-c", code], env={"PATH": ""}, capture_output=True, check=True, text=True
    )
    expected = json.loads(plain.stdout)
    *path, source = seen["path"]  # the last one has the source in a file
    assert path == expected["path"]
    assert "/sources/" in source
    assert seen["argv"] == [""]
    assert set(seen["main"]) == {name for name in expected["main"] if name.startswith("__")}
    assert seen["flags"] == expected["flags"]
    ours = {"template", "worker", "preload", "execute", "report", "wire", "_runtime", "codec"}
    assert not ours & set(seen["modules"])


def test_python_path_from_the_environment_is_honoured(
    make: Make, modules: Callable[..., dict[str, str]]
) -> None:
    template = make(env=modules(neighbour="VALUE = 17")).ready()
    assert template.value("import neighbour\ndef f(): return neighbour.VALUE") == 17


def test_a_candidate_can_import_pinfold_itself(any_template: Template) -> None:
    code = """
import pinfold
from pinfold import WorkerCall
def f(): return [WorkerCall("x", "y").function_name, pinfold.WorkerConfig.__name__]
"""
    assert any_template.value(code) == ["y", "WorkerConfig"]


def test_an_interpreter_that_the_extension_was_not_built_for_is_told_apart(
    make: Make, tmp_path: Path
) -> None:
    package = tmp_path / "other" / "pinfold"
    others = shutil.ignore_patterns("_runtime.*.so", "__pycache__", ".hostile-*")
    shutil.copytree(PACKAGE, package, ignore=others)
    (package / "_worker" / "ext" / "_runtime.cpython-399-x86_64-linux-gnu.so").touch()
    failure = make(package=package).failure()
    version = "".join(map(str, sys.version_info[:2]))
    assert f"is cpython-{version}, and pinfold in" in failure
    assert "built for another: _runtime.cpython-399-" in failure
    assert "Traceback" in failure


def test_an_interpreter_without_the_dependencies_finds_the_callers(
    make: Make, tmp_path: Path
) -> None:
    home = tmp_path / "bare"
    venv.EnvBuilder(symlinks=True).create(home)
    template = make(python=str(home / "bin" / "python")).ready()
    code = "import sys\ndef f(): return [sys.prefix, [p for p in sys.path if 'site-packages' in p]]"
    prefix, path = template.value(code)
    assert prefix == str(home)
    assert all(entry.startswith(str(home)) for entry in path), "the caller's packages stay out"


# Preloaded modules.


def test_a_preload_is_imported_once_for_all_workers(
    make: Make, modules: Callable[..., dict[str, str]], tmp_path: Path
) -> None:
    log = tmp_path / "log"
    env = modules(big=f"open({str(log)!r}, 'a').write('x')\nTABLE = list(range(1000))")
    template = make(preload=["big"], env=env).ready()
    assert [template.value("import big\ndef f(): return len(big.TABLE)") for _ in range(3)] == [
        1000
    ] * 3
    assert log.read_text() == "x"


def test_a_spawned_worker_imports_the_preloads_itself(
    make: Make, modules: Callable[..., dict[str, str]], tmp_path: Path
) -> None:
    log = tmp_path / "log"
    env = modules(big=f"import os\nopen({str(log)!r}, 'a').write(f'{{os.getpid()}} ')")
    template = make("spawn", preload=["big"], env=env).ready()
    assert not log.exists()
    pids = [template.value("import os, big\ndef f(): return os.getpid()") for _ in range(2)]
    assert log.read_text().split() == [str(pid) for pid in pids]


FAILURES = {
    "raise ValueError('the sentence')": "ValueError: the sentence",
    "raise SystemExit(4)": "SystemExit: 4",
    "raise KeyboardInterrupt": "KeyboardInterrupt",
    "x = (": "SyntaxError",
    "import no_such_module_at_all": "No module named 'no_such_module_at_all'",
}


@pytest.mark.parametrize("source", FAILURES)
def test_a_failing_preload_is_told_with_its_traceback(
    make: Make, modules: Callable[..., dict[str, str]], source: str
) -> None:
    env = modules(
        good="", bad=f"def inner():\n    {source}\ninner()" if "=" not in source else source
    )
    failure = make(preload=["good", "bad"], env=env).failure()
    assert failure.startswith("preload 'bad' failed:\n")
    assert FAILURES[source] in failure
    assert re.search(r'bad\.py", line \d', failure)
    assert "preload.py" not in failure, "our own frames say nothing to a person"


def test_a_preload_that_fails_in_a_spawned_worker_is_told_by_it(
    make: Make, modules: Callable[..., dict[str, str]]
) -> None:
    template = make("spawn", preload=["bad"], env=modules(bad="raise ValueError('x')")).ready()
    worker = template.ask()
    frame = receive(worker.channel)
    assert frame is not None and frame.kind == FAILED
    assert frame.body.decode().startswith("preload 'bad' failed:\nTraceback")
    assert template.exit_of(worker).code == 1


def test_a_preload_may_reserve_terabytes(make: Make) -> None:
    reserve = "import mmap\nkept = mmap.mmap(-1, 1 << 46, flags=mmap.MAP_PRIVATE | 0x4000)"
    template = make(setup=reserve)
    assert select.select([template.control], [], [], 20)[0], "MAP_NORESERVE, and never touched"
    template.ready()


def test_a_template_without_descriptors_says_so(make: Make, tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nulimit -n 20\nexec {sys.executable} "$@"\n')
    python.chmod(0o700)
    failure = make(python=str(python)).failure()
    assert "cannot take the template's descriptors: Too many open files" in failure


def test_a_preload_that_crashes_leaves_its_stack_in_the_log(
    make: Make, modules: Callable[..., dict[str, str]]
) -> None:
    template = make(preload=["bad"], env=modules(bad="import ctypes\nctypes.string_at(0)"))
    assert template.hear() is None
    template.process.wait()
    assert template.process.returncode != 0
    assert re.search(r'bad\.py", line 2', template.printed())


THREAD = """
import threading
ready = threading.Event()
stop = threading.Event()
def run():
    ready.set()
    stop.wait()
thread = threading.Thread(target=run, daemon=True)
thread.start()
ready.wait()
"""


def test_a_preload_that_leaves_a_thread_is_refused_by_name(
    make: Make, modules: Callable[..., dict[str, str]]
) -> None:
    env = modules(harmless="", threaded=THREAD, later="")
    failure = make(preload=["harmless", "threaded", "later"], env=env).failure()
    assert "preload 'threaded' started a thread" in failure
    assert 'isolation="spawn"' in failure


def test_a_preload_whose_thread_stops_at_a_fork_is_fine(
    make: Make, modules: Callable[..., dict[str, str]]
) -> None:
    stops = (
        "import os\ndef end():\n    stop.set(); thread.join()\nos.register_at_fork(before=end)\n"
    )
    template = make(preload=["threaded"], env=modules(threaded=THREAD + stops)).ready()
    assert template.value("import threaded\ndef f(): return threaded.thread.is_alive()") is False


def test_a_set_up_is_a_module_that_calls_share(make: Make) -> None:
    template = make(setup="import os\nDATA = list(range(100_000))\nPID = os.getpid()").ready()
    code = "import pinfold_setup as s\ndef f(): return [len(s.DATA), s.PID]"
    assert template.value(code) == [100_000, template.process.pid]


IS_WARM = "import sys\ndef f(): return 'cloudpickle' in sys.modules"


def first_workers(template: Template, n: int) -> list[Worker]:
    """Workers that were asked for before the template was up."""
    asked = [template.ask() for _ in range(n)]
    template.ready()
    while not all(worker.pid for worker in asked):
        assert template.hear()
    return asked


def warmth(worker: Worker) -> object:
    worker.call(IS_WARM)
    result = worker.result()
    assert result is not None
    return result.value


@pytest.mark.parametrize("isolation", ["fresh", "reuse"])
def test_what_no_call_needs_is_loaded_beside_the_first_calls(make: Make, isolation: str) -> None:
    template = make(isolation)
    [first] = first_workers(template, 1)
    assert warmth(first) is False
    until = time.monotonic() + PATIENCE_S
    while not template.value(IS_WARM):
        assert time.monotonic() < until


def test_a_template_that_is_never_idle_becomes_warm_all_the_same(make: Make) -> None:
    workers = first_workers(make(), 12)
    assert [warmth(worker) for worker in workers] == [False] * 8 + [True] * 4


def test_where_something_is_preloaded_no_worker_is_cold(make: Make) -> None:
    [first] = first_workers(make(setup="pass"), 1)
    assert warmth(first) is True


@pytest.mark.parametrize("isolation", ["fresh", "reuse"])
def test_the_first_worker_finds_pickle_where_the_caller_has_it(
    make: Make, tmp_path: Path, isolation: str
) -> None:
    home, theirs = tmp_path / "bare", tmp_path / "theirs"
    venv.EnvBuilder(symlinks=True).create(home)
    theirs.mkdir()
    for name in ("cloudpickle", "platform", "dataclasses"):
        (theirs / f"{name}.py").write_text("raise ImportError('of the candidate')")
    template = make(isolation, python=str(home / "bin" / "python"))
    [first] = first_workers(template, 1)
    code = "import sys\ndef f(x): return [x, *(p for p in sys.path if 'site-packages' in p)]"
    first.call(code, "f", {1, 2}, kind="pickle", python_path=[str(theirs)])
    result = first.result()
    assert result is not None and result.status == OK, result
    value, *path = pickle.loads(result.segments[0])
    assert value == {1, 2}
    assert all(entry.startswith(str(home)) for entry in path), "the caller's packages stay out"


# Every call compiles, which here writes to 400 pages that it shares with the template.
WRITES_MUCH = """
import builtins
compile_ = builtins.compile
block = bytearray(b"x") * (400 * 4096)

def compile(*args, **options):
    for i in range(0, len(block), 4096):
        block[i] = 0
    return compile_(*args, **options)

builtins.compile = compile
"""


def own_kb(pid: int) -> int:
    """Return the memory that a process shares with no other, see proc(5)."""
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(re.search(r"^Private_Dirty: +(\d+) kB", rollup, re.M).group(1))  # type: ignore[union-attr]


@pytest.mark.skipif(
    tuple(map(int, re.findall(r"\d+", os.uname().release)[:2])) < (5, 14),
    reason="the kernel cannot populate",
)
@pytest.mark.skipif(
    "asan" in os.environ.get("LD_PRELOAD", ""),
    reason="what a sanitizer writes beside it is more than is copied",
)
def test_what_every_call_writes_to_is_copied_before_the_call(make: Make) -> None:
    worker = make(setup=WRITES_MUCH).ready().start()
    until = time.monotonic() + PATIENCE_S
    while own_kb(worker.pid) < 400 * 4:
        assert time.monotonic() < until


def test_a_failing_set_up_shows_its_line(make: Make) -> None:
    failure = make(setup="a = 1\nb = a / 0  # the line\n").failure()
    assert failure.startswith("setup failed:\nTraceback")
    assert 'File "pinfold_setup.py", line 2' in failure
    assert "b = a / 0  # the line" in failure


def test_what_a_preload_did_to_signals_and_streams_is_undone(
    make: Make, modules: Callable[..., dict[str, str]]
) -> None:
    env = modules(
        rude="""
import io, signal, sys
signal.signal(signal.SIGTERM, print)
signal.signal(signal.SIGINT, signal.SIG_IGN)
signal.signal(signal.SIGPIPE, signal.SIG_DFL)
sys.stdout.write("not flushed")
sys.stdout = io.StringIO()
"""
    )
    template = make(preload=["rude"], env=env).ready()
    worker = template.start()
    worker.call(
        "import signal as s\ndef f():\n    print('seen')\n"
        "    return [str(s.getsignal(n)) for n in (s.SIGTERM, s.SIGPIPE)]"
        " + [s.getsignal(s.SIGINT) is s.default_int_handler]"
    )
    result = worker.result()
    assert result is not None
    default, ignored = str(signal.Handlers.SIG_DFL), str(signal.Handlers.SIG_IGN)
    assert result.value == [default, ignored, True]
    assert worker.printed() == "seen\n", "and what the preload printed is in the log"
    assert "not flushed" in template.printed()


# A worker's surroundings.

STATUS = """
import gc, os, signal
def f():
    lines = dict(line.split(":", 1) for line in open("/proc/self/status"))
    low = [fd for fd in os.listdir("/proc/self/fd") if int(fd) < 64]
    return {
        "blocked": int(lines["SigBlk"], 16),
        "ignored": int(lines["SigIgn"], 16),
        "session": os.getsid(0) == os.getpid(),
        "descriptors": len(low),
        "stdin": os.readlink("/proc/self/fd/0"),
        "collector": gc.isenabled(),
        "id": os.environ["PINFOLD_WORKER_ID"],
        "node": os.environ["PINFOLD_NODE_ID"],
        "oom": int(open("/proc/self/oom_score_adj").read()),
    }
"""


def test_a_worker_is_as_a_plain_process(any_template: Template) -> None:
    worker = any_template.start()
    worker.call(STATUS)
    result = worker.result()
    assert result is not None
    seen = result.value
    assert seen["blocked"] == 0
    python_ignores = {signal.SIGPIPE, signal.SIGXFSZ}
    # The C library reserves two signals; some versions of make leave them ignored.
    ignored = {number for number in signal.valid_signals() if seen["ignored"] >> (number - 1) & 1}
    assert ignored == python_ignores
    assert seen["session"] is True
    assert seen["descriptors"] == 4, "0, 1, 2 and the one that reads the directory"
    assert seen["stdin"] == "/dev/null"
    assert seen["collector"] is True
    assert (seen["id"], seen["node"]) == (worker.worker_id, "node-1")
    assert seen["oom"] == 1000
    assert Path(f"/proc/{any_template.process.pid}/oom_score_adj").read_text().strip() != "1000"


@pytest.mark.parametrize(
    "draw",
    [
        "import numpy.random as r\ndef f(): return int(r.randint(1 << 30))",
        "import random as r\ndef f(): return r.getrandbits(30)",
    ],
)
def test_workers_draw_different_random_numbers(make: Make, draw: str) -> None:
    module = draw.split()[1]
    template = make(preload=[module]).ready()
    assert len({template.value(draw) for _ in range(4)}) == 4


def test_a_candidate_may_close_all_low_descriptors(any_template: Template) -> None:
    assert any_template.value("import os\ndef f():\n    os.closerange(3, 200)\n    return 5") == 5


def test_output_of_python_and_of_c_comes_whole_and_in_order(any_template: Template) -> None:
    worker = any_template.start()
    worker.call(
        """
import ctypes, os, sys
def f():
    print("python", flush=True)
    os.write(1, b"descriptor\\n")
    ctypes.CDLL(None).printf(b"c\\n")
    sys.stdout.write("no newline")
    print("error", file=sys.stderr)
    os.system("echo child")
"""
    )
    result = worker.result()
    assert result is not None and result.status == OK
    worker.channel.close()
    any_template.exit_of(worker)
    lines = worker.printed().split("\n")
    assert lines[:3] == ["python", "descriptor", "child"]
    assert set("".join(lines[3:]).replace("no newline", "")) == {"c"}
    assert "no newline" in lines[3] + lines[4]
    assert worker.printed("err") == "error\n"


# Payloads.


def test_a_large_argument_and_a_large_result_travel_as_spills(any_template: Template) -> None:
    data = os.urandom(3_000_000)
    result = any_template.run("def f(data): return data[::-1]", data)
    assert result.flags & RESULT_SPILLED
    assert result.value == data[::-1]


def test_segments_are_aligned_and_writable_views(any_template: Template) -> None:
    code = """
import numpy
def f(small, large):
    for array in (small, large):
        array += 1
    return [small.ctypes.data % 64, large.ctypes.data % 64, float(large.sum())]
"""
    small, large = numpy.zeros(1000), numpy.zeros(200_000)  # in the frame, in a spill
    assert any_template.value(code, small, large) == [0, 0, 200_000.0]
    assert any_template.value(code, small, small[:600]) == [0, 0, 600.0]


def test_an_argument_outlives_its_call_in_a_worker_that_is_used_again(make: Make) -> None:
    template = make("spawn").ready()
    worker = template.start()
    # Both calls see the module of the standard library.
    for size in (100, 100_000):
        worker.call("import this_is\n", "f")  # fails, but does not damage the worker
        assert (result := worker.result()) is not None and result.status == EXCEPTION
        worker.call("def f(a): return float(a.sum())", "f", numpy.ones(size))
        assert (result := worker.result()) is not None and result.value == size


def test_a_result_larger_than_allowed_is_refused_with_its_size(any_template: Template) -> None:
    result = any_template.run("def f(): return bytes(100_000)", result_max=1000)
    assert result.status == TOO_LARGE
    assert re.search(r"10\d,?\d{3}", result.failure.message)
    assert "1000" in result.failure.message.replace(",", "")


def test_a_result_larger_than_files_may_be_names_that_limit_as_a_bad_result(make: Make) -> None:
    code = """
import resource
def f():
    resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, resource.RLIM_INFINITY))
    return bytes(1_000_000)
"""
    result = make().ready().run(code)  # a reused worker gets its limits back
    assert result.status == BAD
    assert "1000" in result.failure.message and "bytes" in result.failure.message
    # The disk has room, so that a sentence about it would mislead.
    assert "RLIMIT_FSIZE lets a file have 500000" in result.failure.message
    assert "left" not in result.failure.message


def test_a_large_result_comes_even_if_the_call_used_up_its_descriptors(make: Make) -> None:
    code = """
import os
held = []
def f():
    try:
        while True:
            held.append(os.open("/dev/null", os.O_RDONLY))
    except OSError:
        return bytes(1_000_000)
"""
    assert make().ready().value(code) == bytes(1_000_000)


# Metrics.


def test_the_peak_and_the_time_are_those_of_the_call(make: Make) -> None:
    for isolation in ("reuse", "spawn"):
        worker = make(isolation).ready().start()
        costs = []
        for code in (
            "import mmap\ndef f():\n    with mmap.mmap(-1, 200 << 20) as x:\n"
            "        for at in range(0, len(x), 4096): x[at] = 1",
            "def f(): return 1",
            "from time import process_time as t\ndef f():\n"
            "    end = t() + 0.3\n    while t() < end: pass",
        ):
            worker.call(code)
            result = worker.result()
            assert result is not None and result.status == OK
            costs.append(result)
        large, small, busy = costs
        assert large.peak_kb > 200 << 10
        assert small.peak_kb < 100 << 10
        assert small.user_us + small.sys_us < 150_000
        assert busy.user_us + busy.sys_us > 290_000


def test_a_fresh_worker_does_not_count_what_its_template_once_held(make: Make) -> None:
    template = make(setup="x = bytearray(300 << 20)\ndel x").ready()
    result = template.run("def f(): return 1")
    assert result.peak_kb < 150 << 10


# Ends.


def test_a_fresh_worker_ends_after_its_call(make: Make) -> None:
    template = make().ready()
    worker = template.start()
    worker.call("import atexit\natexit.register(print, 'exit handler')\ndef f(): return 1")
    result = worker.result()
    assert result is not None and result.value == 1
    assert worker.result() is None
    assert template.exit_of(worker).code == 0
    assert worker.printed() == ""


def test_a_worker_ends_when_its_channel_does(any_template: Template) -> None:
    worker = any_template.start()
    worker.channel.close()
    assert any_template.exit_of(worker).code == 0


def test_an_odd_stdout_does_not_lose_the_result(any_template: Template) -> None:
    for code in (
        "import sys\ndef f():\n    sys.stdout.close()\n    sys.stderr = None\n    return 7",
        "import os\ndef f():\n    os.close(1)\n    os.close(2)\n    return 7",
        "import sys\nclass Odd:\n    def flush(self): raise SystemExit(3)\n"
        "def f():\n    sys.stdout = Odd()\n    return 7",
    ):
        assert any_template.value(code) == 7


def test_a_forked_child_that_returns_does_not_speak_for_the_worker(any_template: Template) -> None:
    worker = any_template.start()
    worker.call(
        "import os\ndef f():\n    child = os.fork()\n"
        "    if child == 0: return 'child'\n    os.waitpid(child, 0)\n    return 'worker'"
    )
    result = worker.result()
    assert result is not None and result.value == "worker"
    worker.channel.close()
    assert any_template.exit_of(worker).code == 0


def test_a_crash_of_a_forked_child_is_its_own(any_template: Template) -> None:
    worker = any_template.start()
    worker.call(
        "import os, ctypes\ndef f():\n    child = os.fork()\n"
        "    if child == 0: ctypes.string_at(0)\n    return os.waitpid(child, 0)[1]"
    )
    result = worker.result()
    assert result is not None and result.value == signal.SIGSEGV
    assert worker.stacks == []


# In a separate group: it survives its parent's group, but a look finds it.
DAEMON = """
import os, time
def f():
    read, write = os.pipe()
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.setsid()
            os.write(write, str(os.getpid()).encode())
            time.sleep(600)
        os._exit(0)
    os.close(write)
    return int(os.read(read, 100))
"""


def test_a_daemon_is_told_of_and_swept(make: Make) -> None:
    template = make().ready()
    worker = template.start()
    worker.call(DAEMON)
    result = worker.result()
    assert result is not None
    assert result.flags & RESULT_CHILDREN
    template.until_swept(worker)
    assert dies(result.value)


def test_a_daemon_of_a_killed_worker_is_swept_and_its_neighbour_is_spared(make: Make) -> None:
    template = make().ready()
    neighbour, worker = template.start(), template.start()
    neighbour.call("def f():\n    print('there')\n    return input")
    code = DAEMON.replace(
        "return int(os.read(read, 100))",
        "print(os.read(read, 100).decode(), flush=True)\n    time.sleep(600)",
    )
    worker.call(code)
    daemon = int(worker.line())
    spare = template.start()
    worker.kill()
    assert template.exit_of(worker).signal == signal.SIGKILL
    template.until_swept(worker)
    assert dies(daemon)
    spare.call("def f(): return 'alive'")
    result = spare.result()
    assert result is not None and result.value == "alive"


SEIZE = 0x4206  # PTRACE_SEIZE


def test_what_one_worker_left_holds_up_the_report_of_no_other(make: Make) -> None:
    template = make().ready()
    libc = ctypes.CDLL(None, use_errno=True)
    code = DAEMON.replace(
        "return int(os.read(read, 100))",
        "print(os.read(read, 100).decode(), flush=True)\n    time.sleep(600)",
    )
    stuck, other, quiet = template.start(), template.start(), template.start()
    stuck.call(code)
    daemon = int(stuck.line())
    assert libc.ptrace(SEIZE, daemon, None, None) == 0  # dead or alive, it exists until detached
    stuck.kill()
    assert template.exit_of(stuck).flags & EXITED_ORPHANS
    other.call(code)
    assert int(other.line()) > 0
    other.kill()
    template.until_swept(other)
    quiet.kill()
    assert template.exit_of(quiet).flags == 0
    assert stuck.number not in template.swept
    wall = 0x40000000  # __WALL: it is not a child of this process
    assert os.waitpid(daemon, wall)[1] == signal.SIGKILL
    template.until_swept(stuck)


def test_a_child_that_ended_unwaited_is_no_reason_for_a_sweep(any_template: Template) -> None:
    code = """
import os
def f():
    read, write = os.pipe()
    if os.fork() == 0:
        os._exit(0)
    os.close(write)
    os.read(read, 1)  # the end of the child, by the end of its pipe
    os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT)
    return 1
"""
    assert not any_template.run(code).flags & RESULT_CHILDREN


def test_an_interrupt_is_an_exception_of_the_call(any_template: Template) -> None:
    code = (
        "import os, signal\ndef f():\n    os.kill(os.getpid(), signal.SIGINT)\n    while True: pass"
    )
    result = any_template.run(code)
    assert result.status == EXCEPTION
    assert result.failure.type == "KeyboardInterrupt"


def test_the_end_of_the_pool_ends_everything(make: Make) -> None:
    for isolation in ("fresh", "reuse", "spawn"):
        template = make(isolation).ready()
        spare, worker = template.start(), template.start()
        worker.call(
            DAEMON.replace(
                "return int(os.read(read, 100))",
                "print(os.read(read, 100).decode(), flush=True)\n    time.sleep(600)",
            )
        )
        daemon = int(worker.line())
        template.control.close()
        assert all(map(dies, [template.process.pid, spare.pid, worker.pid, daemon]))


def test_workers_die_with_a_template_that_is_killed(make: Make) -> None:
    for isolation in ("fresh", "spawn"):
        template = make(isolation).ready()
        worker = template.start()
        worker.call("import time\ndef f():\n    print('there', flush=True)\n    time.sleep(600)")
        worker.line()
        template.process.kill()
        assert dies(worker.pid)


def test_a_template_whose_guard_dies_ends_with_all_its_workers(tmp_path: Path) -> None:
    """A process that stands in for the guard, between this one and the template, is killed."""
    code = """
import sys
sys.path[:0] = eval(sys.argv[1])
from template_driver import Template
template = Template("fresh", spill_dir=sys.argv[2]).ready()
worker = template.start()
worker.call("import time\\ndef f():\\n    print('there', flush=True)\\n    time.sleep(600)")
worker.line()
# The control socket is open in a fork too, so that its end is not what the template sees.
import os, time
if (holder := os.fork()) == 0:
    time.sleep(600)
print(template.process.pid, worker.pid, holder, flush=True)
time.sleep(600)
"""
    guard = subprocess.Popen(
        [sys.executable, "-c", code, repr(sys.path), str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert guard.stdout is not None
    template, worker, holder = map(int, guard.stdout.readline().split())
    guard.kill()
    guard.wait()
    guard.stdout.close()
    try:
        assert dies(template)
        assert dies(worker)
    finally:
        os.kill(holder, signal.SIGKILL)


# The template under load.


def test_no_report_is_lost_when_the_pool_does_not_read(make: Make) -> None:
    """There are many more workers than the socket can hold reports of."""
    template = make().ready()
    wanted = 500
    asked = []

    def ask() -> None:
        for _ in range(wanted):
            worker = template.ask()
            worker.channel.close()
            asked.append(worker)

    sender = threading.Thread(target=ask)
    sender.start()
    # When the socket accepts nothing more, the template blocks in its reports.
    while sender.is_alive() and select.select([], [template.control], [], 0)[1]:
        sender.join(0.01)
    while len(template.exits) < wanted:
        assert template.hear()
    sender.join()
    assert all(worker.pid and not worker.error for worker in asked)
    assert {template.exits[worker.number].code for worker in asked} == {0}


def test_a_template_holds_nothing_of_a_worker_that_is_gone(make: Make) -> None:
    template = make(setup="").ready()  # it warms up before it serves

    def descriptors() -> int:
        return len(os.listdir(f"/proc/{template.process.pid}/fd"))

    before = descriptors()
    for _ in range(30):
        worker = template.start()
        worker.call("def f(): return 1")
        worker.result()
        template.exit_of(worker)
    assert descriptors() == before


def test_a_worker_finds_the_interpreters_code_in_its_page_table(make: Make) -> None:
    template = make(setup="").ready()

    def code_kb(pid: int) -> int:
        """Return how much of the largest executable file mapping is in the page table."""
        sizes = []
        for part in re.split(r"\n(?=[0-9a-f]+-[0-9a-f]+ )", Path(f"/proc/{pid}/smaps").read_text()):
            if re.match(r"\S+ r-xp \S+ \S+ [1-9]", part):
                sizes.append([int(kb) for kb in re.findall(r"^(?:Size|Rss): +(\d+)", part, re.M)])
        return max(sizes)[1]

    spare = template.start()
    assert code_kb(spare.pid) >= code_kb(template.process.pid)


def test_an_unusable_spill_directory_is_told(tmp_path: Path) -> None:
    with Template("fresh", spill_dir=str(tmp_path / "missing")) as template:
        failure = template.failure()
    assert "spill directory" in failure and os.strerror(errno.ENOENT) in failure


# Every deed at every moment, as a matrix.

DEEDS = {
    "crash": "import ctypes; ctypes.string_at(0)",
    "exit": "import os; os._exit(3)",
    "error": "raise ValueError('on purpose')",
    "hang": "print('hangs', flush=True)\n{indent}while True: pass",
}


class Deed:
    """An argument that executes a text when it is decoded."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __reduce__(self) -> tuple[Any, ...]:
        return exec, (self.text,)


def program(deed: str, moment: str) -> tuple[str, list[Any]]:
    """Return a source with `f`, and arguments, that do the deed at the moment."""
    text = DEEDS[deed]
    if moment == "decoding":
        return "def f(x): return 1", [Deed(text.format(indent=""))]
    if moment == "running":
        return f"def f():\n    {text.format(indent='    ')}", []
    method = "__reduce__" if moment == "encoding" else "__del__"
    source = f"class C:\n    def {method}(self):\n        {text.format(indent='        ')}\n"
    if moment == "encoding":
        return source + "def f(): return C()", []
    return (
        source
        + "import gc\ndef f():\n    c = C()\n    c.c = c\n    del c\n"
        + "    gc.collect()\n    return 1",
        [],
    )


@pytest.mark.parametrize("moment", ["decoding", "running", "encoding", "collecting"])
@pytest.mark.parametrize("deed", DEEDS)
def test_every_deed_at_every_moment_has_its_own_end(
    any_template: Template, deed: str, moment: str
) -> None:
    code, args = program(deed, moment)
    worker = any_template.start()
    worker.call(code, "f", *args, kind="pickle")
    if deed == "hang":
        assert worker.line() == "hangs"
        assert "most recent call first" in worker.ask()
        worker.kill()
        assert worker.result() is None
        assert any_template.exit_of(worker).signal == signal.SIGKILL
        return
    result = worker.result()
    if deed == "crash":
        assert result is None
        assert any_template.exit_of(worker).signal == signal.SIGSEGV
        assert len(worker.stacks) == 1 and "Segmentation fault" in worker.stacks[0]
    elif deed == "exit":
        assert result is None
        assert any_template.exit_of(worker).code == 3
    elif moment == "collecting":
        assert result is not None and result.status == OK, "Python only prints such an error"
    else:
        assert result is not None
        assert result.status == (BAD if moment == "encoding" else EXCEPTION)
        assert "on purpose" in result.failure.text


@pytest.mark.skipif(
    tuple(map(int, os.uname().release.split(".")[:2])) < (6, 1)
    or not os.path.exists("/sys/kernel/mm/transparent_hugepage"),
    reason="the kernel cannot gather memory into huge pages",
)
def test_what_the_set_up_loads_is_in_huge_pages_and_what_a_call_allocates_is_not(
    make: Make,
) -> None:
    setup = "data = [bytes([1]) * (1 << 20) for _ in range(64)]"
    code = """
def f():
    mine = [bytes([2]) * (1 << 20) for _ in range(64)]
    with open("/proc/self/smaps") as smaps:
        lines = [line.split() for line in smaps]
    huge = sum(int(line[1]) for line in lines if line[0] == "AnonHugePages:")
    return huge, any("hg" in line for line in lines if line[0] == "VmFlags:")
"""
    huge_kb, advised = make(setup=setup).ready().value(code)
    assert 32 << 10 < huge_kb < 96 << 10
    assert not advised

# SPDX-License-Identifier: Apache-2.0
"""``setup``: texts of any size, and reports of why a pool with it cannot start."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

from conftest import MakeBackend
from pinfold import InvalidConfig, LocalBackend, PoolError, WorkerCall, WorkerConfig

NOTHING = WorkerCall("def f(): pass", "f")
LENGTH = WorkerCall("import pinfold_setup\ndef f(): return len(pinfold_setup.TEXT)", "f")

PARENT = WorkerCall(
    "import os, pinfold_setup\ndef f(): return len(pinfold_setup.TEXT), os.getppid()", "f"
)


@pytest.mark.parametrize("mode", ["fresh", "reuse", "spawn"])
@pytest.mark.parametrize("size", [100_000, 120_000, 131_072, 1_000_000])
def test_a_set_up_of_any_size_is_there_for_every_call(
    make_backend: MakeBackend, mode: str, size: int
) -> None:
    backend = make_backend(setup=f"TEXT = {'x' * size!r}", isolation=mode)
    assert backend.submit(LENGTH).result().unwrap() == size


def test_a_large_set_up_outlives_the_template(make_backend: MakeBackend) -> None:
    backend = make_backend(setup=f"TEXT = {'é' * 100_000!r}")
    assert backend.submit(LENGTH).result().unwrap() == 100_000
    template = backend.stats().template_pid
    os.kill(template, signal.SIGKILL)
    # A spare of the dead template may be faster than the report of its death.
    while (result := backend.submit(PARENT).result()).outcome == "lost" or (
        result.unwrap()[1] == template
    ):
        continue
    assert result.unwrap()[0] == 100_000
    assert backend.stats().template_pid != template


def test_a_set_up_that_no_process_can_be_given_is_refused(spill_dir: Path) -> None:
    config = WorkerConfig(setup=f"TEXT = {'x' * (7 << 20)!r}", spill_dir=spill_dir)
    with pytest.raises(InvalidConfig, match="setup takes too much room"):
        LocalBackend(config)


def told(backend: LocalBackend) -> str:
    with pytest.raises(PoolError, match="the pool could not start") as caught, backend:
        pass
    return str(caught.value)


def test_a_set_up_that_fails_is_told(make_backend: MakeBackend, isolation: str) -> None:
    text = told(make_backend(setup="a = 1\nb = a / 0", isolation=isolation))
    assert "setup failed" in text
    assert "ZeroDivisionError" in text


def test_a_set_up_that_hangs_is_told(make_backend: MakeBackend) -> None:
    text = told(make_backend(setup="while True: pass", setup_timeout_s=0.5))
    assert "the template was not ready within 0.5 s" in text


THREAD = "import threading\nthreading.Thread(target=threading.Event().wait, daemon=True).start()"


def test_a_set_up_that_starts_a_thread_is_told(make_backend: MakeBackend, isolation: str) -> None:
    text = told(make_backend(setup=THREAD, isolation=isolation))
    assert "setup started a thread that is still there" in text
    assert 'isolation="spawn"' in text


@pytest.mark.parametrize(
    ("end", "reason"),
    [("os._exit(3)", "exited: 3"), ("os.kill(os.getpid(), 9)", "died: signal 9")],
)
def test_a_set_up_that_ends_every_spawned_worker_is_told(
    make_backend: MakeBackend, end: str, reason: str
) -> None:
    setup = f"""
import os, random, sys, time
time.sleep(0.2 * random.random())
print("the last words", file=sys.stderr)
{end}
"""
    backend = make_backend(setup=setup, isolation="spawn", max_workers=4)
    calls = [backend.submit(LENGTH, deadline_s=60) for _ in range(4)]
    for result in [future.result() for future in calls]:
        assert result.outcome == "internal"
        assert "cannot start a worker: one after another ended before it was ready" in str(
            result.error
        )
        assert f"{reason}\nIt printed:\nthe last words" in result.error.message


@pytest.mark.parametrize("isolation", ["fresh", "reuse", "spawn"])
def test_the_working_directory_has_nothing_that_a_pool_is_made_of(
    make_backend: MakeBackend, isolation: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in {*sys.stdlib_module_names, "cbor2", "cloudpickle", "pinfold"} - {"colorsys"}:
        (tmp_path / f"{name}.py").write_text(f"raise RuntimeError({name!r})")
    (tmp_path / "colorsys.py").write_text("HERE = 1")
    (tmp_path / "mine.py").write_text("import os\nPID = os.getpid()")
    monkeypatch.chdir(tmp_path)
    source = "import mine, colorsys\ndef f(x): return [x, colorsys.HERE, mine.PID]"
    for preload in ((), ("mine",)):
        backend = make_backend(isolation=isolation, preload=preload, max_workers=1)
        for codec in ("data", "pickle"):
            call = WorkerCall(source, "f", args=["é"], codec=codec)
            result = backend.submit(call, deadline_s=60).result()
            text, here, pid = result.unwrap()
            assert (text, here) == ("é", 1)
            forked = preload and isolation != "spawn"
            assert pid == (backend.stats().template_pid if forked else result.metrics.worker_pid)
        backend.close()


def test_one_that_hangs_as_it_loads_costs_nothing_while_others_run(
    make_backend: MakeBackend, tmp_path: Path
) -> None:
    first = tmp_path / "first"
    setup = f"""
import os, time
try:
    os.close(os.open({str(first)!r}, os.O_CREAT | os.O_EXCL))
except FileExistsError:
    time.sleep(1000)
"""
    go = tmp_path / "go"
    source = "import os, time\ndef f(go):\n    while not os.path.exists(go): time.sleep(0.01)"
    waits = WorkerCall(source, "f", args=[str(go)])
    backend = make_backend(setup=setup, isolation="spawn", setup_timeout_s=2)
    given_up = threading.Event()

    @backend.on_worker_exit
    def _(worker: object, reason: str) -> None:
        if "not ready in time" in reason:
            given_up.set()

    futures = [backend.submit(waits)]
    while not backend.stats().running:
        time.sleep(0.001)
    futures += [backend.submit(waits) for _ in range(3)]
    assert given_up.wait(60)
    go.touch()
    for future in futures:
        future.result().unwrap()


@pytest.mark.parametrize("sandbox", ["none", "standard", "strict"])
def test_a_process_that_a_set_up_leaves_is_none_of_the_calls(
    make_backend: MakeBackend, sandbox: str
) -> None:
    setup = "import subprocess\nchild = subprocess.Popen(['sleep', '1000'])"
    backend = make_backend(
        setup=setup, isolation="spawn", max_workers=1, sandbox=sandbox, sandbox_required=False
    )
    code = "import pinfold_setup\ndef f(): return pinfold_setup.child.poll() is None"
    found = [backend.submit(WorkerCall(code, "f")).result().unwrap() for _ in range(3)]
    assert found == [False] * 3
    assert backend.stats().workers_started == 1


@pytest.mark.parametrize("child", ["pass", "sys.exit(0)", "raise ValueError"])
@pytest.mark.parametrize("isolation", ["fresh", "spawn"])
def test_a_child_that_a_set_up_forks_and_that_comes_back_is_no_template(
    make_backend: MakeBackend, isolation: str, child: str
) -> None:
    setup = f"import os, sys\nif os.fork() == 0:\n    {child}"
    backend = make_backend(setup=setup, isolation=isolation)
    calls = [backend.submit(WorkerCall("def f(): return 1", "f")) for _ in range(10)]
    assert [future.result().unwrap() for future in calls] == [1] * 10
    assert backend.stats().templates_started == 1


@pytest.mark.parametrize(
    "timer",
    [
        "signal.setitimer(signal.ITIMER_REAL, 0.2)",
        "signal.setitimer(signal.ITIMER_PROF, 0.2)",
        "faulthandler.dump_traceback_later(0.2, exit=True)",
    ],
)
@pytest.mark.parametrize("isolation", ["fresh", "spawn"])
def test_a_timer_that_a_set_up_leaves_ends_nothing(
    make_backend: MakeBackend, isolation: str, timer: str
) -> None:
    backend = make_backend(setup=f"import faulthandler, signal\n{timer}", isolation=isolation)
    code = "import time\ndef f():\n    end = time.process_time() + 0.4\n"
    code += "    while time.process_time() < end: pass"
    assert backend.submit(WorkerCall(code, "f")).result().outcome == "ok"
    assert backend.stats().templates_started == 1


@pytest.mark.parametrize("isolation", ["fresh", "reuse", "spawn"])
def test_what_c_code_prints_in_a_set_up_is_no_output_of_a_call(
    make_backend: MakeBackend, isolation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)
    setup = "import ctypes\nctypes.CDLL(None).printf(b'from the set-up')"
    backend = make_backend(setup=setup, isolation=isolation)
    assert backend.submit(NOTHING).result().stdout == ""


@pytest.mark.parametrize("isolation", ["reuse", "spawn"])
@pytest.mark.parametrize(
    "broken", ["import os; os.environ = {}", "import builtins as b; del b.open"]
)
def test_what_a_set_up_broke_is_not_blamed_on_the_program(
    make_backend: MakeBackend, isolation: str, broken: str
) -> None:
    backend = make_backend(setup=broken, isolation=isolation)
    assert backend.submit(NOTHING).result().outcome == "internal"


@pytest.mark.parametrize("isolation", ["fresh", "spawn"])
def test_an_error_that_cannot_be_formatted_is_told(
    make_backend: MakeBackend, isolation: str
) -> None:
    backend = make_backend(setup="raise SyntaxError('x', ('f', 1, 1, 5))", isolation=isolation)
    result = backend.submit(NOTHING, deadline_s=60).result()
    assert result.outcome == "internal"
    assert "SyntaxError: 'x'" in str(result.error)


def test_workers_that_end_as_they_are_forked_are_not_the_programs_fault(
    make_backend: MakeBackend, isolation: str
) -> None:
    setup = "import os\nos.register_at_fork(after_in_child=lambda: os._exit(3))"
    backend = make_backend(setup=setup, isolation=isolation)
    result = backend.submit(NOTHING, deadline_s=60).result()
    assert result.outcome == "internal"
    assert "one worker after another ended before it had begun the call" in str(result.error)


# In a private view with a file in place of the device.
GPU = """
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
uid, gid = os.getuid(), os.getgid()
if libc.unshare(0x10000000 | 0x00020000) < 0:
    raise RuntimeError("not allowed here")
maps = ("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1")
for name, text in maps:
    with open(f"/proc/self/{name}", "w") as file:
        file.write(text)
if libc.mount(b"none", b"/dev", b"tmpfs", 0, None) < 0:
    raise RuntimeError("not allowed here")
device = open("/dev/nvidia0", "w")
"""


def test_a_set_up_that_touches_a_gpu_is_told(make_backend: MakeBackend, isolation: str) -> None:
    text = told(make_backend(setup=GPU, isolation=isolation))
    if "not allowed here" in text:
        pytest.skip("no mounts here")
    assert "setup opened /dev/nvidia0" in text
    assert 'isolation="spawn"' in text


@pytest.mark.parametrize("setup", [THREAD, GPU])
def test_spawned_workers_may_have_threads_and_gpus(make_backend: MakeBackend, setup: str) -> None:
    backend = make_backend(setup=setup, isolation="spawn")
    result = backend.submit(WorkerCall("import pinfold_setup\ndef f(): return 1", "f")).result()
    if result.error is not None and "not allowed here" in result.error.stderr:
        pytest.skip("no mounts here")
    assert result.unwrap() == 1

# SPDX-License-Identifier: Apache-2.0
"""run_exec_runner and the default backend, which other projects import."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import subprocess
import sys
import threading
import traceback
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pinfold
from conftest import MakeBackend, output_of
from pinfold import (
    CallTypeError,
    ConfigTypeError,
    ExecRunnerError,
    InvalidCall,
    InvalidConfig,
    WorkerCall,
    default_backend,
    run_exec_runner,
    set_default_backend,
    shutdown_executor,
)

pytestmark = [pytest.mark.extension, pytest.mark.usefixtures("default")]


def run(code: str, *, timeout: float | None = 60, **options: Any) -> Any:
    options.setdefault("function_name", "f")
    return asyncio.run(run_exec_runner(code=code, timeout=timeout, **options))


def succeeds_in_a_fork(child: Callable[[], None]) -> None:
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            child()
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_it_returns_the_value_itself() -> None:
    code = "def f(a, b=0, *, c): return [a, b, c]"
    assert run(code, args=(1,), kwargs={"c": 3}) == [1, 0, 3]
    assert run("def f(): pass") is None


def test_values_are_pickled() -> None:
    assert run("class Node:\n    n = 5\ndef f(): return Node()").n == 5
    value = run("def f():\n    x = []\n    x.append(x)\n    return x")
    assert value[0] is value
    assert run("def f(g): return g(20)", args=[lambda n: n + 1]) == 21


def test_one_that_was_closed_is_followed_by_another() -> None:
    with default_backend() as first:
        assert run("def f(): return 1") == 1
    assert run("def f(): return 2") == 2
    assert default_backend() is not first
    assert default_backend() is default_backend()


def test_it_raises_exec_runner_error_with_all_of_stderr() -> None:
    with pytest.raises(ExecRunnerError) as caught:
        run("def f():\n    print('printed')\n    raise KeyError('x' * 10_000)")
    assert caught.value.returncode == 1
    assert "printed" in caught.value.stderr
    assert "x" * 10_000 in caught.value.stderr
    assert str(caught.value) == f"exec_runner failed (exit=1): {caught.value.stderr}"


def test_it_raises_timeout_error() -> None:
    assert run("def f(): return 1") == 1
    with pytest.raises(TimeoutError):
        run("def f():\n    while True: pass", timeout=0.3)
    with pytest.raises(asyncio.TimeoutError):
        run("import time\ndef f(): time.sleep(3600)", timeout=0.3)
    assert run("def f(): return 1") == 1


def test_arguments_may_be_of_modules_that_the_caller_imports(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make_backend: MakeBackend, isolation: str
) -> None:
    (tmp_path / "data_of_the_test.py").write_text(
        "class Data:\n"
        "    def __init__(self, n): self.n = n\n"
        "    def more(self):\n"
        "        import rest_of_the_test\n"
        "        return self.n + rest_of_the_test.N\n"
    )
    (tmp_path / "rest_of_the_test.py").write_text("N = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    import data_of_the_test  # type: ignore[import-not-found]

    data = data_of_the_test.Data(4)
    assert run("def f(data): return data.more()", args=[data]) == 5
    assert run("def f(data): return data", args=[data]).n == 4
    backend = make_backend(isolation=isolation, max_workers=1)
    code = "import sys\ndef f(*_): return [path for path in sys.path if '/sources/' not in path]"
    with_it, without = (
        backend.submit(WorkerCall(code, "f", codec=codec, args=args)).result().unwrap()
        for codec, args in (("pickle", [data]), ("data", []))
    )
    assert str(tmp_path) in with_it
    assert with_it[: len(without)] == without


def test_paths_and_environment_reach_the_candidate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "helper_of_the_test.py").write_text("N = 11\n")
    monkeypatch.setenv("LOKY_UNSET", "set")
    code = (
        "import os, helper_of_the_test as h\n"
        "def f(): return h.N, os.environ['NEW'], os.environ.get('LOKY_UNSET')"
    )
    updates = {"NEW": 5, "LOKY_UNSET": None}
    assert run(code, python_path=[tmp_path], env_updates=updates) == (11, "5", None)


@pytest.mark.parametrize("timeout", [-1, float("nan")])
def test_a_timeout_that_is_none_is_refused_by_name(timeout: float) -> None:
    with pytest.raises(InvalidCall, match="timeout"):
        run("def f(): return 1", timeout=timeout)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("args", "abc"),
        ("args", ""),
        ("args", b"abc"),
        ("args", 5),
        ("args", bytearray(b"abc")),
        ("args", np.array(1)),
        ("kwargs", [1]),
        ("kwargs", "a"),
        ("python_path", "/tmp"),
        ("python_path", Path("/tmp")),
        ("python_path", 3),
        ("python_path", [object()]),
        ("python_path", [b"/tmp"]),
        ("env_updates", [1]),
        ("timeout", np.array([1, 2])),
    ],
)
def test_what_is_of_the_wrong_type_is_refused_by_name(name: str, value: Any) -> None:
    with pytest.raises(CallTypeError, match=name):
        run("def f(*args): return args", **{name: value})


def test_arguments_may_be_any_iterable() -> None:
    code = "def f(*args): return args"
    for args in (
        *((1, 2), [1, 2], deque([1, 2]), range(1, 3), iter([1, 2]), (n for n in (1, 2))),
        *(np.array([1, 2]), {1: "a", 2: "b"}, {1: "a", 2: "b"}.keys(), {1, 2}),
    ):
        assert run(code, args=args) == (1, 2)
    assert run(code, args=None, kwargs=None, python_path=(), env_updates=None) == ()


def test_it_takes_anything_with_the_shape_of_a_backend() -> None:
    seen: list[tuple[WorkerCall, float | None]] = []

    class Plain:
        async def execute(self, call: WorkerCall, *, deadline_s: float | None) -> int:
            seen.append((call, deadline_s))
            return 42

        async def shutdown(self, *, wait: bool = False) -> None: ...

    assert run("def f(): return 1", timeout=30, backend=Plain()) == 42
    call, deadline_s = seen[0]
    assert (call.function_name, call.codec, deadline_s) == ("f", "pickle", 30)
    with pytest.raises(CallTypeError, match="ExecutorBackend"):
        run("def f(): return 1", backend=object())


def test_it_takes_a_backend_of_its_own(make_backend: MakeBackend) -> None:
    backend = make_backend(node_id="mine")
    code = "import os\ndef f(): return os.environ['PINFOLD_NODE_ID']"
    assert run(code, backend=backend) == "mine"


def test_the_default_backend_is_made_on_first_use_and_again_after_it_was_dropped(
    leftovers: Any,
) -> None:
    first = default_backend()
    assert default_backend() is first
    assert first.max_workers == 2
    assert run("def f(): return 1") == 1
    shutdown_executor(wait=True)
    leftovers()
    shutdown_executor(wait=True)
    shutdown_executor()
    second = default_backend()
    assert second is not first
    assert run("def f(): return 2") == 2


@pytest.fixture
def nothing_chosen() -> Iterator[None]:
    yield
    shutdown_executor(wait=True)
    set_default_backend(None)


NODE = "import os\ndef f(): return os.environ['PINFOLD_NODE_ID']"


@pytest.mark.usefixtures("nothing_chosen")
@pytest.mark.parametrize("used", [False, True])
def test_the_default_backend_is_set_up_as_the_caller_says(
    used: bool, spill_dir: Path, leftovers: Any
) -> None:
    if used:
        assert run("def f(): return 1") == 1
    config = pinfold.WorkerConfig(
        node_id="mine", preload=["json"], max_workers=1, spill_dir=spill_dir
    )
    before = set_default_backend(config)
    assert isinstance(before, pinfold.LocalBackend) if used else before is None
    first = default_backend()
    assert first.config is config
    assert run("import sys\ndef f(): return 'json' in sys.modules") is True
    assert run(NODE) == "mine"
    shutdown_executor(wait=True)
    assert run(NODE) == "mine"
    assert default_backend() is not first
    assert default_backend().config is config
    replaced = set_default_backend(before)
    assert isinstance(replaced, pinfold.LocalBackend)
    assert run(NODE) != "mine"
    if used:
        assert default_backend() is before
    assert run(NODE, backend=replaced) == "mine"
    replaced.close()


@pytest.mark.usefixtures("nothing_chosen")
def test_a_backend_of_the_caller_s_may_be_the_default(make_backend: MakeBackend) -> None:
    backend = make_backend(node_id="mine")
    assert set_default_backend(backend) is None
    assert default_backend() is backend
    assert run(NODE) == "mine"
    other = make_backend(node_id="other")
    assert set_default_backend(other) is backend
    assert run(NODE) == "other"
    assert run(NODE, backend=backend) == "mine"  # it was replaced, not closed
    shutdown_executor(wait=True)
    assert other.stats().state == "shut down"
    assert run(NODE) == "other"  # replaced by one with the same configuration
    default_backend().close()
    assert run(NODE) == "other"


@pytest.mark.usefixtures("nothing_chosen")
def test_a_default_that_is_replaced_lets_its_calls_finish(
    make_backend: MakeBackend, leftovers: Any
) -> None:
    async def main() -> int:
        task = asyncio.ensure_future(
            run_exec_runner(
                code="import time\ndef f(): time.sleep(0.2); return 5",
                function_name="f",
                timeout=60,
            )
        )
        await asyncio.sleep(0.05)
        set_default_backend(other)
        return int(await task)

    other = make_backend()
    assert asyncio.run(main()) == 5
    other.close()
    set_default_backend(None)
    gc.collect()
    leftovers()  # it had no other reference


@pytest.mark.usefixtures("nothing_chosen")
@pytest.mark.parametrize("wait", [False, True])
def test_a_default_of_another_kind_is_used_and_shut_down(wait: bool) -> None:
    ended = threading.Event()

    class Plain:
        async def execute(self, call: WorkerCall, *, deadline_s: float | None) -> str:
            return call.function_name

        async def shutdown(self, *, wait: bool = False) -> None:
            await asyncio.sleep(0)
            seen.append(wait)
            ended.set()

    seen: list[bool] = []
    plain = Plain()
    set_default_backend(plain)
    assert default_backend() is plain  # type: ignore[comparison-overlap]
    assert run("") == "f"

    async def main() -> None:
        shutdown_executor(wait=wait)

    asyncio.run(main())
    assert ended.wait(60)
    assert seen == [wait]
    assert run("def f(): return 2") == 2


@pytest.mark.usefixtures("nothing_chosen")
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_a_forked_child_s_default_is_set_up_as_its_parent_s(make_backend: MakeBackend) -> None:
    set_default_backend(make_backend(node_id="mine"))
    assert run(NODE) == "mine"

    def child() -> None:
        assert run(NODE) == "mine"
        shutdown_executor(wait=True)

    succeeds_in_a_fork(child)
    assert run(NODE) == "mine"


def test_what_can_be_no_default_is_refused_at_once() -> None:
    before = set_default_backend(None)
    for wrong in (
        object(),
        {"max_workers": 2},
        "strict",
        pinfold.LocalBackend,
        pinfold.WorkerConfig,
    ):
        with pytest.raises(ConfigTypeError, match="set_default_backend"):
            set_default_backend(wrong)  # type: ignore[arg-type]
    with pytest.raises(InvalidConfig, match="python"):
        set_default_backend(pinfold.WorkerConfig(python="no-such-python"))
    assert set_default_backend(before) is None
    with pytest.raises(CallTypeError, match="ExecutorBackend"):
        run("def f(): return 1", backend=pinfold.LocalBackend)


@pytest.mark.usefixtures("nothing_chosen")
def test_the_default_may_be_chosen_in_many_threads(make_backend: MakeBackend) -> None:
    backends = [make_backend(max_workers=1) for _ in range(3)]
    errors: list[BaseException] = []

    def choose(backend: pinfold.LocalBackend) -> None:
        try:
            for _ in range(20):
                set_default_backend(backend)
                assert default_backend() in backends
            assert run("def f(): return 1") == 1
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=choose, args=(backend,)) for backend in backends]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


def test_importing_the_package_makes_nothing() -> None:
    code = (
        "import pinfold, sys\n"
        "assert [name for name in sys.modules if name.startswith('pinfold')] == ['pinfold']\n"
        "import pinfold.default\n"
        "assert pinfold.default._backend is None\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


@pytest.mark.parametrize("wait", [False, True])
def test_it_is_dropped_from_a_thread_and_within_a_loop(wait: bool, leftovers: Any) -> None:
    assert run("def f(): return 1") == 1
    thread = threading.Thread(target=shutdown_executor, kwargs={"wait": wait})
    thread.start()
    thread.join()

    async def main() -> int:
        task = asyncio.ensure_future(
            run_exec_runner(code="def f(): return 2", function_name="f", timeout=60)
        )
        await asyncio.sleep(0.01)
        shutdown_executor(wait=wait)
        if wait:
            assert await task == 2
        else:
            with pytest.raises(asyncio.CancelledError):
                await task
        return int(await run_exec_runner(code="def f(): return 3", function_name="f", timeout=60))

    assert asyncio.run(main()) == 3
    shutdown_executor(wait)
    leftovers()


AT_THE_END = """
import asyncio, atexit, pinfold
def last():
    call = pinfold.WorkerCall("def f(): return 1", "f")
    backend = pinfold.LocalBackend(pinfold.WorkerConfig.from_env())
    print(backend.submit(call).result(timeout=60).value)
    print(asyncio.run(backend.execute(call)))
    asyncio.run(backend.shutdown(wait=True))
atexit.register(last)
"""


def test_calls_can_be_made_from_an_atexit_handler() -> None:
    assert output_of(AT_THE_END) == "1\n1\n"


ATEXIT = """
import asyncio, atexit, pinfold
atexit.register(lambda: print("end", flush=True))
atexit.register(pinfold.shutdown_executor, wait={wait})
async def main():
    print(await pinfold.run_exec_runner(code="def f(): return 1", function_name="f", timeout=60))
    if {wait} is False:
        asyncio.ensure_future(pinfold.run_exec_runner(
            code="import time\\ndef f(): time.sleep(3600)", function_name="f", timeout=60))
        await asyncio.sleep(0.1)
asyncio.run(main())
"""


@pytest.mark.parametrize("wait", [False, True])
def test_it_is_dropped_by_an_atexit_handler(wait: bool) -> None:
    assert output_of(ATEXIT.format(wait=wait)) == "1\nend\n"


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_a_forked_child_gets_a_default_backend_of_its_own() -> None:
    assert run("def f(): return 1") == 1

    def child() -> None:
        assert run("def f(): return 2") == 2
        pinfold.shutdown_executor(wait=True)

    succeeds_in_a_fork(child)
    assert run("def f(): return 3") == 3


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_a_daemon_that_closes_every_descriptor_keeps_those_that_it_opens_then() -> None:
    assert run("def f(): return 1") == 1
    highest = max(map(int, os.listdir("/proc/self/fd"))) + 1

    def child() -> None:
        os.closerange(3, highest)
        own = [os.open("/dev/null", os.O_RDONLY) for _ in range(highest)]
        assert run("def f(): return 2") == 2
        pinfold.shutdown_executor(wait=True)
        gc.collect()
        assert {os.readlink(f"/proc/self/fd/{fd}") for fd in own} == {"/dev/null"}

    succeeds_in_a_fork(child)


def test_a_signal_handler_may_use_and_drop_the_default_backend(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = pinfold.WorkerConfig.from_env
    inner: list[pinfold.LocalBackend] = []

    def from_env() -> pinfold.WorkerConfig:
        monkeypatch.setattr(pinfold.WorkerConfig, "from_env", real)
        signal.raise_signal(signal.SIGUSR1)  # while the lock is held
        return real()

    def handle(*args: object) -> None:
        shutdown_executor()
        inner.append(default_backend())

    before = signal.signal(signal.SIGUSR1, handle)
    try:
        monkeypatch.setattr(pinfold.WorkerConfig, "from_env", from_env)
        assert [default_backend()] == inner
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert run("def f(): return 5") == 5

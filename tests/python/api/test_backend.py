# SPDX-License-Identifier: Apache-2.0
"""One call: every outcome, by every way to call; and the calls that a backend refuses."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import resource
import shutil
import signal
import subprocess
import sys
import threading
import zoneinfo
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conftest import MakeBackend, output_of
from pinfold import (
    OUTCOMES,
    BadResult,
    CallTimeout,
    CallTypeError,
    ExecRunnerError,
    InvalidCall,
    Limits,
    LocalBackend,
    OutputLimitExceeded,
    PoolClosed,
    PoolError,
    QueueFull,
    WorkerCall,
    WorkerConfig,
    WorkerCrashed,
    WorkerExited,
    WorkerLost,
    WorkerResult,
)
from programs import HANG, SLEEP, SQUARE, call, square

pytestmark = pytest.mark.extension

# The outcome, the error of execute(), the call, the deadline.
ENDS: list[tuple[str, type[BaseException], WorkerCall, float]] = [
    ("exception", ExecRunnerError, call("raise ValueError('boom')"), 30),
    ("exited", WorkerExited, call("import os; os._exit(3)"), 30),
    ("signalled", WorkerCrashed, call("import ctypes; ctypes.string_at(0)"), 30),
    ("timeout", CallTimeout, WorkerCall(HANG.code, "f", limits=Limits(wall_s=0.3)), 30),
    (
        "output_limit",
        OutputLimitExceeded,
        call("return b'x' * 5000", limits=Limits(result_bytes=1000)),
        30,
    ),
    ("bad_result", BadResult, call("return {'best': [0, object()]}"), 30),
]


@pytest.mark.parametrize(
    ("outcome", "error", "program", "deadline_s"), ENDS, ids=lambda x: str(x)[:12]
)
def test_a_call_ends_with_its_outcome_however_it_is_asked_for(
    outcome: str,
    error: type[BaseException],
    program: WorkerCall,
    deadline_s: float,
    either: LocalBackend,
) -> None:
    def check(result: WorkerResult) -> None:
        assert result.outcome == outcome
        assert result.value is None
        assert not result.ok
        assert result.error is not None
        assert result.metrics is not None
        assert result.metrics.worker_pid > 0
        assert len(result.metrics.worker_id) == 12
        with pytest.raises(error) as caught:
            result.unwrap()
        assert type(caught.value) is error
        assert caught.value.result is result  # type: ignore[attr-defined]

    async def both() -> None:
        check(await either.run(program, deadline_s=deadline_s))
        with pytest.raises(error) as caught:
            await either.execute(program, deadline_s=deadline_s)
        assert type(caught.value) is error

    assert either.submit(SQUARE).result(timeout=60).value == 49
    check(either.submit(program, deadline_s=deadline_s).result(timeout=60))
    asyncio.run(both())
    assert either.submit(SQUARE).result(timeout=60).value == 49


def test_a_value_comes_back_with_its_metrics(either: LocalBackend) -> None:
    result = either.submit(SQUARE, deadline_s=30).result(timeout=60)
    assert result.outcome == "ok"
    assert result.ok
    assert result.value == result.unwrap() == 49
    assert result.error is None
    metrics = result.metrics
    assert metrics is not None
    assert metrics.pool_id == either.pool_id
    assert metrics.node_id == either.node_id
    assert metrics.finished_at_ns >= metrics.started_at_ns > 0
    assert metrics.wall_time_s > 0
    assert metrics.queue_time_s >= 0
    assert metrics.peak_rss_kb > 0
    assert metrics.result_bytes > 0
    assert metrics.calls_before == 0


def test_a_reused_worker_keeps_its_id_and_counts_its_calls(make_backend: MakeBackend) -> None:
    backend = make_backend(isolation="reuse", max_workers=1)
    results = [backend.submit(SQUARE).result(timeout=60) for _ in range(3)]
    metrics = [result.metrics for result in results if result.metrics is not None]
    assert [m.calls_before for m in metrics] == [0, 1, 2]
    assert len({m.worker_id for m in metrics}) == 1
    assert len({m.worker_pid for m in metrics}) == 1


def test_the_error_of_an_exception_says_what_was_printed_and_where_it_failed(
    either: LocalBackend,
) -> None:
    program = WorkerCall(
        code="import sys\n\ndef f():\n    print('out')\n    print('err', file=sys.stderr)\n"
        "    1 / 0\n",
        function_name="f",
    )
    result = either.submit(program).result(timeout=60)
    assert (result.stdout, result.stderr) == ("out\n", "err\n")
    error = result.error
    assert error is not None
    assert (error.type, error.message) == ("ZeroDivisionError", "division by zero")
    assert (error.returncode, error.signal) == (1, None)
    places = [
        error.stderr.index(text)
        for text in ("stdout", "out\n", "stderr", "err\n", "Traceback", "> 6 |     1 / 0")
    ]
    assert places == sorted(places)
    with pytest.raises(ExecRunnerError) as caught:
        result.unwrap()
    assert str(caught.value) == f"exec_runner failed (exit=1): {error.stderr}"


def test_an_exit_carries_its_status_and_a_crash_its_signal_and_stack(either: LocalBackend) -> None:
    exited = either.submit(call("import os; os._exit(3)")).result(timeout=60).error
    assert exited is not None
    assert (exited.returncode, exited.signal) == (3, None)
    program = call("import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)")
    crashed = either.submit(program).result(timeout=60).error
    assert crashed is not None
    assert (crashed.returncode, crashed.signal) == (-signal.SIGSEGV, signal.SIGSEGV)
    assert "user_code.py" in crashed.stack
    assert "pinfold/_worker" not in crashed.stack
    assert crashed.stack in crashed.stderr + "\n"


def test_a_timeout_tells_the_function_and_where_it_stood(either: LocalBackend) -> None:
    assert either.submit(SQUARE).result(timeout=60).value == 49
    for _ in range(100):
        with pytest.raises(CallTimeout, match=r"deadline of 0\.3 s") as caught:
            either.submit(HANG, deadline_s=0.3).result(timeout=60).unwrap()
        if caught.value.stack:  # on a busy machine the kill does not wait for it
            break
    assert "'f'" in str(caught.value)
    assert 'File "user_code.py", line ' in caught.value.stack
    assert caught.value.stack.strip() in str(caught.value)


def test_a_deadline_of_zero_has_passed(either: LocalBackend) -> None:
    result = either.submit(SQUARE, deadline_s=0).result(timeout=60)
    assert result.outcome == "timeout"
    assert result.error is not None
    assert "the deadline of 0 s passed" in result.error.message


def test_the_time_in_the_queue_counts_for_the_deadline(make_backend: MakeBackend) -> None:
    backend = make_backend(max_workers=1)
    first = backend.submit(SLEEP)
    result = backend.submit(SQUARE, deadline_s=0.2).result(timeout=60)
    assert result.outcome == "timeout"
    assert result.metrics is None
    first.cancel()


def test_output_beyond_the_limit_is_dropped_from_the_middle(either: LocalBackend) -> None:
    program = call(
        "print('a' * 500 + 'b' * 10_000 + 'c' * 500, end='')", limits=Limits(output_bytes=1000)
    )
    result = either.submit(program).result(timeout=60)
    assert result.ok
    assert result.stdout_truncated
    assert not result.stderr_truncated
    assert len(result.stdout) <= 1000
    assert result.stdout.startswith("aaa")
    assert result.stdout.endswith("ccc")


def test_output_that_is_no_text_is_escaped(either: LocalBackend) -> None:
    result = either.submit(call(r"import os; os.write(1, b'\xff\xfeok')")).result(timeout=60)
    assert result.stdout == r"\xff\xfeok"


def test_a_worker_that_the_machine_kills_with_its_template_is_lost(either: LocalBackend) -> None:
    started = threading.Event()
    either.on_start(lambda call, worker: started.set())
    future = either.submit(SLEEP)
    assert started.wait(60)
    os.kill(either.stats().template_pid, signal.SIGKILL)
    result = future.result(timeout=60)
    assert result.outcome == "lost"
    with pytest.raises(WorkerLost):
        result.unwrap()
    assert either.submit(SQUARE).result(timeout=60).value == 49


def test_closing_ends_what_is_outstanding_as_cancelled(either: LocalBackend) -> None:
    futures = [either.submit(SLEEP) for _ in range(5)]
    either.close()
    assert [future.result(timeout=60).outcome for future in futures] == ["cancelled"] * 5
    with pytest.raises(asyncio.CancelledError):
        futures[0].result().unwrap()


# ---- large values -------------------------------------------------------------------------------


@pytest.mark.parametrize("codec", ["data", "pickle"])
def test_a_large_array_comes_back_as_a_writable_view(codec: Any, either: LocalBackend) -> None:
    program = call("import numpy as np\nreturn np.arange(3_000_000)", codec=codec)
    result = either.submit(program).result(timeout=60)
    array = result.value
    assert result.metrics is not None
    assert result.metrics.result_bytes > array.nbytes
    assert not array.flags.owndata
    del result
    array[0] = 7
    assert (array[0], array[-1]) == (7, 2_999_999)
    either.close()
    assert array.sum() == 7 + sum(range(3_000_000))


def test_large_arguments_arrive(either: LocalBackend) -> None:
    array = np.arange(1_000_000, dtype="f8")
    result = either.submit(
        call("a, b = args\nreturn float(a.sum()) + len(b)", array, "x" * 100_000)
    )
    assert result.result(timeout=60).value == array.sum() + 100_000


def test_a_value_that_damages_itself_when_it_is_read_is_a_bad_result(either: LocalBackend) -> None:
    program = call(
        "class Bomb:\n    def __reduce__(self):\n        return int, ('no number',)\nreturn Bomb()",
        codec="pickle",
    )
    result = either.submit(program).result(timeout=60)
    assert result.outcome == "bad_result"
    assert result.error is not None
    assert "no number" in result.error.stderr
    assert either.submit(SQUARE).result(timeout=60).value == 49


def test_a_caller_without_memory_for_a_value_does_not_blame_the_program(
    either: LocalBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise MemoryError

    for program in (SQUARE, call("raise ValueError('mine')")):
        with monkeypatch.context() as short:
            short.setattr("pinfold.codec.decode", full)
            result = either.submit(program).result(timeout=60)
        assert result.outcome == "internal"
        assert result.error is not None
        assert "cannot be read in this process: out of memory" in result.error.message
        with pytest.raises(PoolError, match="call of 'f'"):
            result.unwrap()


def test_a_caller_without_descriptors_for_a_value_does_not_blame_the_program(
    make_backend: MakeBackend,
) -> None:
    backend = make_backend(isolation="reuse")
    zone = call("import zoneinfo\nreturn zoneinfo.ZoneInfo('Europe/Paris')")
    paris = backend.submit(zone).result(timeout=60).value
    zoneinfo.ZoneInfo.clear_cache()
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    future = backend.submit(zone)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, limits[1]))
    try:
        result = future.result(timeout=60)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert result.outcome == "internal"
    assert result.error is not None
    assert os.strerror(errno.EMFILE) in result.error.message
    assert backend.submit(zone).result(timeout=60).value.key == paris.key


@pytest.mark.parametrize("flags", ["os.O_NONBLOCK", "os.O_ASYNC", "os.O_NONBLOCK | os.O_ASYNC"])
def test_descriptors_that_a_call_made_not_to_wait_or_to_signal_are_as_before(
    flags: str, make_backend: MakeBackend
) -> None:
    backend = make_backend(isolation="reuse", max_workers=1)
    change = call(f"""
import fcntl, os
for fd in range(256):
    try:
        fcntl.fcntl(fd, fcntl.F_SETOWN, os.getpid())
        fcntl.fcntl(fd, fcntl.F_SETFL, {flags})
    except OSError:
        pass
return os.getpid()
""")
    look = call("""
import fcntl, os
return os.getpid(), [fcntl.fcntl(fd, fcntl.F_GETFL) for fd in (1, 2)]
""")
    before = backend.submit(look).result(timeout=60).value
    told = set()
    for _ in range(30):
        told.add(backend.submit(change).result(timeout=60).outcome)
        # The worker may or may not wait for a call when the next one comes.
        result = backend.submit(look).result(timeout=60)
        assert result.outcome == "ok", result
        assert result.value[1] == before[1]
    # A signal of the channel may end the call that asked for it, and no other.
    assert told <= ({"ok", "signalled"} if "ASYNC" in flags else {"ok"})


def test_a_timer_that_a_call_left_does_not_end_the_next(make_backend: MakeBackend) -> None:
    backend = make_backend(isolation="reuse", max_workers=1)
    leave = call("""
import ctypes, os, struct
c = ctypes.CDLL(None)
timer = ctypes.c_void_p()
assert c.timer_create(0, None, ctypes.byref(timer)) == 0
assert c.timer_settime(timer, 0, struct.pack("qqqq", 0, 0, 3600, 0), None) == 0
return os.getpid()
""")
    left = backend.submit(leave).result(timeout=60).value
    assert backend.submit(call("import os\nreturn os.getpid()")).result(timeout=60).value != left


def test_a_worker_that_cannot_answer_at_all_does_not_blame_the_program(
    either: LocalBackend,
) -> None:
    full = call("""
import sys
def flush():
    raise MemoryError("no room")
sys.modules["pinfold._worker.call.worker"].flush = flush
""")
    result = either.submit(full).result(timeout=60)
    assert result.outcome == "internal"
    assert result.error is not None
    assert "the worker cannot answer: MemoryError: no room" in result.error.message
    assert either.submit(SQUARE).result(timeout=60).value == 49


# ---- refusals -----------------------------------------------------------------------------------


def ways(backend: LocalBackend) -> list[Callable[[Any], Any]]:
    """Yield every way to make a call; each returns or raises at once."""
    return [
        lambda program: backend.submit(program),
        lambda program: asyncio.run(backend.run(program)),
        lambda program: asyncio.run(backend.execute(program)),
        lambda program: list(backend.map([program])),
    ]


@pytest.mark.parametrize("way", range(4))
def test_what_is_no_call_is_refused(way: int, backend: LocalBackend) -> None:
    with pytest.raises(CallTypeError, match="WorkerCall"):
        ways(backend)[way]("def f(): pass")
    assert backend.stats().submitted == 0


@pytest.mark.parametrize("way", range(4))
def test_arguments_that_the_codec_does_not_carry_are_refused_by_path(
    way: int, backend: LocalBackend
) -> None:
    with pytest.raises(InvalidCall, match=r"args\[0\]\['best'\]\[1\] is .*threading"):
        ways(backend)[way](call("", {"best": [0, threading.Thread()]}))
    assert backend.stats().submitted == 0


def test_arguments_that_cannot_be_pickled_are_refused(backend: LocalBackend) -> None:
    with pytest.raises(InvalidCall, match=r"args\[0\] is a _thread.lock"):
        backend.submit(call("", threading.Lock(), codec="pickle"))


@pytest.mark.parametrize("way", range(4))
def test_a_call_after_close_is_refused(way: int, backend: LocalBackend) -> None:
    backend.close()
    with pytest.raises(PoolClosed):
        ways(backend)[way](SQUARE)


def test_a_call_beyond_the_queue_is_refused(make_backend: MakeBackend) -> None:
    backend = make_backend(max_workers=1, max_queue=2)
    completed: list[BaseException | None] = []
    backend.on_complete(lambda call, metrics, exc: completed.append(exc))
    with pytest.raises(QueueFull, match="2 calls"):
        for _ in range(10):
            backend.submit(SLEEP)
    assert isinstance(completed.pop(), QueueFull)
    assert not completed


def test_a_pool_whose_preload_fails_tells_its_traceback_each_time(
    make_backend: MakeBackend,
) -> None:
    backend = make_backend(preload=["no_such_module"])
    for _ in range(2):
        result = backend.submit(SQUARE).result(timeout=60)
        assert result.outcome == "internal"
        with pytest.raises(PoolError, match="No module named 'no_such_module'"):
            result.unwrap()


@pytest.mark.parametrize(
    "setup",
    [
        r"import os; os.write(2, b'caf\xe9 \xff\n'); os._exit(3)",
        # The message is cut to fit, in two of three cases inside a character.
        *(
            rf"import os; os.write(2, ('{'x' * n}' + '\u20ac' * 20000).encode()); os._exit(3)"
            for n in range(3)
        ),
    ],
)
def test_a_pool_that_fails_with_a_text_that_is_no_utf_8_tells_it_all_the_same(
    setup: str, make_backend: MakeBackend
) -> None:
    backend = make_backend(setup=setup)
    assert backend.submit(SQUARE).result(timeout=60).outcome == "internal"
    with pytest.raises(PoolError, match=r"caf\\xe9 \\xff|\u20ac"), backend:
        pass


def test_a_with_block_waits_until_the_pool_is_ready(make_backend: MakeBackend) -> None:
    with make_backend() as backend:
        assert backend.stats().template_pid > 0
        future = backend.submit(SQUARE)
    assert future.result(timeout=0).value == 49
    with pytest.raises(PoolError, match="No module named 'no_such_module'"):
        make_backend(preload=["no_such_module"]).__enter__()

    async def main() -> None:
        async with make_backend() as backend:
            assert backend.stats().template_pid > 0
            task = asyncio.create_task(backend.execute(SQUARE))
            await asyncio.sleep(0)
        assert await task == 49
        with pytest.raises(PoolError, match="No module named 'no_such_module'"):
            await make_backend(preload=["no_such_module"]).__aenter__()

    asyncio.run(main())


def test_a_with_block_that_an_error_leaves_ends_its_calls(make_backend: MakeBackend) -> None:
    with pytest.raises(ZeroDivisionError), make_backend() as backend:
        future = backend.submit(SLEEP)
        1 / 0  # noqa: B018
    assert future.result(timeout=0).outcome == "cancelled"


def test_making_a_backend_starts_nothing(make_backend: MakeBackend, leftovers: Any) -> None:
    backend = make_backend()
    leftovers()
    stats = backend.stats()
    assert (stats.state, stats.submitted, stats["queued"]) == ("open", 0, 0)
    assert dict(stats)["outcomes"] == dict.fromkeys(OUTCOMES, 0)
    backend.close()
    assert backend.stats().state == "shut down"


def test_stats_count_what_there_is(make_backend: MakeBackend) -> None:
    backend = make_backend(isolation="reuse")
    assert backend.submit(SQUARE).result(timeout=60).ok
    started = threading.Semaphore(0)
    backend.on_start(lambda call, worker: started.release())
    futures = [backend.submit(SLEEP) for _ in range(3)]
    assert started.acquire(timeout=60)
    assert started.acquire(timeout=60)
    stats = backend.stats()
    assert (stats.submitted, stats.running, stats.queued) == (4, 2, 1)
    assert stats.outcomes["ok"] == 1
    assert stats.max_workers == 2
    assert stats.spill_kind in ("O_TMPFILE", "unlinked", "memfd")
    for future in futures:
        future.cancel()


def test_a_pool_without_descriptors_says_so_and_works_when_there_are_some(
    make_backend: MakeBackend,
) -> None:
    backend = make_backend()
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, limits[1]))
    try:
        result = backend.submit(SQUARE).result(timeout=60)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert result.outcome == "internal"
    assert result.error is not None
    assert os.strerror(errno.EMFILE) in result.error.message
    assert backend.submit(SQUARE).result(timeout=60).value == 49


@pytest.mark.parametrize("free", range(3))
def test_a_backend_that_cannot_be_made_for_want_of_descriptors_says_so(
    free: int, make_backend: MakeBackend
) -> None:
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = os.open("/dev/null", os.O_RDONLY)
    os.close(lowest)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest + free, limits[1]))
    try:
        if free == 0:
            with pytest.raises(PoolError, match=os.strerror(errno.EMFILE)):
                make_backend()
        else:  # enough or not; but any error is one of this package
            with contextlib.suppress(PoolError):
                make_backend()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert make_backend().submit(SQUARE).result(timeout=60).value == 49


# ---- two backends, forks, and forgetting --------------------------------------------------------


def test_two_backends_share_nothing(
    make_backend: MakeBackend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOKY_SIDE", "a")
    a = make_backend(node_id="node-a")
    monkeypatch.setenv("LOKY_SIDE", "b")
    b = make_backend(node_id="node-b", isolation="reuse", spill_dir=tmp_path / "others")
    program = call("import os\nreturn os.environ['LOKY_SIDE'], os.environ['PINFOLD_NODE_ID']")
    assert a.submit(program).result(timeout=60).value == ("a", "node-a")
    assert b.submit(program).result(timeout=60).value == ("b", "node-b")
    a.close()
    assert b.submit(program).result(timeout=60).value == ("b", "node-b")


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_a_forked_child_is_refused_and_the_parent_goes_on(either: LocalBackend) -> None:
    assert either.submit(SQUARE).result(timeout=60).ok
    future = either.submit(call("import time; time.sleep(0.5); return 1"))
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            for refused in (
                lambda: either.submit(SQUARE),
                lambda: future.result(timeout=5),
            ):
                with pytest.raises(PoolClosed, match="forked"):
                    refused()
            assert not future.cancel()
            either.close()
            with LocalBackend(
                WorkerConfig(max_workers=1, spill_dir=either.config.spill_dir)
            ) as own:
                assert own.submit(SQUARE).result(timeout=60).value == 49
            status = 0
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert future.result(timeout=60).value == 1
    assert either.submit(SQUARE).result(timeout=60).value == 49


def test_a_forgotten_backend_is_closed(leftovers: Any, spill_dir: Path) -> None:
    config = WorkerConfig(max_workers=2, spill_dir=spill_dir)
    backend = LocalBackend(config)
    ended = threading.Event()
    backend.on_shutdown(ended.set)
    future = backend.submit(square(8))
    del backend
    assert future.result(timeout=60).value == 64
    assert LocalBackend(config).submit(square(9)).result(timeout=60).value == 81
    leftovers()
    assert ended.is_set()


SCRIPT = """
import sys, threading
from pinfold import LocalBackend, WorkerConfig, WorkerCall
backend = LocalBackend(WorkerConfig(max_workers=2, spill_dir=sys.argv[1]))
backend.on_shutdown(lambda: print("shut down", flush=True))
future = backend.submit(WorkerCall("import time\\ndef f(): time.sleep(3600)", "f"))
"""


@pytest.mark.parametrize(
    "rest",
    [
        "",
        "sys.exit(0)",
        "threading.Thread(target=future.result, daemon=True).start()",
        "import concurrent.futures as c\n"
        "threading.Thread(target=c.wait, args=([future],)).start(); future.cancel()",
        "import asyncio; asyncio.run(backend.shutdown(wait=False))",
        "import atexit; atexit.register(backend.close)",
        "import asyncio\nasync def main():\n"
        "    asyncio.ensure_future(backend.run(future.call))\n    await asyncio.sleep(0.1)\n"
        "asyncio.run(main())",
    ],
)
def test_an_interpreter_that_ends_closes_its_backends(rest: str, spill_dir: Path) -> None:
    assert output_of(SCRIPT + rest, spill_dir) == "shut down\n"


def test_a_worker_that_cannot_be_set_up_does_not_blame_the_program(
    make_backend: MakeBackend, isolation: str
) -> None:
    setup = """
from pinfold._worker.reset import generators
def no_room():
    raise MemoryError("no room")
generators.renew_copied = no_room
"""
    backend = make_backend(isolation=isolation, setup=setup)
    result = backend.submit(WorkerCall("def f():\n    pass", "f"), deadline_s=60).result()
    assert result.outcome == "internal"
    assert "MemoryError: no room" in result.error.message


@pytest.mark.parametrize("code", ["# \udcff\ndef f(): pass", "def f(): return '\ud800'", "\0"])
def test_text_that_no_file_could_hold_does_not_compile(either: LocalBackend, code: str) -> None:
    result = either.submit(WorkerCall(code, "f"), deadline_s=60).result()
    assert result.outcome == "exception"
    assert result.error is not None
    assert result.error.type in ("SyntaxError", "UnicodeEncodeError", "ValueError")


@pytest.mark.parametrize("isolation", ["fresh", "reuse", "spawn"])
def test_a_spill_directory_that_is_removed_is_made_again_for_whoever_starts(
    make_backend: MakeBackend, isolation: str
) -> None:
    backend = make_backend(isolation=isolation, max_workers=1)
    name = WorkerCall("import os\ndef f(): return os.getpid(), os.getppid()", "f")
    worker, template = before = backend.submit(name).result().unwrap()
    shutil.rmtree(backend.config.spill_dir)
    victim = worker if isolation == "spawn" else template
    os.kill(victim, signal.SIGKILL)
    now = before
    while victim in now:
        result = backend.submit(name, deadline_s=60).result()
        assert result.outcome in ("lost", "signalled", "ok")
        now = result.value if result.outcome == "ok" else before
    large = WorkerCall("def f(): return bytes(1 << 20)", "f")
    assert backend.submit(large).result().unwrap() == bytes(1 << 20)


@pytest.mark.parametrize("isolation", ["fresh", "reuse", "spawn"])
def test_a_spill_directory_that_is_removed_costs_no_result(
    make_backend: MakeBackend, isolation: str
) -> None:
    backend = make_backend(isolation=isolation)
    large = WorkerCall("def f(): return bytes(1 << 20)", "f")
    for i in range(20):
        if i % 5:
            shutil.rmtree(backend.config.spill_dir)
        assert backend.submit(large, deadline_s=60).result().unwrap() == bytes(1 << 20)


@pytest.mark.parametrize("isolation", ["fresh", "reuse", "spawn"])
@pytest.mark.parametrize("sandbox", ["standard", "strict"])
def test_a_directory_of_boxes_that_is_removed_is_made_again(
    make_backend: MakeBackend, sandbox: str, isolation: str
) -> None:
    config = {"sandbox": sandbox, "sandbox_required": False}
    backend = make_backend(isolation=isolation, max_workers=1, max_calls_per_worker=1, **config)
    large = WorkerCall("def f(): return bytes(1 << 20)", "f")
    assert backend.submit(large).result().unwrap() == bytes(1 << 20)
    bases = list(backend.config.spill_dir.glob(".pinfold-box-*"))
    if not bases:
        pytest.skip("no box here")
    for base in bases:
        while base.exists():
            shutil.rmtree(base, ignore_errors=True)  # the template removes parts of it, too
    # Older spares have no directory, and a program may find that before the pool does.
    outcomes = [backend.submit(large, deadline_s=60).result().outcome for _ in range(6)]
    assert set(outcomes[:-2]) <= {"ok", "internal", "lost"}
    assert outcomes[-2:] == ["ok", "ok"]


@pytest.mark.parametrize("isolation", ["reuse", "spawn"])
def test_a_worker_in_which_a_call_could_not_be_run_is_given_no_other(
    make_backend: MakeBackend, isolation: str
) -> None:
    config = {"sandbox": "standard", "sandbox_required": False}
    backend = make_backend(isolation=isolation, max_workers=1, **config)
    call = WorkerCall("def f(): return 1", "f")
    assert backend.submit(call).result().unwrap() == 1
    scratch = list(backend.config.spill_dir.glob(".pinfold-box-*/scratch/*"))
    if not scratch:
        pytest.skip("no box here")
    for directory in scratch:
        shutil.rmtree(directory)
    assert backend.submit(call).result().outcome == "internal"
    assert backend.submit(call).result().unwrap() == 1


def test_a_worker_that_is_killed_before_it_has_begun_a_call_costs_it_nothing(
    make_backend: MakeBackend, isolation: str
) -> None:
    backend = make_backend(isolation=isolation, max_workers=1)
    name = WorkerCall("import os\ndef f(): return os.getpid()", "f")
    for _ in range(20):
        backend.submit(name).result().unwrap()
        while not backend.stats().idle:
            backend.stats()
        template = backend.stats().template_pid
        children = Path(f"/proc/{template}/task/{template}/children").read_text().split()
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(children[-1]), signal.SIGKILL)
        assert backend.submit(name, deadline_s=60).result().outcome == "ok"


def test_what_the_processes_cost_is_told_when_it_is_asked_for(make_backend: MakeBackend) -> None:
    backend = make_backend(setup="DATA = bytes([1]) * (64 << 20)", isolation="reuse")
    assert backend.stats(memory=True).memory is None
    meet = """
import os, time
def f(directory):
    open(os.path.join(directory, str(os.getpid())), "w").close()
    while len(os.listdir(directory)) < 2:
        time.sleep(0.001)
"""
    directory = backend.config.spill_dir / "meet"
    directory.mkdir()
    calls = [backend.submit(WorkerCall(meet, "f", args=[str(directory)])) for _ in range(2)]
    for future in calls:
        future.result().unwrap()
    shutil.rmtree(directory)
    assert backend.stats().memory is None
    memory = backend.stats(memory=True).memory
    assert memory is not None
    assert memory.workers == 2
    assert 0 < memory.private_most_kb <= memory.private_kb < memory.pss_kb
    assert 64 << 10 < memory.pss_kb < 128 << 10  # the data counts once for all workers
    backend.close()
    assert backend.stats(memory=True).memory is None


STARTS_FIRST = """
import sys
import pinfold
from pinfold._ext import _pool

LATE = {"asyncio", "cbor2", "cloudpickle", "concurrent.futures", "logging", "pinfold.result",
        "subprocess", "tempfile", "uuid"}
real = _pool.Pool

def start(**config):
    print("started with", sorted(LATE & sys.modules.keys()))
    return real(**config)

start.claimed, start.here = real.claimed, real.here
_pool.Pool = start
backend = pinfold.LocalBackend(pinfold.WorkerConfig(max_workers=1, spill_dir=sys.argv[2]))
if sys.argv[1] == "with":
    backend.__enter__()
call = pinfold.WorkerCall("def f(): return 7", "f")
print("value", backend.submit(call).result().unwrap())
backend.close()
print("asyncio", "asyncio" in sys.modules)
"""


@pytest.mark.skipif(
    sys.version_info < (3, 11),
    reason="CallTimeout is an asyncio.TimeoutError, for which all of asyncio is imported",
)
@pytest.mark.parametrize("how", ["submit", "with"])
def test_the_template_is_started_before_what_only_calls_need_is_imported(
    spill_dir: Path, how: str
) -> None:
    command = [sys.executable, "-c", STARTS_FIRST, how, str(spill_dir)]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert told.splitlines() == ["started with []", "value 7", "asyncio False"]

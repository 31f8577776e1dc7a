# SPDX-License-Identifier: Apache-2.0
"""Futures of submit(), in threads."""

from __future__ import annotations

import asyncio
import concurrent.futures as cf
import copy
import os
import pickle
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from conftest import MakeBackend, output_of
from pinfold import CallFuture, LocalBackend, WorkerResult
from programs import HANG, SLEEP, SQUARE, call, square

pytestmark = pytest.mark.extension


def test_submit_returns_a_future_of_the_standard_library(either: LocalBackend) -> None:
    future = either.submit(SQUARE)
    assert isinstance(future, cf.Future)
    assert future.call is SQUARE
    assert future.result(timeout=60).value == 49
    assert future.done()
    assert not future.running()
    assert not future.cancelled()
    assert not future.cancel()
    assert future.exception() is None
    assert repr(future) == "<CallFuture of f ok>"


@pytest.mark.parametrize("do", [copy.copy, copy.deepcopy, pickle.dumps])
def test_a_future_and_a_backend_are_not_copied(
    do: Callable[[object], object], backend: LocalBackend
) -> None:
    future = backend.submit(SQUARE)
    for live in (future, backend):
        with pytest.raises(TypeError, match=f"a {type(live).__name__} cannot be copied"):
            do(live)
    assert future.result(timeout=60).value == 49


def test_wait_and_as_completed_need_nobody_who_waits_for_a_result(either: LocalBackend) -> None:
    futures = [either.submit(square(n)) for n in range(20)]
    done, pending = cf.wait(futures, timeout=60)
    assert not pending
    assert {future.result(timeout=0).value for future in done} == {n * n for n in range(20)}
    mixed = [either.submit(square(n)) for n in range(20)]
    mixed[3].cancel()
    seen = [future for future in cf.as_completed(mixed, timeout=60) if not future.cancelled()]
    assert sorted(future.result().value for future in seen) == sorted(
        n * n for n in range(20) if n != 3 or not mixed[3].cancelled()
    )


def test_wait_returns_at_the_first_end(make_backend: MakeBackend) -> None:
    backend = make_backend()
    slow, quick = backend.submit(SLEEP), backend.submit(SQUARE)
    done, pending = cf.wait([slow, quick], timeout=60, return_when=cf.FIRST_COMPLETED)
    assert (done, pending) == ({quick}, {slow})
    slow.cancel()
    done, pending = cf.wait([slow, quick], timeout=60)
    assert done == {slow, quick}


def test_callbacks_are_called_once_each_in_order(either: LocalBackend) -> None:
    called: list[int] = []
    ended = threading.Event()
    future = either.submit(SQUARE)
    for n in range(3):
        future.add_done_callback(lambda future, n=n: called.append(n))  # type: ignore[misc]
    future.add_done_callback(lambda future: ended.set())
    assert ended.wait(60)
    assert called == [0, 1, 2]
    future.add_done_callback(lambda future: called.append(3))
    assert called == [0, 1, 2, 3]


def test_a_callback_that_raises_hurts_nobody(either: LocalBackend) -> None:
    ended = threading.Event()
    future = either.submit(SQUARE)
    future.add_done_callback(lambda future: 1 / 0)
    future.add_done_callback(lambda future: ended.set())
    assert ended.wait(60)
    assert either.submit(SQUARE).result(timeout=60).value == 49


def test_many_threads_may_wait_for_one_call(either: LocalBackend) -> None:
    future = either.submit(call("import time; time.sleep(0.3); return 'x'"))
    results: list[WorkerResult] = []
    threads = [
        threading.Thread(target=lambda: results.append(future.result(timeout=60))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 8
    assert len({id(result) for result in results}) == 1


def test_many_threads_may_submit(either: LocalBackend) -> None:
    values: list[int] = []

    def work(start: int) -> None:
        for n in range(start, start + 10):
            values.append(either.submit(square(n)).result(timeout=60).value)

    threads = [threading.Thread(target=work, args=(start,)) for start in range(0, 80, 10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(values) == [n * n for n in range(80)]


def test_a_wait_that_times_out_leaves_the_call_alone(either: LocalBackend) -> None:
    future = either.submit(call("import time; time.sleep(1); return 5"))
    for timeout in (0, 0.05, -1):
        with pytest.raises(cf.TimeoutError):
            future.result(timeout=timeout)
    assert future.result(timeout=60).value == 5


@pytest.mark.parametrize("program", [HANG, SLEEP], ids=["busy", "asleep"])
def test_cancelling_a_future_kills_the_running_call(
    program: Any, either: LocalBackend, tmp_path: Path
) -> None:
    pids: list[int] = []
    started = threading.Event()
    either.on_start(lambda call, worker: (pids.append(worker.pid), started.set()))
    future = either.submit(program)
    assert started.wait(60)
    assert future.cancel()
    assert future.cancel()
    assert future.cancelled()
    assert future.done()
    with pytest.raises(cf.CancelledError):
        future.result()
    with pytest.raises(cf.CancelledError):
        future.exception()
    process = os.pidfd_open(pids[0]) if Path(f"/proc/{pids[0]}").exists() else None
    if process is not None:
        import select

        assert select.select([process], [], [], 60)[0]
        os.close(process)
    assert either.submit(SQUARE).result(timeout=60).value == 49


def test_cancelling_a_future_ends_another_threads_wait(either: LocalBackend) -> None:
    future = either.submit(SLEEP)
    waits = threading.Event()
    caught: list[BaseException] = []

    def wait() -> None:
        waits.set()
        try:
            future.result(timeout=60)
        except cf.CancelledError as error:
            caught.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    assert waits.wait(60)
    assert future.cancel()
    thread.join()
    assert len(caught) == 1


def test_cancelling_a_call_in_the_queue_leaves_the_others(make_backend: MakeBackend) -> None:
    backend = make_backend(max_workers=1)
    first = backend.submit(call("import time; time.sleep(0.3); return 1"))
    second, third = backend.submit(SQUARE), backend.submit(SQUARE)
    assert second.cancel()
    assert first.result(timeout=60).value == 1
    assert third.result(timeout=60).value == 49


def test_a_future_can_be_awaited(either: LocalBackend) -> None:
    async def main() -> int:
        result = await asyncio.wrap_future(either.submit(SQUARE))
        waiting = asyncio.ensure_future(asyncio.wrap_future(either.submit(SLEEP)))
        await asyncio.sleep(0.05)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        return int(result.value)

    assert asyncio.run(main()) == 49


def test_a_hundred_thousand_futures_are_small(make_backend: MakeBackend) -> None:
    import tracemalloc

    backend = make_backend()
    n = 2000
    kept: list[CallFuture | None] = [None] * n
    first = backend.submit(SLEEP)
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    for i in range(n):
        kept[i] = backend.submit(SQUARE)
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    first.cancel()
    backend.close()
    assert (after - before) / n < 500


INTERRUPTED = """
import os, signal, sys, threading
from pinfold import LocalBackend, WorkerCall, WorkerConfig
backend = LocalBackend(WorkerConfig(max_workers=1, spill_dir=sys.argv[1]))
future = backend.submit(WorkerCall("import time\\ndef f(): time.sleep(3600)", "f"))
threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()
try:
    if sys.argv[2] == "result":
        future.result()
    elif sys.argv[2] == "map":
        list(backend.map([future.call]))
    else:
        import asyncio
        asyncio.run(backend.run(future.call))
except KeyboardInterrupt:
    print("interrupted")
    backend.close()
"""


@pytest.mark.parametrize("way", ["result", "map", "run"])
def test_ctrl_c_ends_a_wait_of_the_main_thread(way: str, spill_dir: Path) -> None:
    printed = output_of(
        INTERRUPTED,
        spill_dir,
        way,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert printed == "interrupted\n"


def test_a_call_for_which_no_thread_can_be_started_ends_as_internal(
    either: LocalBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    asyncio.run(either.run(SQUARE))  # which needs no thread

    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        future = either.submit(SQUARE)
    done, _ = cf.wait([future], timeout=60)
    assert done
    result = future.result(timeout=0)
    assert result.outcome == "internal"
    assert result.error is not None
    assert result.error.message == "the pool could not start a thread: can't start new thread"
    assert not cf.wait([either.submit(SQUARE)], timeout=60).not_done


NO_DESCRIPTORS = """
import os, resource, sys
import pinfold
backend = pinfold.LocalBackend(pinfold.WorkerConfig(max_workers=1, spill_dir=sys.argv[1]))
call = pinfold.WorkerCall("def f(): return 1", "f")
resource.setrlimit(resource.RLIMIT_NOFILE, (128, 128))
held = []
try:
    while True:
        held.append(os.open("/dev/null", os.O_RDONLY))
except OSError:
    pass
try:
    backend.submit(call)
except pinfold.PoolError as error:
    print("PoolError")
for fd in held:
    os.close(fd)
print(backend.submit(call).result().value)
backend.close()
"""


def test_a_submit_without_descriptors_to_load_what_it_needs_raises_pool_error(
    spill_dir: Path,
) -> None:
    assert output_of(NO_DESCRIPTORS, spill_dir) == "PoolError\n1\n"

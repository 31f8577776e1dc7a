# SPDX-License-Identifier: Apache-2.0
"""shutdown() and close(), in every order and from every thread, leave nothing behind."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from conftest import MakeBackend, output_of
from pinfold import LocalBackend, PoolClosed
from programs import SLEEP, SQUARE, call, square

pytestmark = pytest.mark.extension

NAP = call("import time; time.sleep(0.3); return 'done'")

ENDS: dict[str, Callable[[LocalBackend], None]] = {
    "close": lambda backend: backend.close(),
    "wait": lambda backend: asyncio.run(backend.shutdown(wait=True)),
    "no wait": lambda backend: asyncio.run(backend.shutdown(wait=False)),
}


@pytest.fixture(params=ENDS)
def end(request: pytest.FixtureRequest) -> Callable[[LocalBackend], None]:
    return ENDS[request.param]


@pytest.fixture
def counted(either: LocalBackend) -> list[str]:
    """Record shutdown events."""
    seen: list[str] = []
    either.on_shutdown(lambda: seen.append("shutdown"))
    return seen


def test_a_backend_that_was_never_used_ends(
    end: Callable[[LocalBackend], None], either: LocalBackend, counted: list[str], leftovers: Any
) -> None:
    end(either)
    leftovers()
    assert counted == ["shutdown"]
    with pytest.raises(PoolClosed):
        either.submit(SQUARE)


@pytest.mark.parametrize("first", ENDS)
@pytest.mark.parametrize("second", ENDS)
def test_ending_twice_in_any_order_is_harmless(
    first: str, second: str, either: LocalBackend, counted: list[str], leftovers: Any
) -> None:
    either.submit(SQUARE).result(timeout=60)
    future = either.submit(NAP)
    ENDS[first](either)
    ENDS[second](either)
    assert future.result(timeout=60).outcome in ("ok", "cancelled")
    leftovers()
    assert counted == ["shutdown"]
    assert either.stats().state == "shut down"


def test_shutdown_with_wait_lets_running_and_queued_calls_finish(
    either: LocalBackend, counted: list[str], leftovers: Any
) -> None:
    futures = [either.submit(NAP) for _ in range(5)]
    done = []
    futures[4].add_done_callback(done.append)

    async def main() -> str:
        task = asyncio.ensure_future(either.execute(NAP))
        await asyncio.sleep(0.01)
        await either.shutdown(wait=True)
        assert counted == ["shutdown"]
        with pytest.raises(PoolClosed):
            await either.run(SQUARE)
        return str(await task)

    assert asyncio.run(main()) == "done"
    assert [future.result(timeout=0).value for future in futures] == ["done"] * 5
    assert len(done) == 1
    leftovers()


def test_shutdown_without_wait_returns_at_once_and_cancels(
    either: LocalBackend, leftovers: Any
) -> None:
    futures = [either.submit(SLEEP) for _ in range(5)]

    async def main() -> str:
        task = asyncio.ensure_future(either.run(SLEEP))
        await asyncio.sleep(0.01)
        await either.shutdown()
        with pytest.raises(PoolClosed):
            await either.run(SQUARE)
        return (await task).outcome

    assert asyncio.run(main()) == "cancelled"
    assert [future.result(timeout=60).outcome for future in futures] == ["cancelled"] * 5
    leftovers()


def test_close_with_wait_lets_running_and_queued_calls_finish(
    either: LocalBackend, counted: list[str], leftovers: Any
) -> None:
    futures = [either.submit(NAP) for _ in range(5)]
    done = []
    futures[4].add_done_callback(done.append)
    either.close(wait=True)
    assert [future.result(timeout=0).value for future in futures] == ["done"] * 5
    assert len(done) == 1
    leftovers()
    assert counted == ["shutdown"]
    with pytest.raises(PoolClosed):
        either.submit(SQUARE)
    either.close(wait=True)


def test_close_with_wait_may_stop_a_loop_whose_calls_end_all_the_same(
    either: LocalBackend, leftovers: Any
) -> None:
    async def main() -> list[str]:
        tasks = [asyncio.ensure_future(either.execute(NAP)) for _ in range(3)]
        await asyncio.sleep(0.01)
        either.close(wait=True)
        return await asyncio.gather(*tasks)

    assert asyncio.run(main()) == ["done"] * 3
    leftovers()


def test_close_cuts_a_close_that_waits_short(either: LocalBackend) -> None:
    future = either.submit(SLEEP)
    thread = threading.Thread(target=either.close, kwargs={"wait": True})
    thread.start()
    while either.stats().state == "open":
        threading.Event().wait(0.001)
    either.close()
    thread.join()
    assert future.result(timeout=0).outcome == "cancelled"


def test_close_cuts_a_shutdown_that_waits_short(either: LocalBackend, counted: list[str]) -> None:
    future = either.submit(SLEEP)
    thread = threading.Thread(target=lambda: asyncio.run(either.shutdown(wait=True)))
    thread.start()
    while either.stats().state == "open":
        threading.Event().wait(0.001)
    either.close()
    thread.join()
    assert future.result(timeout=0).outcome == "cancelled"
    assert counted == ["shutdown"]


def test_cancelling_a_shutdown_that_waits_leaves_it_under_way(
    either: LocalBackend, leftovers: Any
) -> None:
    async def main() -> None:
        future = either.submit(NAP)
        shutdown = asyncio.ensure_future(either.shutdown(wait=True))
        await asyncio.sleep(0.05)
        shutdown.cancel()
        with pytest.raises(asyncio.CancelledError):
            await shutdown
        assert (await asyncio.wrap_future(future)).value == "done"

    asyncio.run(main())
    leftovers()


def test_many_threads_may_end_a_backend_while_others_use_it(
    either: LocalBackend, counted: list[str], leftovers: Any
) -> None:
    barrier = threading.Barrier(8)
    refused: list[bool] = []

    def use() -> None:
        barrier.wait()
        try:
            while True:
                assert either.submit(square(3)).result(timeout=60).outcome in ("ok", "cancelled")
        except PoolClosed:
            refused.append(True)

    async def run() -> None:
        try:
            while True:
                assert (await either.run(square(3))).outcome in ("ok", "cancelled")
        except PoolClosed:
            refused.append(True)

    def run_in_a_loop() -> None:
        barrier.wait()
        asyncio.run(run())

    def finish(how: str) -> None:
        barrier.wait()
        threading.Event().wait(0.2)
        ENDS[how](either)

    targets = [use, use, run_in_a_loop, run_in_a_loop]
    threads = [threading.Thread(target=target) for target in targets]
    threads += [
        threading.Thread(target=finish, args=(how,))
        for how in ("close", "wait", "no wait", "close")
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(refused) == 4
    leftovers()
    assert counted == ["shutdown"]


def test_a_backend_can_be_closed_while_its_template_starts(
    make_backend: MakeBackend, leftovers: Any
) -> None:
    backend = make_backend(setup="import time\ntime.sleep(3600)\n")
    future = backend.submit(SQUARE)
    errors: list[BaseException] = []

    def enter() -> None:
        try:
            backend.__enter__()
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=enter)
    thread.start()
    threading.Event().wait(0.1)
    backend.close()
    thread.join()
    assert future.result(timeout=0).outcome == "cancelled"
    assert len(errors) == 1
    leftovers()


def test_a_shutdown_from_a_callback_of_a_future_ends_all(
    end: Callable[[LocalBackend], None], either: LocalBackend, leftovers: Any
) -> None:
    ended = threading.Event()
    others = [either.submit(square(n)) for n in range(10)]
    future = either.submit(SQUARE)
    future.add_done_callback(lambda future: (end(either), ended.set()))
    assert ended.wait(60)
    assert all(other.result(timeout=60).outcome in ("ok", "cancelled") for other in others)
    leftovers()


FORGOTTEN = """
import sys, threading
import pinfold
backend = pinfold.LocalBackend(pinfold.WorkerConfig(max_workers=1, spill_dir=sys.argv[1]))
for _ in range(20):
    pool = backend._engine.launch.open(events=False)
    queues = [pool.queue() for _ in range(200)]
    go = threading.Event()

    def forget():
        go.wait()
        while queues:
            queues.pop()

    threads = [threading.Thread(target=forget), threading.Thread(target=pool.close)]
    threads[0].start()
    go.set()
    threads[1].start()
    for thread in threads:
        thread.join()
print("closed")
"""

FORKED = """
import os, sys
import pinfold
backend = pinfold.LocalBackend(pinfold.WorkerConfig(max_workers=1, spill_dir=sys.argv[1]))
queue = backend._engine.pool().queue()
pid = os.fork()
if pid == 0:
    backend.close()
    assert queue.take() == queue.wait() == []
    queue.interrupt()
    queue.close()
    del queue
    os._exit(0)
print(os.waitpid(pid, 0)[1])
backend.close()
print("closed")
"""


@pytest.mark.parametrize(
    ("script", "prints"),
    [(FORGOTTEN, "closed\n"), (FORKED, "0\nclosed\n")],
    ids=["forgotten", "forked"],
)
def test_the_queues_of_a_pool_may_outlive_it(script: str, prints: str, spill_dir: Path) -> None:
    assert (
        output_of(
            script,
            spill_dir,
            env={**os.environ, "PYTHONMALLOC": "debug"},  # overwrites freed memory
        )
        == prints
    )

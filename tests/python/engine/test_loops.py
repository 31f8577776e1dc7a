# SPDX-License-Identifier: Apache-2.0
"""Event loops: one, many, one after another, closed with calls in them."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from conftest import MakeBackend, output_of
from pinfold import ExecRunnerError, LocalBackend, PoolClosed, WorkerCall
from pinfold._client.loop_queue import LoopQueue
from programs import HANG, SLEEP, SQUARE, call, square

pytestmark = pytest.mark.extension


async def value_of(backend: LocalBackend, program: WorkerCall = SQUARE) -> Any:
    return await backend.execute(program, deadline_s=60)


def in_threads(n: int, work: Any) -> list[Any]:
    results: list[Any] = []
    threads = [threading.Thread(target=lambda: results.append(work())) for _ in range(n)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def test_many_calls_run_in_one_loop(either: LocalBackend) -> None:
    async def main() -> list[int]:
        return await asyncio.gather(*(value_of(either, square(n)) for n in range(50)))

    assert asyncio.run(main()) == [n * n for n in range(50)]


def eventfds() -> int:
    count = 0
    for fd in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):  # the pool's thread closes some concurrently
            count += "eventfd" in os.readlink(f"/proc/self/fd/{fd}")
    return count


def test_one_backend_serves_loops_one_after_another(either: LocalBackend) -> None:
    channels = set()
    for _ in range(8):
        assert asyncio.run(value_of(either)) == 49
        channels.add(eventfds())
    assert len(channels) == 1
    assert channels != {0}


def test_one_backend_serves_loops_at_once(either: LocalBackend) -> None:
    async def main() -> list[int]:
        return await asyncio.gather(*(value_of(either, square(n)) for n in range(10)))

    assert in_threads(5, lambda: asyncio.run(main())) == [[n * n for n in range(10)]] * 5


def test_loops_and_threads_share_a_backend(either: LocalBackend) -> None:
    async def main() -> None:
        for n in range(10):
            assert await value_of(either, square(n)) == n * n

    def thread() -> None:
        for n in range(10):
            assert either.submit(square(n)).result(timeout=60).value == n * n

    workers = [threading.Thread(target=thread) for _ in range(2)]
    workers += [threading.Thread(target=lambda: asyncio.run(main())) for _ in range(2)]
    for worker in workers:
        worker.start()
    asyncio.run(main())
    for worker in workers:
        worker.join()
    assert either.stats().outcomes["ok"] == 50


def test_the_loop_is_not_held_up_by_the_start_of_the_pool(make_backend: MakeBackend) -> None:
    backend = make_backend(setup="import time\ntime.sleep(1.0)\n")

    async def main() -> int:
        turns = 0
        task = asyncio.ensure_future(value_of(backend))
        while not task.done():
            turns += 1
            await asyncio.sleep(0.01)
        assert await task == 49
        return turns

    assert asyncio.run(main()) > 10


def test_cancelling_the_task_kills_the_call_at_once(either: LocalBackend) -> None:
    pids: list[int] = []
    either.on_start(lambda call, worker: pids.append(worker.pid))

    async def main() -> None:
        task = asyncio.ensure_future(either.run(HANG))
        while not pids:
            await asyncio.sleep(0.01)
        process = os.pidfd_open(pids[0])
        dead = asyncio.Event()
        asyncio.get_running_loop().add_reader(process, dead.set)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.wait_for(dead.wait(), 60)
        asyncio.get_running_loop().remove_reader(process)
        os.close(process)
        assert await value_of(either) == 49

    asyncio.run(main())


def test_wait_for_kills_the_call_it_gives_up(either: LocalBackend) -> None:
    async def main() -> None:
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(either.execute(SLEEP), timeout=0.2)
        assert await value_of(either) == 49

    asyncio.run(main())
    assert either.stats().outcomes["cancelled"] == 1


WITHOUT_DESCRIPTORS = """
import asyncio, os, resource, sys
import pinfold

resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))
call = pinfold.WorkerCall("def f(): return 1", "f")
backend = pinfold.LocalBackend(pinfold.WorkerConfig(max_workers=1, spill_dir=sys.argv[1]))
backend.submit(call).result()

async def main():
    while (stats := backend.stats()).ending or stats.starting or not stats.idle:
        await asyncio.sleep(0.001)  # until no descriptor comes or goes
    held = []
    try:
        while True:
            held.append(os.dup(0))
    except OSError:
        pass
    for attempt in (lambda: backend.run(call), lambda: aiter(backend.map([call])).__anext__()):
        try:
            await attempt()
        except pinfold.PoolError as error:
            print("refused", error)
    for fd in held:
        os.close(fd)
    print((await backend.run(call)).outcome)
    async for each, result in backend.map([call]):
        print(result.outcome)
    await backend.shutdown(wait=True)

asyncio.run(main())
"""


def test_a_call_for_which_there_are_no_descriptors_is_told_so_in_a_loop(spill_dir: Path) -> None:
    lines = output_of(WITHOUT_DESCRIPTORS, spill_dir).splitlines()
    assert len(lines) == 4
    assert all("refused the pool could not load" in line for line in lines[:2])
    assert lines[2:] == ["ok", "ok"]


def test_a_loop_that_is_closed_with_calls_in_it_hurts_nobody(either: LocalBackend) -> None:
    completed: list[BaseException | None] = []
    either.on_complete(lambda call, metrics, exc: completed.append(exc))
    loop = asyncio.new_event_loop()
    tasks = [loop.create_task(either.run(SLEEP)) for _ in range(3)]
    loop.run_until_complete(asyncio.sleep(0.01))
    loop.close()
    assert asyncio.run(value_of(either)) == 49
    assert completed.pop() is None
    assert [type(exc) for exc in completed] == [asyncio.CancelledError] * 3
    assert asyncio.run(value_of(either)) == 49
    assert len(completed) == 4
    for task in tasks:
        task._log_destroy_pending = False  # type: ignore[attr-defined]
    del tasks, task
    gc.collect()
    assert len(completed) == 4


def test_a_loop_that_stopped_does_not_hold_up_the_shutdown(either: LocalBackend) -> None:
    loop = asyncio.new_event_loop()
    try:
        task = loop.create_task(either.run(call("import time; time.sleep(0.3); return 3")))
        loop.run_until_complete(asyncio.sleep(0.01))
        asyncio.run(either.shutdown(wait=True))
        assert loop.run_until_complete(task).value == 3
    finally:
        loop.close()


def test_a_loop_that_outlives_the_backend_keeps_nothing(
    make_backend: MakeBackend, leftovers: Any
) -> None:
    loop = asyncio.new_event_loop()
    descriptors = len(os.listdir("/proc/self/fd"))
    try:
        for _ in range(3):
            backend = make_backend()
            assert loop.run_until_complete(value_of(backend)) == 49
            backend.close()
            assert len(os.listdir("/proc/self/fd")) == descriptors

        async def inside() -> None:
            backend = make_backend()
            assert await value_of(backend) == 49
            backend.close()

        loop.run_until_complete(inside())
        assert len(os.listdir("/proc/self/fd")) == descriptors
    finally:
        loop.close()


def test_a_backend_that_is_closed_in_another_thread_lets_the_loop_go_on(
    either: LocalBackend,
) -> None:
    async def main() -> str:
        task = asyncio.ensure_future(either.run(SLEEP))
        await asyncio.sleep(0.05)
        threading.Thread(target=either.close).start()
        result = await task
        reader, writer = os.pipe()  # may get the number of a descriptor that was watched
        readable = asyncio.Event()
        asyncio.get_running_loop().add_reader(reader, readable.set)
        os.write(writer, b"x")
        await asyncio.wait_for(readable.wait(), 60)
        asyncio.get_running_loop().remove_reader(reader)
        os.close(reader)
        os.close(writer)
        return result.outcome

    assert asyncio.run(main()) == "cancelled"


def test_execute_raises_cancelled_error_when_the_backend_is_closed(either: LocalBackend) -> None:
    async def main() -> None:
        task = asyncio.ensure_future(either.execute(SLEEP))
        await asyncio.sleep(0.05)
        await either.shutdown(wait=False)
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())


def test_errors_of_calls_at_once_do_not_mix(either: LocalBackend) -> None:
    async def one(n: int) -> str:
        try:
            await value_of(either, call(f"raise ValueError({n})"))
        except ExecRunnerError as error:
            return str(error)
        return ""

    async def main() -> list[str]:
        return await asyncio.gather(*(one(n) for n in range(20)))

    for n, text in enumerate(asyncio.run(main())):
        assert text.count("ValueError") >= 1
        assert f"ValueError: {n}\n" in text


def test_a_loop_whose_backend_is_closed_under_its_hands_watches_nothing_of_it(
    either: LocalBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = LoopQueue.__init__

    def make(self: LoopQueue, *args: Any) -> None:
        real(self, *args)
        either.close()

    async def main() -> list[int]:
        loop = asyncio.get_running_loop()
        added: list[int] = []
        add, remove = loop.add_reader, loop.remove_reader

        def adding(fd: Any, *args: Any) -> None:
            added.append(fd)
            add(fd, *args)

        def removing(fd: Any) -> bool:
            added.remove(fd)
            return remove(fd)

        monkeypatch.setattr(loop, "add_reader", adding)
        monkeypatch.setattr(loop, "remove_reader", removing)
        with pytest.raises((PoolClosed, asyncio.CancelledError)):
            await either.run(SQUARE)
        return added

    monkeypatch.setattr(LoopQueue, "__init__", make)
    assert asyncio.run(main()) == []

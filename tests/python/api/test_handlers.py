# SPDX-License-Identifier: Apache-2.0
"""Handlers that wait and close. Each has its own process, because a failure blocks for ever."""

from __future__ import annotations

from pathlib import Path

import pytest

from conftest import output_of

pytestmark = pytest.mark.extension

START = """
import asyncio, sys, threading
import pinfold
from pinfold import LocalBackend, WorkerCall, WorkerConfig

def made(**fields):
    return LocalBackend(WorkerConfig(spill_dir=sys.argv[1], **{"max_workers": 1, **fields}))

def until(true):
    while not true():
        threading.Event().wait(0.001)

def ended(backend, n):
    until(lambda: sum(backend.stats().outcomes.values()) >= n)

here = threading.current_thread()
call = WorkerCall("def f(*args): return args", "f")
"""


def prints(script: str, spill_dir: Path, *args: str) -> str:
    return output_of(START + script, spill_dir, *args)


BOTH_CLOSE = """
backend = made()
inside = threading.Event()

@getattr(backend, sys.argv[2])
def _(*args):
    if threading.current_thread() is not here and not inside.is_set():
        inside.set()
        until(lambda: backend._engine._closing)
        backend.close()

backend.submit(call)
inside.wait()
backend.close()
print("closed")
"""


@pytest.mark.parametrize("event", ["on_start", "on_worker_start", "on_worker_exit"])
def test_a_handler_may_close_what_another_thread_closes(event: str, spill_dir: Path) -> None:
    assert prints(BOTH_CLOSE, spill_dir, event) == "closed\n"


NEEDS_A_LOCK = """
backend = made()
lock, inside = threading.Lock(), threading.Event()
told = []

@backend.on_start
def _(call, worker):
    if threading.current_thread() is not here:
        inside.set()
        with lock:
            told.append(call.args)

with lock:
    first = backend.submit(WorkerCall(call.code, "f", args=[1]))
    inside.wait()
    second = backend.submit(WorkerCall(call.code, "f", args=[2]))
    print(first.result(30).value, second.result(30).value)
    third = backend.submit(WorkerCall("import time; time.sleep(3600)", "f", args=[3]))
    until(lambda: backend.stats().running)
    print(third.cancel())
backend.close()
print(told)
"""


def test_a_handler_that_waits_for_the_thread_that_waits_for_a_call_holds_up_nothing(
    spill_dir: Path,
) -> None:
    assert prints(NEEDS_A_LOCK, spill_dir) == "(1,) (2,)\nTrue\n[[1], [2], [3]]\n"


CLOSES_WITH_THE_LOCK = """
backend = made()
lock, inside = threading.Lock(), threading.Event()
told = []

@backend.on_start
def _(call, worker):
    inside.set()
    with lock:
        told.append("start")

backend.on_worker_exit(lambda worker, reason: told.append("exit"))
with lock:
    future = backend.submit(call)
    inside.wait()
    backend.close()
    print(future.result().outcome in ("ok", "cancelled"), backend.stats().state, told)
until(lambda: threading.active_count() == 1)
print(told[0], "exit" in told)
"""


def test_a_handler_that_waits_for_the_thread_that_closes_does_not_keep_it(spill_dir: Path) -> None:
    assert prints(CLOSES_WITH_THE_LOCK, spill_dir) == "True shut down []\nstart True\n"


NEEDS_THE_LOOP = """
backend = made()
asked = threading.Event()
told = []

async def note():
    for _ in range(3):
        await asyncio.sleep(0)
    told.append("noted")

async def main():
    loop = asyncio.get_running_loop()

    @backend.on_start
    def _(call, worker):
        if threading.current_thread() is not here and not asked.is_set():
            noted = asyncio.run_coroutine_threadsafe(note(), loop)
            asked.set()
            noted.result()

    task = asyncio.ensure_future(backend.run(call))
    await asyncio.sleep(0)
    asked.wait()
    ended(backend, 1)
    print((await task).outcome)
    await backend.shutdown(wait=True)

asyncio.run(main())
print(told)
"""


def test_a_handler_may_wait_for_the_loop_that_waits_for_a_call(spill_dir: Path) -> None:
    assert prints(NEEDS_THE_LOOP, spill_dir) == "ok\n['noted']\n"


MEET = """
backend = made(max_workers=2)
both = threading.Barrier(2)
end = {
    "wait": lambda: backend._engine.shutdown(wait=True),
    "close": backend.close,
}[sys.argv[2]]

def done(future):
    both.wait()
    backend._engine.shutdown(wait=True)
    end()

def use(wait):
    future = backend.submit(WorkerCall("import time\\ndef f(): time.sleep(0.2)", "f"))
    future.add_done_callback(done)
    if wait:
        future.result()

threads = [threading.Thread(target=use, args=[wait]) for wait in (True, sys.argv[3] == "two")]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
backend.close()
print(backend.stats().state)
"""


@pytest.mark.parametrize("end", ["wait", "close"])
@pytest.mark.parametrize("threads", ["two", "one and the completer"])
def test_callbacks_in_two_threads_may_wait_for_the_end_of_all_calls(
    end: str, threads: str, spill_dir: Path
) -> None:
    assert prints(MEET, spill_dir, end, threads) == "shut down\n"


FROM_ON_SUBMIT = """
backend = made()
if sys.argv[2] == "running":
    backend.submit(call).result()
told = []
backend.on_complete(lambda call, metrics, error: told.append(type(error).__name__))

@backend.on_submit
def _(call):
    backend._engine.shutdown(wait=True)
    print(backend.stats().state)

try:
    if sys.argv[3] == "submit":
        backend.submit(call)
    elif sys.argv[3] == "run":
        asyncio.run(backend.run(call))
    else:
        list(backend.map([call]))
except pinfold.PoolClosed:
    print("refused", told)
"""


@pytest.mark.parametrize("state", ["new", "running"])
@pytest.mark.parametrize("way", ["submit", "run", "map"])
def test_an_on_submit_handler_may_wait_for_the_end_of_all_other_calls(
    state: str, way: str, spill_dir: Path
) -> None:
    told = "shut down\nrefused ['PoolClosed']\n"
    assert prints(FROM_ON_SUBMIT, spill_dir, state, way) == told

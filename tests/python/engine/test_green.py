# SPDX-License-Identifier: Apache-2.0
"""Programs whose threads are greenlets (gevent, eventlet): one that waits lets others run."""

from __future__ import annotations

import importlib.util
import json
import os
from pathlib import Path

import pytest

from conftest import output_of

pytestmark = pytest.mark.libraries

PATCHES = {
    "gevent": "import gevent.monkey\ngevent.monkey.patch_all()\nfrom gevent import spawn, sleep",
    "threads": (
        "import gevent.monkey\ngevent.monkey.patch_thread()\nfrom gevent import spawn, sleep"
    ),
    "eventlet": "import eventlet\neventlet.monkey_patch()\nfrom eventlet import spawn, sleep",
}

# Runs before the programs, in their process. Each program has its own backend, and its name is
# printed when it succeeds.
START = """
import concurrent.futures, json, sys, threading, time, warnings
warnings.simplefilter("ignore")
{first}
{second}
ticks = []

def tick():
    while True:
        ticks.append(time.monotonic())
        sleep(0.01)

spawn(tick)
CODE = "import time\\ndef f(n, s=0.0):\\n    time.sleep(s)\\n    return n * n"

def call(n, s=0.0):
    return pinfold.WorkerCall(CODE, "f", args=[n, s])

def ran(what):
    before = len(ticks)
    value = what()
    assert len(ticks) > before
    return value

for name, program in json.loads(sys.argv[3]).items():
    backend = pinfold.LocalBackend(pinfold.WorkerConfig(
        max_workers=2, isolation=sys.argv[2], spill_dir=sys.argv[1]))
    exec(compile(program, name, "exec"), globals())
    backend.close()
    print(name, flush=True)
"""

PROGRAMS = {
    "result": """
assert backend.submit(call(3)).result().value == 9
assert ran(lambda: backend.submit(call(4, 0.3)).result(timeout=60)).value == 16
""",
    "timeout": """
future = backend.submit(call(3, 0.5))
try:
    ran(lambda: future.result(timeout=0.2))
    raise SystemExit("no timeout")
except concurrent.futures.TimeoutError:
    pass
assert future.result(timeout=60).value == 9
result = ran(lambda: backend.submit(call(3, 60), deadline_s=0.3).result(timeout=60))
assert result.outcome == "timeout", result
""",
    "many waiters": """
got = {}
def wait(n):
    got[n] = backend.submit(call(n, 0.01)).result().value
threads = [threading.Thread(target=wait, args=(n,)) for n in range(40)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
assert got == {n: n * n for n in range(40)}
""",
    "callbacks": """
seen = []
def note(future):
    inner = backend.submit(call(future.result().value)).result()
    seen.append(inner.value)
futures = [backend.submit(call(n, 0.02)) for n in range(4)]
for future in futures:
    future.add_done_callback(note)
done, left = concurrent.futures.wait(futures, timeout=60)
assert not left
assert sorted(f.result().value for f in concurrent.futures.as_completed(futures)) == [0, 1, 4, 9]
while len(seen) < 4:
    sleep(0.01)
assert sorted(seen) == [0, 1, 16, 81]
""",
    "map": """
pairs = ran(lambda: list(backend.map([call(n, 0.1) for n in range(6)], ordered=True)))
assert [result.value for _, result in pairs] == [n * n for n in range(6)]
for _, result in backend.map(call(n, 0.01) for n in range(100)):
    break
""",
    "hooks": """
seen = []
backend.on_start(lambda call, worker: seen.append("start"))
backend.on_complete(lambda call, metrics, error: seen.append("complete"))
backend.on_worker_start(lambda worker: seen.append("worker"))
assert backend.submit(call(3, 0.1)).result().value == 9
assert seen.index("start") < seen.index("complete"), seen
""",
    "cancel": """
future = backend.submit(call(3, 60))
spawn(lambda: (sleep(0.1), future.cancel()))
try:
    ran(future.result)
    raise SystemExit("not cancelled")
except concurrent.futures.CancelledError:
    pass
""",
    "with": """
with backend:
    futures = [backend.submit(call(n, 0.1)) for n in range(4)]
assert [future.result(timeout=0).value for future in futures] == [0, 1, 4, 9]
""",
    "close in a callback": """
future = backend.submit(call(3))
future.add_done_callback(lambda future: backend.close())
assert future.result().value == 9
while backend.stats().state != "shut down":
    sleep(0.01)
""",
    "close that waits": """
futures = [backend.submit(call(n, 0.1)) for n in range(4)]
ran(lambda: backend.close(wait=True))
assert [future.result(timeout=0).value for future in futures] == [0, 1, 4, 9]
""",
}

LOOP = """
import asyncio
async def main():
    pending = [backend.execute(call(n, 0.1)) for n in range(6)]
    values = await asyncio.gather(*pending)
    assert values == [n * n for n in range(6)]
    async for _, result in backend.map(call(n) for n in range(6)):
        assert result.ok
    await backend.shutdown(wait=True)
ran(lambda: asyncio.run(main()))
"""

REAL_THREADS = """
import gevent
hub = gevent.get_hub()
def from_a_thread(n):
    return backend.submit(call(n, 0.1)).result(timeout=60).value
assert ran(lambda: hub.threadpool.apply(from_a_thread, (3,))) == 9
assert ran(lambda: backend.submit(call(4, 0.1)).result(timeout=60)).value == 16
assert hub.threadpool.apply(from_a_thread, (5,)) == 25
"""


def run(patch: str, first: bool, programs: dict[str, str], isolation: str, spill_dir: Path) -> None:
    lines = [PATCHES[patch], "import pinfold, pinfold.default, pinfold.futures, pinfold.mapping"]
    start = START.format(first=lines[not first], second=lines[first])
    environment = {**os.environ, "PYTHONWARNINGS": "ignore"}
    told = output_of(start, spill_dir, isolation, json.dumps(programs), env=environment)
    assert told.splitlines() == list(programs)


def patched(*names: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(
        "patch",
        [
            pytest.param(
                name,
                marks=pytest.mark.skipif(
                    importlib.util.find_spec(library) is None, reason=f"{library} is not installed"
                ),
            )
            for name in names
            for library in ["gevent" if name == "threads" else name]
        ],
    )


first = pytest.mark.parametrize("first", [True, False], ids=["patched first", "imported first"])


@patched("gevent", "threads", "eventlet")
@first
def test_greenlets_run_while_one_waits(
    patch: str, first: bool, isolation: str, spill_dir: Path
) -> None:
    run(patch, first, PROGRAMS, isolation, spill_dir)


@patched("gevent")
@first
def test_greenlets_may_run_a_loop_and_wait_beside_threads(
    patch: str, first: bool, isolation: str, spill_dir: Path
) -> None:
    run(patch, first, {"loop": LOOP, "threads": REAL_THREADS}, isolation, spill_dir)

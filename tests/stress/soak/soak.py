# SPDX-License-Identifier: Apache-2.0
"""`soak.py [--calls N]`: run a long mixed load, and fail if any resource grows.

Threads and asyncio make the calls, most in reused workers and one in twenty in a fresh one. One in
a thousand hangs or crashes; others raise, print, return large values, leave processes behind or are
cancelled. Each call's outcome and value are checked. Between the parts, when no call runs, memory,
descriptors, threads and mappings of the caller and of both templates are counted, and the processes
below the caller. The run fails if the slope of any of them is above zero; with `--short`, only if
the slope of a count is, because the caches of a Python process fill for longer than a short run.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import random
import sys
import tempfile
import threading
import time
from collections import Counter, deque
from collections.abc import Iterator
from concurrent.futures import CancelledError

from growth import (
    COUNTS,
    MALLOC,
    MEMORY,
    TUNABLES,
    Samples,
    counts_of,
    descendants_of,
    malloc_in_use,
    memory_of,
)

import pinfold

PROGRAM = """
import os, time

def add(n):
    return n + 1

def double(data):
    return data + data

def fail(n):
    raise ValueError(n)

def print_lines(n):
    for i in range(60):
        print("line", n, i)
    return n

def leave_child(n):
    if os.fork() == 0:
        time.sleep(60)
        os._exit(0)
    return n

def hang(n):
    while n % 2:
        pass
    time.sleep(60)

def sleep(n):
    time.sleep(60)

def crash(n):
    os.abort() if n % 2 else os._exit(3)
"""
PROGRAMS = [f"{PROGRAM}\n# {i}\n" for i in range(50)]
LARGE = bytes(100_000)
WORKERS = 2
AT_ONCE = 8  # calls in flight of one thread, and of one event loop
CANCEL_AFTER = 3

# Of 10,000 calls: the function, its number of calls, the right outcomes.
MIX = (
    ("crash", 5, ("signalled", "exited")),
    ("hang", 5, ("timeout",)),
    ("leave_child", 5, ("ok",)),
    ("sleep", 50, ("cancelled",)),
    ("double", 100, ("ok",)),
    ("fail", 100, ("exception",)),
    ("print_lines", 100, ("ok",)),
    ("add", 9635, ("ok",)),
)
NAMES = [name for name, _, _ in MIX]
WEIGHTS = [weight for _, weight, _ in MIX]
RIGHT = {name: outcomes for name, _, outcomes in MIX}
assert sum(WEIGHTS) == 10_000


class Load:
    """The calls and their results."""

    def __init__(self, seed: int, backends: dict[str, pinfold.LocalBackend]) -> None:
        self.chance = random.Random(seed)
        self.backends = backends
        self.outcomes: Counter[str] = Counter()
        self.wrong: list[str] = []
        self._lock = threading.Lock()

    def calls(self, n: int) -> Iterator[tuple[str, pinfold.LocalBackend, pinfold.WorkerCall]]:
        chance = self.chance
        for i in range(n):
            [name] = chance.choices(NAMES, WEIGHTS)
            backend = self.backends["fresh" if chance.random() < 0.05 else "reuse"]
            args = [LARGE if name == "double" else i]
            yield name, backend, pinfold.WorkerCall(PROGRAMS[i % len(PROGRAMS)], name, args=args)

    def check(self, name: str, argument: object, result: pinfold.WorkerResult | None) -> None:
        outcome = result.outcome if result else "cancelled"
        right = outcome in RIGHT[name]
        if name == "add":
            right = right and result is not None and result.value == argument + 1  # type: ignore[operator]
        elif name == "double":
            right = right and result is not None and len(result.value) == 2 * len(LARGE)
        with self._lock:
            self.outcomes[outcome] += 1
            if not right and len(self.wrong) < 20:
                self.wrong.append(f"{name}({argument!r:.20}): {result or 'cancelled'}"[:500])


def deadline(name: str) -> float:
    return 0.05 if name == "hang" else 60.0


def from_a_thread(
    load: Load, calls: list[tuple[str, pinfold.LocalBackend, pinfold.WorkerCall]]
) -> None:
    waiting: deque[tuple[str, object, pinfold.CallFuture]] = deque()

    def take() -> None:
        name, argument, future = waiting.popleft()
        if name == "sleep":
            future.cancel()
        try:
            result = future.result()
        except CancelledError:
            result = None
        load.check(name, argument, result)

    for name, backend, call in calls:
        waiting.append((name, call.args[0], backend.submit(call, deadline_s=deadline(name))))
        if len(waiting) == AT_ONCE:
            take()
    while waiting:
        take()


async def from_a_loop(
    load: Load, calls: list[tuple[str, pinfold.LocalBackend, pinfold.WorkerCall]]
) -> None:
    rest = iter(calls)

    async def one_after_another() -> None:
        for name, backend, call in rest:
            task = asyncio.ensure_future(backend.run(call, deadline_s=deadline(name)))
            if name == "sleep":
                for _ in range(CANCEL_AFTER):
                    await asyncio.sleep(0)
                task.cancel()
            try:
                result = await task
            except asyncio.CancelledError:
                result = None
            load.check(name, call.args[0], result)

    await asyncio.gather(*(one_after_another() for _ in range(AT_ONCE)))


def run_part(load: Load, n: int) -> None:
    """Make half of the calls from two threads, half from this thread's loop."""
    calls = list(load.calls(n))
    threads = [
        threading.Thread(target=from_a_thread, args=(load, calls[i : n // 2 : 2])) for i in range(2)
    ]
    for thread in threads:
        thread.start()
    asyncio.run(from_a_loop(load, calls[n // 2 :]))
    for thread in threads:
        thread.join()


def settle(backends: dict[str, pinfold.LocalBackend]) -> None:
    """Wait until all workers are idle and as many as allowed, and no process is being killed."""
    barrier = pinfold.WorkerCall("import time\ndef f(): time.sleep(0.05)", "f")
    for backend in backends.values():
        for future in [backend.submit(barrier) for _ in range(WORKERS)]:
            future.result()
        while (now := backend.stats()).idle < WORKERS or now.starting or now.ending or now.running:
            time.sleep(0.005)
    gc.collect()


def names(backends: dict[str, pinfold.LocalBackend]) -> list[str]:
    of = ["caller", *(f"template ({name})" for name in backends)]
    return [
        *(f"{who}: {what}" for who in of for what in MEMORY + COUNTS),
        f"caller: {MALLOC}",
        "processes: descendants",
    ]


def look(backends: dict[str, pinfold.LocalBackend]) -> list[float]:
    pids = [os.getpid(), *(backend.stats().template_pid for backend in backends.values())]
    values = [value for pid in pids for value in memory_of(pid) + counts_of(pid)]
    return [*values, malloc_in_use(), float(descendants_of(os.getpid()))]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=1_000_000)
    parser.add_argument("--parts", type=int, default=100, help="sample after each part")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--short", action="store_true", help="do not judge memory")
    options = parser.parse_args()

    with tempfile.TemporaryDirectory() as spill_dir:
        backends = {
            isolation: pinfold.LocalBackend(
                pinfold.WorkerConfig(
                    max_workers=WORKERS,
                    isolation=isolation,
                    spill_dir=spill_dir,
                    idle_timeout_s=3600,
                )
            )
            for isolation in ("reuse", "fresh")
        }
        load = Load(options.seed, backends)
        samples = Samples(names(backends), options.parts)
        began = time.monotonic()
        for part in range(1, options.parts + 1):
            run_part(load, options.calls // options.parts)
            settle(backends)
            samples.add(part * (options.calls // options.parts), look(backends))
            if part % max(options.parts // 20, 1) == 0:
                took = time.monotonic() - began
                print(f"{part} of {options.parts} parts, {took:.0f} s", file=sys.stderr, flush=True)
        templates = {name: backend.stats().templates_started for name, backend in backends.items()}
        for backend in backends.values():
            backend.close()

    slopes = samples.slopes(skipped=options.parts // 5)
    print(f"{sum(load.outcomes.values()):,} calls in {time.monotonic() - began:.0f} s: ", end="")
    print(", ".join(f"{n:,} {outcome}" for outcome, n in load.outcomes.most_common()))
    print("\n| what | after warm-up | at the end | growth per 100,000 calls | grows |")
    print("|---|---|---|---|---|")
    print(*slopes, sep="\n")
    if load.wrong:
        print("\nWRONG:", *load.wrong, sep="\n")
    lost = {name: n for name, n in templates.items() if n != 1}
    if lost:
        print("\ntemplates were lost:", lost)
    grows = any(slope.grows and not (slope.memory and options.short) for slope in slopes)
    return 1 if load.wrong or lost or grows else 0


if __name__ == "__main__":
    if os.environ.get("GLIBC_TUNABLES") != TUNABLES:
        os.environ["GLIBC_TUNABLES"] = TUNABLES
        os.execv(sys.executable, [sys.executable, *sys.argv])
    sys.exit(main())

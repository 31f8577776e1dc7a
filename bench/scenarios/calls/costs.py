# SPDX-License-Identifier: Apache-2.0
"""The cost of a trivial call in processor time, page faults and context switches."""

from __future__ import annotations

import os

from bench import limits
from bench.measure import now
from bench.programs import TRIVIAL
from bench.systems import make
from bench.systems.base import Call

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from bench.results import Results
    from bench.tables import Table

TITLE = "What a trivial call costs"
ABOUT = (
    "Two workers with numpy loaded run one call after another. Processor time is that of all "
    "threads and processes together, user and system, from `/proc`. Unlike the time of a call, "
    "it hardly depends on the machine's other load. Its ticks of 10 ms are divided among some "
    "hundreds of calls. Page faults are those of all processes but the caller's."
)
LIMIT_S = 25.0
SECONDS = 1.5
ENTRIES = {
    "limit-fork": 2,
    "pinfold-fresh": 2,
    "pinfold-reuse": 2,
    "loky": 1,
    "futures-spawn": 1,
    "pool": 1,
    "pebble": 1,
}
FAULTS, FAULTS_OF_CHILDREN, TIMES = 7, 8, slice(11, 15)  # proc(5), /proc/[pid]/stat, from "state"


def measure(system: str, number: int) -> Iterator[dict[str, Any]]:
    if system == "limit-fork":
        before = figures()
        count = SECONDS * limits.fork_loop(SECONDS)
    else:
        under_test = make(system)
        under_test.open(2, preload=["numpy"])
        call = Call(TRIVIAL, 7)
        for _ in range(50):
            under_test.call(call)
        count = 0.0
        before = figures()
        until = now() + SECONDS
        while now() < until:
            under_test.call(call)
            count += 1
    after = figures()
    yield {name: max(0.0, after[name] - before[name]) / count for name in after}
    os.write(3, b"{}\n")
    os._exit(0)


def figures() -> dict[str, float]:
    """Return the figures of this process and its descendants, including those already reaped."""
    tick = os.sysconf("SC_CLK_TCK")
    processes = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/stat") as stat:
                fields = stat.read().rpartition(")")[2].split()
            processes[int(name)] = fields
        except OSError:
            continue
    own = os.getpid()
    ours = {own}
    while more := {p for p, f in processes.items() if int(f[1]) in ours} - ours:
        ours |= more
    by = {True: 0.0, False: 0.0}
    faults = 0.0
    for process in ours & processes.keys():
        fields = processes[process]
        times = [int(field) / tick for field in fields[TIMES]]
        by[process == own] += times[0] + times[1]
        by[False] += times[2] + times[3]
        faults += int(fields[FAULTS_OF_CHILDREN])
        if process != own:
            faults += int(fields[FAULTS])
    return {
        "caller_s": by[True],
        "others_s": by[False],
        "all_s": by[True] + by[False],
        "faults": faults,
        "switches": float(switches()),
    }


def switches() -> int:
    """Return this process's voluntary context switches: how often a thread of it went to sleep."""
    total = 0
    for task in os.listdir("/proc/self/task"):
        with open(f"/proc/self/task/{task}/status") as status:
            total += sum(int(x.split()[1]) for x in status if x.startswith("voluntary_ctxt"))
    return total


def tables(results: Results) -> list[Table]:
    from bench.results import seconds
    from bench.tables import Column, by_system

    columns = [
        Column("all_s", "processor time", seconds),
        Column("caller_s", "of it the caller's", seconds, compared=False),
        Column("others_s", "of it others'", seconds, compared=False),
        Column("faults", "page faults", "{:,.0f}".format, compared=False),
        Column("switches", "sleeps in the caller", "{:.1f}".format, compared=False),
    ]
    return [by_system(TITLE, results, columns)]

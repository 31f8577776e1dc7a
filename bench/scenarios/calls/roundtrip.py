# SPDX-License-Identifier: Apache-2.0
"""The round trip of a trivial call: idle, and with half of the workers computing."""

from __future__ import annotations

import time

from bench import limits
from bench.measure import median, now, percentile, timed
from bench.programs import BURN, TRIVIAL
from bench.results import Results
from bench.systems import PEERS, make
from bench.systems.base import Call, CannotDo, System

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from bench.tables import Table

TITLE = "Round trip of a trivial call"
ABOUT = (
    "The caller submits `def f(x): return x` and waits for it, on two workers with numpy loaded."
    " *Idle*: one call after another, and nothing else runs. *Half-loaded*: one of the two "
    "workers computes all the time, and a trivial call comes every 10 ms."
)
LIMIT_S = 25.0
ENTRIES = {
    "limit-ping": 3,
    "pinfold-fresh": 3,
    "pinfold-reuse": 3,
    **dict.fromkeys(PEERS, 1),
    "loky": 3,
    "pool": 3,
}
PACE_S = 0.010


def measure(system: str, number: int) -> Iterator[dict[str, Any]]:
    if system == "limit-ping":
        trips = limits.ping_pong(1.0)
        yield {"idle_s": trips["median_us"] / 1e6, "idle_p99_s": trips["p99_us"] / 1e6}
        return
    under_test = make(system)
    under_test.open(2, preload=["numpy"])
    call = Call(TRIVIAL, 7)
    until = now() + 1.0
    for _ in range(20):
        if now() < until:
            under_test.call(call)
    times: list[float] = []
    until = now() + 1.0
    while now() < until and len(times) < 2000:
        times.append(timed(lambda: under_test.call(call)))
    yield {"idle_s": median(times), "idle_p99_s": percentile(times, 99)}
    try:
        times = half_loaded(under_test, call)
    except CannotDo as reason:
        yield {"cannot half_s": str(reason), "cannot half_p99_s": str(reason)}
    else:
        yield {"half_s": median(times), "half_p99_s": percentile(times, 99)}
    under_test.close()


def half_loaded(system: System, call: Call) -> list[float]:
    """Measure round trips while another worker computes without a pause."""
    going = True

    def compute(outcome: str = "ok") -> None:
        if going:
            system.start(Call(BURN, 0.05), None, compute)

    compute()
    time.sleep(0.1)
    times = []
    due = now()
    until = now() + 2.5
    for _ in range(120):
        if now() > until:
            break
        due = max(due + PACE_S, now())
        time.sleep(max(0.0, due - now()))
        times.append(timed(lambda: system.call(call)))
    going = False
    return times[len(times) // 6 :]


def tables(results: Results) -> list[Table]:
    from bench.results import seconds
    from bench.tables import Column, by_system

    return [
        by_system(
            "Round trip of a trivial call, idle",
            results,
            [
                Column("idle_s", "median", seconds),
                Column("idle_p99_s", "p99", seconds, compared=False),
            ],
        ),
        by_system(
            "Round trip of a trivial call, half-loaded",
            Results({n: r for n, r in results.rounds.items() if not n.startswith("limit-")}),
            [
                Column("half_s", "median", seconds),
                Column("half_p99_s", "p99", seconds, compared=False),
            ],
        ),
    ]

# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: RUF001
"""One call that hangs, crashes or eats memory among a thousand, and its effect on the others."""

from __future__ import annotations

from bench.measure import percentile, stream
from bench.programs import BURN, CRASH, DEADLOCK, EAT_MEMORY
from bench.systems import make
from bench.systems.base import Call, CannotDo

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from bench.results import Results
    from bench.tables import Table

TITLE = "One bad call among 1,000"
ABOUT = (
    "Four workers have two calls of 1 ms of computing in flight. Number 300 is bad: it waits for"
    " a lock for ever (deadline 0.5 s), reads from address 0, or allocates without end (limit "
    "256 MiB). The table compares the p99 of the other 999 round trips with that of a stream "
    "without a bad call."
)
LIMIT_S = 40.0
CALLS = 1000
BAD = {"hangs": DEADLOCK, "crashes": CRASH, "eats memory": EAT_MEMORY}
ENTRIES = {
    "pinfold-fresh": 2,
    "pinfold-reuse": 2,
    "pebble": 1,
    "deadpool": 1,
}


def measure(system: str, number: int) -> Iterator[dict[str, Any]]:
    under_test = make(system)
    under_test.open(4)
    under_test.run([Call(BURN, 0.001)] * 8)
    for kind in ("nothing", *BAD):
        calls = [Call(BURN, 0.001) for _ in range(CALLS)]
        if kind in BAD:
            calls[300] = Call(BAD[kind], 0)
        if kind == "eats memory":
            try:
                limit_memory(under_test, calls[300])
            except CannotDo as reason:
                yield {f"cannot {kind}": str(reason), f"cannot {kind} failed": str(reason)}
                continue
        deadlines = [10.0] * CALLS
        deadlines[300] = 0.5
        ends = stream(under_test, calls, 2, deadlines, 12.0)
        others = [end for end in ends if end.index != 300]
        failed = CALLS - 1 - sum(end.outcome == "ok" for end in others)
        trips = [end.ended - end.began for end in others if end.outcome == "ok"]
        yield {kind: percentile(trips, 99), f"{kind} failed": failed}
    under_test.close()


def limit_memory(system: Any, call: Call) -> None:
    """Set the call's memory limit. Raises CannotDo if the system has none."""
    pinfold = getattr(system, "pinfold", None)
    if pinfold is None:
        raise CannotDo("no memory limit per call")
    try:
        call.limits = pinfold.Limits(memory_bytes=256 << 20)
    except ValueError as error:
        raise CannotDo(f"memory limits are not there yet: {error}") from None


def tables(results: Results) -> list[Table]:
    from bench.results import seconds
    from bench.systems import title
    from bench.tables import Table

    table = Table(
        f"{TITLE}: the others' p99, and how many of them failed",
        ["system", "no bad call", *(f"one {kind}" for kind in BAD)],
    )
    for system in results.rounds:
        row = [title(system)]
        for kind in ("nothing", *BAD):
            p99 = results.median(system, kind)
            if p99 is None:
                row.append(f"cannot: {results.reason(system, kind)}")
                continue
            ratio = results.ratio((system, kind), (system, "nothing"))
            failed = results.worst(system, f"{kind} failed") or 0
            row.append(
                f"{seconds(p99)}, {failed:.0f} failed" + (f", × {ratio}" if kind in BAD else "")
            )
        table.rows.append(row)
    return [table]

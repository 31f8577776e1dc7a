# SPDX-License-Identifier: Apache-2.0
"""A thousand calls of which some hang and some crash, and their effect on the others."""

from __future__ import annotations

import os

from bench.measure import now, stream
from bench.programs import CRASH, DEADLOCK, SPIN, TRIVIAL
from bench.systems import PEERS, make
from bench.systems.base import Call
from bench.systems.pools import Joblib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from bench.results import Results
    from bench.tables import Table

TITLE = "1,000 calls of which 1 % hang and 1 % crash"
ABOUT = (
    "Eight workers have eight calls in flight, with a deadline of 1 s where the system has "
    "deadlines. Half of the hanging calls wait for a lock, half compute for ever; a crash is a "
    "read from address 0. Goodput is the values of good calls per second, until all calls ended,"
    " none did for 5 s, or 15 s passed."
)
LIMIT_S = 45.0
CALLS = 1000
GOOD = CALLS * 98 // 100
BOUND_S = 15.0
ENTRIES = {
    "pinfold-fresh": 2,
    "pinfold-reuse": 2,
    **dict.fromkeys(PEERS, 1),
}


def measure(system: str, number: int) -> Iterator[dict[str, Any]]:
    under_test = make(system)
    under_test.open(8)
    if under_test.cannot_kill:
        yield {"cannot kill": under_test.cannot_kill}
    bad = {37: DEADLOCK, 73: CRASH, 137: SPIN, 173: CRASH}
    calls = [Call(bad.get(index % 200, TRIVIAL), index) for index in range(CALLS)]
    under_test.run([Call(TRIVIAL, 7)] * 16)
    if isinstance(under_test, Joblib):
        yield from batch(under_test, calls)
        return
    began = now()
    ends = stream(under_test, calls, 8, [1.0] * CALLS, BOUND_S)
    took = now() - began
    good = [end for end in ends if end.index % 200 not in bad]
    ok = sum(end.outcome == "ok" for end in good)
    failed = sum(end.outcome not in ("", "ok") for end in good)
    if ok == GOOD:
        yield {"goodput": ok / took}
    else:
        yield {"cannot goodput": f"only {ok} of the {GOOD} others came back"}
    yield {
        "took_s": took,
        "ok": ok,
        "failed": failed,
        "never": GOOD - ok - failed,
        "timeouts": sum(
            end.outcome == "timeout" for end in ends if bad.get(end.index % 200) in (DEADLOCK, SPIN)
        ),
        "crashes": sum(
            end.outcome not in ("", "ok", "timeout")
            for end in ends
            if bad.get(end.index % 200) is CRASH
        ),
    }
    os.write(3, b"{}\n")
    os._exit(0)  # a pool with hung workers may never close


def batch(system: Joblib, calls: list[Call]) -> Iterator[dict[str, Any]]:
    """Run all calls in one batch, which joblib requires; the first crash ends it."""
    began = now()
    values = 0
    told = 0
    try:
        for _ in system.values(calls):
            values += 1
    except Exception:
        told = 1
    yield {
        "cannot goodput": f"only {values} of the {GOOD} others came back",
        "took_s": now() - began,
        "ok": values,
        "failed": GOOD - values,
        "never": 0,
        "timeouts": 0,
        "crashes": told,
    }
    os.write(3, b"{}\n")
    os._exit(0)


def tables(results: Results) -> list[Table]:
    from bench.results import number, seconds
    from bench.systems import title
    from bench.tables import Column, Table, by_system

    goodput = by_system(
        TITLE,
        results,
        [
            Column("goodput", "goodput, values/s", number, less_is_better=False),
            Column("took_s", "took", seconds, compared=False),
        ],
    )
    others = Table(
        f"{TITLE}: what became of the 980 others",
        ["system", "value", "failed", "no end", "hangs ended", "crashes reported", ""],
    )
    for system in results.rounds:
        reason = results.reason(system, "ok")
        if reason is not None:
            others.rows.append([title(system), f"cannot: {reason}", "", "", "", "", ""])
            continue
        figures = ("ok", "failed", "never", "timeouts", "crashes")
        shown = [f"{results.median(system, figure):.0f}" for figure in figures]
        shown[3:] = [f"{shown[3]} of 10", f"{shown[4]} of 10"]
        remark = results.reason(system, "kill") or ""
        others.rows.append([title(system), *shown, "" if remark == "not measured" else remark])
    return [goodput, others]

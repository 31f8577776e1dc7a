# SPDX-License-Identifier: Apache-2.0
"""The time between an endless call's deadline and its real end, with all cores busy."""

from __future__ import annotations

import os

from bench.measure import cpus, median, percentile, stream
from bench.programs import SPIN, TRIVIAL
from bench.systems import PEERS, make
from bench.systems.base import Call, CannotDo

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from bench.results import Results
    from bench.tables import Table

TITLE = "Deadline overshoot with all cores busy"
ABOUT = (
    "Endless loops with a deadline of 0.05 s run, first one for each core at once, then four "
    "times as many. The overshoot lasts from the deadline until the caller's callback reports "
    "the kill; 104 calls of each load a round."
)
LIMIT_S = 40.0
DEADLINE_S = 0.05
CALLS = 104
ENTRIES = {
    "pinfold-fresh": 2,
    "pinfold-reuse": 2,
    **dict.fromkeys(PEERS, 1),
}


def measure(system: str, number: int) -> Iterator[dict[str, Any]]:
    under_test = make(system)
    if under_test.cannot_kill:
        raise CannotDo(under_test.cannot_kill)
    cores = cpus()
    under_test.open(4 * cores)
    under_test.run([Call(TRIVIAL, 7)] * 16)
    for load, loops in (("", cores), ("4x_", 4 * cores)):
        ends = stream(under_test, [Call(SPIN, 0)] * CALLS, loops, [DEADLINE_S] * CALLS, 20.0)
        late = [end.ended - end.began - DEADLINE_S for end in ends if end.outcome == "timeout"]
        if len(late) < CALLS:
            others = {end.outcome or "no end" for end in ends} - {"timeout"}
            yield {"remark": f"{CALLS - len(late)} of {CALLS} ended otherwise: {', '.join(others)}"}
        if not late:
            raise CannotDo(f"no call was ended by its deadline: {', '.join(others)}")
        yield {
            f"{load}median_s": median(late),
            f"{load}p99_s": percentile(late, 99),
            f"{load}worst_s": max(late),
        }
    os.write(3, b"{}\n")
    os._exit(0)


def tables(results: Results) -> list[Table]:
    from bench.results import seconds
    from bench.systems import title
    from bench.tables import Column, by_system

    table = by_system(
        TITLE,
        results,
        [
            Column("p99_s", "p99", seconds),
            Column("median_s", "median", seconds, compared=False),
            Column("worst_s", "worst", seconds, compared=False),
            Column("4x_p99_s", "four to a core: p99", seconds),
            Column("4x_median_s", "median", seconds, compared=False),
            Column("4x_worst_s", "worst", seconds, compared=False),
        ],
    )
    for system, answers in results.rounds.items():
        if answers and "remark" in answers[0]:
            table.notes.append(f"{title(system)}: {answers[0]['remark']}.")
    return [table]

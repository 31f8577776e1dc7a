"""How long after its deadline a call that never ends has really ended, all cores busy."""

from __future__ import annotations

import os

from bench.measure import median, percentile, stream
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
    "Eight workers, eight calls in flight, each an endless loop with a deadline of 0.25 s: four "
    "times as many busy processes as cores. From the deadline to the moment at which the "
    "caller's callback says that the call was killed; 104 calls a round."
)
LIMIT_S = 30.0
DEADLINE_S = 0.25
CALLS = 104
ENTRIES = {
    "pinfold-fresh": 3,
    "pinfold-reuse": 3,
    **dict.fromkeys(PEERS, 1),
}


def measure(system: str, number: int) -> Iterator[dict[str, Any]]:
    under_test = make(system)
    if under_test.cannot_kill:
        raise CannotDo(under_test.cannot_kill)
    under_test.open(8)
    under_test.run([Call(TRIVIAL, 7)] * 16)
    ends = stream(under_test, [Call(SPIN, 0)] * CALLS, 8, [DEADLINE_S] * CALLS, 20.0)
    late = [end.ended - end.began - DEADLINE_S for end in ends if end.outcome == "timeout"]
    if len(late) < CALLS:
        others = {end.outcome or "no end in 20 s" for end in ends} - {"timeout"}
        yield {"remark": f"{CALLS - len(late)} of {CALLS} ended otherwise: {', '.join(others)}"}
    if not late:
        raise CannotDo(f"no call was ended by its deadline: {', '.join(others)}")
    yield {"median_s": median(late), "p99_s": percentile(late, 99), "worst_s": max(late)}
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
        ],
    )
    for system, answers in results.rounds.items():
        if answers and "remark" in answers[0]:
            table.notes.append(f"{title(system)}: {answers[0]['remark']}.")
    return [table]

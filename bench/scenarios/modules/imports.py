# SPDX-License-Identifier: Apache-2.0
"""The cost of an import in a call, and how preloading and reuse avoid it."""

from __future__ import annotations

from bench.measure import median, now
from bench.systems.base import Call
from bench.systems.pinfold import Pinfold

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from bench.results import Results
    from bench.tables import Table

TITLE = "Imports in calls"
ABOUT = (
    "Each program imports a library and returns at once. One worker runs one call after another;"
    " the figure is the median of 10 after 3."
)
LIMIT_S = 60.0
LIBRARIES = ("numpy", "scipy.optimize")
FIRST, THEN = 3, 10
WAYS: dict[str, dict[str, Any]] = {
    "fresh, nothing preloaded": {"isolation": "fresh"},
    "fresh, preloaded": {"isolation": "fresh", "preload": True},
    "reuse, nothing preloaded": {"isolation": "reuse"},
}
ENTRIES = {"pinfold-fresh": 2}


def measure(system: str, number: int) -> Iterator[dict[str, Any]]:
    for library in LIBRARIES:
        call = Call(f"import {library}\n\ndef f(x):\n    return x\n", 7)
        for way, how in WAYS.items():
            under_test = Pinfold(how["isolation"])
            under_test.open_with(max_workers=1, preload=(library,) if "preload" in how else ())
            for _ in range(FIRST):
                under_test.call(call)
            wall, cpu = zip(*[cost(under_test, call) for _ in range(THEN)], strict=True)
            under_test.close()
            yield {f"{library}, {way} s": median(wall), f"{library}, {way} cpu_s": median(cpu)}


def cost(under_test: Pinfold, call: Call) -> tuple[float, float]:
    """Return the seconds that a call takes, and its seconds of processor time."""
    began = now()
    result = under_test.submit(call).result()
    took = now() - began
    return took, result.metrics.user_time_s + result.metrics.sys_time_s


def tables(results: Results) -> list[Table]:
    from bench.results import seconds
    from bench.tables import of_figures

    rows = [
        (f"`import {library}`, {way}: {what}", f"{library}, {way} {metric}", seconds)
        for library in LIBRARIES
        for way in WAYS
        for what, metric in (("takes", "s"), ("processor time", "cpu_s"))
    ]
    return [of_figures(TITLE, results, rows)]

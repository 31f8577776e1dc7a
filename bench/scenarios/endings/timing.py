# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: RUF001
"""The variation of a computation's time, alone and beside a full load of others."""

from __future__ import annotations

from bench import limits
from bench.measure import cpus, median, percentile
from bench.programs import BURN, WORK
from bench.systems.base import Call, CannotDo
from bench.systems.pinfold import Pinfold
from bench.worker import run_source

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from bench.results import Results
    from bench.tables import Table

TITLE = "A timing beside a full load of others"
ABOUT = (
    "A program computes some 20 ms of the same work and reports how long it took: 50 times alone"
    " and 50 times while every other worker computes, in turns of ten. Each CPU has one worker, "
    "with and without `cpus_per_worker=1`; bare processes, one to each CPU, run without a pool. "
    "*Varies* is the distance from the 10th to the 90th percentile, divided by the median. "
    "Waiting is `ExecutionMetrics.cpu_wait_s`: the time in which the CPU ran others, this "
    "machine's other load included."
)
LIMIT_S = 40.0
TIMES, TURN = 50, 10
ENTRIES = {"limit-pinned": 2, "pinfold-fresh": 2, "pinfold-reuse": 2}


def measure(system: str, number: int) -> Iterator[dict[str, Any]]:
    if cpus() < 2:
        raise CannotDo("takes two CPUs")
    if system == "limit-pinned":
        yield bare()
        return
    for name, pinned in (("pinned", 1), ("free", None)):
        under_test = Pinfold(system.removeprefix("pinfold-"))
        under_test.open_with(max_workers=cpus(), cpus_per_worker=pinned)
        under_test.run([Call(WORK, 7)] * 4)
        times: dict[str, list[float]] = {"alone": [], "loaded": []}
        waits: dict[str, list[float]] = {"alone": [], "loaded": []}
        for _ in range(TIMES // TURN):
            for kind in times:
                load = cpus() - 1 if kind == "loaded" else 0
                stop = keep_busy(under_test, load)
                for _ in range(TURN):
                    result = under_test.submit(Call(WORK, 7)).result()
                    times[kind].append(result.unwrap())
                    waits[kind].append(result.metrics.cpu_wait_s or 0.0)
                stop()
        under_test.close()
        yield figures(name, times)
        if pinned:
            yield {f"{kind} waits_s": median(waits[kind]) for kind in waits}


def bare() -> dict[str, float]:
    """Time the work in this process beside busy processes, one to each CPU, without a pool."""
    times: dict[str, list[float]] = {"alone": [], "loaded": []}
    for _ in range(TIMES // TURN):
        for kind in times:
            with limits.pinned(beside=kind == "loaded"):
                times[kind] += [run_source(WORK, "f", [7]) for _ in range(TURN)]
    return figures("pinned", times)


def figures(name: str, times: dict[str, list[float]]) -> dict[str, float]:
    alone, loaded = (varies(times[kind]) for kind in ("alone", "loaded"))
    return {
        f"{name} alone_s": median(times["alone"]),
        f"{name} loaded_s": median(times["loaded"]),
        f"{name} slower": median(times["loaded"]) / median(times["alone"]),
        f"{name} alone varies": alone,
        f"{name} loaded varies": loaded,
        f"{name} varies more": loaded / alone,
    }


def varies(times: list[float]) -> float:
    return (percentile(times, 90) - percentile(times, 10)) / median(times)


def keep_busy(system: Pinfold, count: int) -> Any:
    """Keep `count` computing calls running. Return the function that ends them."""
    going = True
    running = [system.submit(Call(BURN, 0.2)) for _ in range(count)]

    def again(number: int) -> None:
        if going:
            running[number] = system.submit(Call(BURN, 0.2))
            running[number].add_done_callback(lambda _: again(number))

    for number, future in enumerate(list(running)):
        future.add_done_callback(lambda _, number=number: again(number))

    def stop() -> None:
        nonlocal going
        going = False
        for future in list(running):
            future.result()

    return stop


def tables(results: Results) -> list[Table]:
    from bench.results import number, seconds
    from bench.tables import of_figures

    def times(value: float) -> str:
        return f"× {number(value)}"

    def percent(value: float) -> str:
        return f"{value:.1%}"

    rows = []
    for name, how in (("pinned", "`cpus_per_worker=1`"), ("free", "without")):
        rows += [
            (f"{how}: alone", f"{name} alone_s", seconds),
            (f"{how}: beside a full load", f"{name} loaded_s", seconds),
            (f"{how}: slower by", f"{name} slower", times),
            (f"{how}: alone it varies", f"{name} alone varies", percent),
            (f"{how}: beside a full load it varies", f"{name} loaded varies", percent),
            (f"{how}: more by", f"{name} varies more", times),
        ]
    rows += [
        ("`cpus_per_worker=1`: waiting, alone", "alone waits_s", seconds),
        ("`cpus_per_worker=1`: waiting, beside a full load", "loaded waits_s", seconds),
    ]
    return [of_figures(TITLE, results, rows)]

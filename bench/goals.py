# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: RUF001
"""The goals of the design, each compared with the measured figures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from bench.results import Ratio, Results, number, seconds, size
from bench.tables import Table

MIB = 1 << 20
MET, NOT_MET, NOT_MEASURED = "met", "**not met**", "not measured"


class Verdict(NamedTuple):
    """The measured figures as text, and whether they meet the goal (None: not measured)."""

    measured: str
    met: bool | None


class Goal(NamedTuple):
    """One row of the goals' table. `judge` returns None if its scenario was not run."""

    what: str
    wanted: str
    judge: Callable[[Mapping[str, Results]], Verdict | None]


def ratio(
    scenario: str,
    above: tuple[str, str],
    below: tuple[str, str],
    least: float = 0.0,
    most: float = float("inf"),
) -> Callable[[Mapping[str, Results]], Verdict | None]:
    """Return a judge for one figure divided by another, round by round."""

    def judge(measured: Mapping[str, Results]) -> Verdict | None:
        if scenario not in measured:
            return None
        results = measured[scenario]
        found = results.ratio(above, below)
        if found is None:
            reasons = (results.reason(*side) for side in (above, below))
            return Verdict(next(reason for reason in reasons if reason), None)
        return Verdict(f"× {_with_rounds(found)}", least <= found.median <= most)

    return judge


def _with_rounds(found: Ratio) -> str:
    return f"{found}, {found.rounds} round{'s' if found.rounds > 1 else ''}"


def at_most(
    scenario: str, figure: tuple[str, str], most: float, shown: Callable[[float], str]
) -> Callable[[Mapping[str, Results]], Verdict | None]:
    """Return a judge for the median of one figure over the rounds."""

    def judge(measured: Mapping[str, Results]) -> Verdict | None:
        if scenario not in measured:
            return None
        results = measured[scenario]
        found = results.median(*figure)
        if found is None:
            return Verdict(results.reason(*figure) or "", None)
        values = [value for value in results.values(*figure) if value is not None]
        spread = f"{shown(found)} ({shown(min(values))}..{shown(max(values))})"
        return Verdict(spread, found <= most)

    return judge


def neighbours(mode: str) -> Callable[[Mapping[str, Results]], Verdict | None]:
    """Return a judge that a bad call lets no other call fail, and that their p99 hardly grows."""

    def judge(measured: Mapping[str, Results]) -> Verdict | None:
        if "neighbours" not in measured:
            return None
        results = measured["neighbours"]
        told = []
        met: bool | None = True
        for kind in ("hangs", "crashes", "eats memory"):
            found = results.ratio((mode, kind), (mode, "nothing"))
            if found is None:
                told.append(f"{kind}: {results.reason(mode, kind)}")
                met = None if met else met
                continue
            failed = results.worst(mode, f"{kind} failed") or 0
            told.append(f"{kind}: {failed:.0f} failed, p99 × {found}")
            if failed or found.median > 1.2:
                met = False
        return Verdict("; ".join(told), met)

    return judge


def elsewhere(where: str) -> Callable[[Mapping[str, Results]], Verdict | None]:
    return lambda measured: Verdict(where, None)


FRESH, REUSE = "pinfold-fresh", "pinfold-reuse"
ARRAY = f"array {256 * MIB}"

GOALS = [
    Goal(
        "`reuse`, trivial call, median round trip",
        "≤ 0.35 × loky",
        ratio("roundtrip", (REUSE, "idle_s"), ("loky", "idle_s"), most=0.35),
    ),
    *(
        Goal(
            f"`reuse`, 5,000 trivial calls, throughput, {workers}",
            f"≥ {least} × {peer}",
            ratio("throughput", (REUSE, count), (name, count), least=least),
        )
        for workers, count in (("1 worker", "1"), ("2 workers", "2"), ("8 workers", "8"))
        for least, peer, name in ((5, "loky", "loky"), (1.5, "`Pool.apply_async`", "pool"))
    ),
    Goal(
        "`fresh`, numpy preloaded, throughput",
        "≥ 50 × a new `python -c 'import numpy'` per call",
        ratio("fresh", (FRESH, "rate"), ("limit-python", "rate"), least=50),
    ),
    Goal(
        "the same",
        "≥ 50 × a new python per call, two at a time",
        ratio("fresh", (FRESH, "rate"), ("new-python", "rate"), least=50),
    ),
    Goal(
        "the same",
        "≥ 1.0 × a bare fork+exit+wait loop of the same interpreter",
        ratio("fresh", (FRESH, "rate"), ("limit-fork", "rate"), least=1.0),
    ),
    *(
        Goal(
            f"`fresh`, a program {kind}, {name} at a time",
            "≥ 10 × faster than `python main.py < case`",
            ratio("programs", ("limit-main", figure), (FRESH, figure), least=10),
        )
        for kind in ("plain", "with numpy")
        for name in ("one", "two")
        for figure in (f"{kind}, {name}",)
    ),
    Goal(
        '`preload="auto"`, throughput after 20 calls that import a module of 500 ms',
        "within 1.2 × of a preload by hand",
        at_most("learning", (FRESH, "behind"), 1.2, lambda value: f"× {number(value)}"),
    ),
    *(
        Goal(
            f"`fresh` beside a dataset of 1 GiB in the template ({kind}), median round trip",
            "≤ 2 × without it",
            at_most("setup", (FRESH, kind), 2.0, lambda value: f"× {number(value)}"),
        )
        for kind in ("array", "strings", "floats")
    ),
    Goal(
        "`fresh`, half-loaded, median round trip",
        "≤ 1.5 × `reuse`",
        ratio("roundtrip", (FRESH, "half_s"), (REUSE, "half_s"), most=1.5),
    ),
    *(
        goal
        for mode in (FRESH, REUSE)
        for goal in (
            Goal(
                f"256 MiB array as a result, `{mode.removeprefix('pinfold-')}`",
                "≥ 10 × faster than loky",
                ratio("results", ("loky", ARRAY), (mode, ARRAY), least=10),
            ),
            Goal(
                "the same",
                "≤ 1.5 × (make it + write it once)",
                ratio("results", (mode, ARRAY), ("limit-write", ARRAY), most=1.5),
            ),
        )
    ),
    *(
        Goal(
            f"300,000 prints, `{mode}`",
            "≤ 1.5 × plain Python",
            at_most("print", (FRESH, f"{mode} ratio"), 1.5, lambda value: f"× {number(value)}"),
        )
        for mode in ("fresh", "reuse", "spawn", "standard", "strict")
    ),
    Goal(
        "4 GiB array as a result: growth of the caller's RSS until it is touched",
        "< 32 MiB",
        at_most("huge", (FRESH, "rss"), 32 * MIB - 1, size),
    ),
    *(
        Goal(
            f"import to first value, `{mode.removeprefix('pinfold-')}`",
            "≤ 0.5 × loky",
            ratio("cold", (mode, "first_value_s"), ("loky", "first_value_s"), most=0.5),
        )
        for mode in (FRESH, REUSE)
    ),
    *(
        Goal(
            f"one bad call among 1,000, `{mode.removeprefix('pinfold-')}`",
            "no other call fails; their p99 ≤ 1.2 ×",
            neighbours(mode),
        )
        for mode in (FRESH, REUSE)
    ),
    *(
        Goal(
            f"deadline overshoot with {busy}, `{mode.removeprefix('pinfold-')}`",
            "p99 ≤ 20 ms",
            at_most("deadline", (mode, figure), 0.020, seconds),
        )
        for mode in (FRESH, REUSE)
        for busy, figure in (
            ("both cores busy", "p99_s"),
            ("four endless loops to a core", "4x_p99_s"),
        )
    ),
    *(
        Goal(
            f"`fresh`, what `{level}` adds to {what}",
            f"< {most * 1000:g} ms",
            at_most("sandbox", (FRESH, f"{level} {figure}"), most, seconds),
        )
        for level, most in (("standard", 0.001), ("strict", 0.003))
        for what, figure in (("a round trip", "more_s"), ("each of many calls", "each_s"))
    ),
    *(
        Goal(
            f"timings on CPUs of its own beside a full load, `{mode.removeprefix('pinfold-')}`",
            "vary ≤ 1.3 × what they vary alone",
            at_most(
                "timing", (mode, "pinned varies more"), 1.3, lambda value: f"× {number(value)}"
            ),
        )
        for mode in (FRESH, REUSE)
    ),
    Goal(
        "memory of 100,000 queued trivial calls",
        "< 1.5 KiB each",
        at_most("queue", (REUSE, "bytes"), 1535, lambda value: f"{number(value)} bytes"),
    ),
    *(
        Goal(
            f"processor time of a call, `{mode.removeprefix('pinfold-')}`, {what}",
            "does not grow (≤ 1.5 ×)",
            at_most("scale", (mode, figure), 1.5, lambda value: f"× {number(value)}"),
        )
        for mode, what, figure in (
            (FRESH, "100 workers to 1", "100 workers"),
            (REUSE, "100 workers to 1", "100 workers"),
            (FRESH, "1,000 calls queued to 10", "1000 queued"),
            (REUSE, "100,000 calls queued to 10", "100000 queued"),
        )
    ),
    Goal(
        "64 idle `fresh` spares of a numpy template: private memory of the largest",
        "< 3 MiB",
        at_most("spares", (FRESH, "private_most"), 3 * MIB - 1, size),
    ),
    Goal(
        "`kill -9` of the caller, template or any worker, 10,000 times",
        "0 orphans, zombies, files, descriptors left; 0 results lost or doubled",
        elsewhere("no speed: a matter of the tests"),
    ),
    Goal(
        "a million calls",
        "no growth of memory, descriptors or threads",
        elsewhere("no speed: a matter of the tests"),
    ),
]


def table(measured: Mapping[str, Results]) -> Table:
    """Return the table of all goals whose scenarios were run."""
    made = Table("Goals", ["what", "goal", "measured", ""])
    for goal in GOALS:
        verdict = goal.judge(measured)
        if verdict is not None:
            word = {True: MET, False: NOT_MET, None: NOT_MEASURED}[verdict.met]
            made.rows.append([goal.what, goal.wanted, verdict.measured, word])
    return made

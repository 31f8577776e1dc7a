# SPDX-License-Identifier: Apache-2.0
"""The results of measurements, ratios with their spread, and figures as text."""

from __future__ import annotations

from typing import Any, NamedTuple

from bench.measure import median


class Ratio(NamedTuple):
    """The median of ratios of figures from the same round, with the smallest and the largest."""

    median: float
    low: float
    high: float
    rounds: int

    def __str__(self) -> str:
        if self.rounds == 1:
            return f"{number(self.median)}"
        return f"{number(self.median)} ({number(self.low)}..{number(self.high)})"


class Results:
    """One scenario's measurements: for each system, the figures of each round."""

    def __init__(self, rounds: dict[str, list[dict[str, Any]]]) -> None:
        self.rounds = rounds

    def reason(self, system: str, metric: str | None = None) -> str | None:
        """Return why there is no measurement; None if there is one."""
        answers = self.rounds.get(system)
        if not answers:
            return "not run"
        for answer in answers:
            if metric in answer or (metric is None and "cannot" not in answer):
                return None
        answer = answers[0]
        return str(answer.get(f"cannot {metric}", answer.get("cannot", "not measured")))

    def values(self, system: str, metric: str) -> list[float | None]:
        """Return the metric of each round; None for rounds without it."""
        return [answer.get(metric) for answer in self.rounds.get(system, [])]

    def median(self, system: str, metric: str) -> float | None:
        """Return the median over the rounds."""
        found = [value for value in self.values(system, metric) if value is not None]
        return median(found) if found else None

    def worst(self, system: str, metric: str) -> float | None:
        """Return the largest over the rounds."""
        found = [value for value in self.values(system, metric) if value is not None]
        return max(found) if found else None

    def ratio(self, above: tuple[str, str], below: tuple[str, str]) -> Ratio | None:
        """Return the ratio of one (system, metric) to another, round by round."""
        pairs = zip(self.values(*above), self.values(*below), strict=False)
        ratios = [a / b for a, b in pairs if a is not None and b is not None and b > 0]
        if not ratios:
            return None
        return Ratio(median(ratios), min(ratios), max(ratios), len(ratios))


def number(value: float) -> str:
    """Format a figure with three significant digits."""
    if value == 0:
        return "0"
    size = abs(value)
    if size >= 1000:
        return f"{value:,.0f}"
    if size >= 100:
        return f"{value:.0f}"
    if size >= 10:
        return f"{value:.1f}"
    if size >= 0.1:
        return f"{value:.2f}"
    return f"{value:.3f}" if size >= 0.01 else f"{value:.2g}"


def seconds(value: float) -> str:
    """Format a duration in the unit that suits it."""
    for factor, unit in ((1, "s"), (1e3, "ms"), (1e6, "µs")):
        if value * factor >= 1 or unit == "µs":
            return f"{number(value * factor)} {unit}"
    raise AssertionError


def size(count: float) -> str:
    """Format a size in the binary unit that suits it."""
    for shift, unit in ((30, "GiB"), (20, "MiB"), (10, "KiB")):
        if count >= 1 << shift:
            return f"{number(count / (1 << shift)).removesuffix('.00').removesuffix('.0')} {unit}"
    return f"{count:.0f} B"

# SPDX-License-Identifier: Apache-2.0
"""Draw the chart of docs/lab/benchmarks.md: bars on logarithmic scales, in SVG, light and dark."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from html import escape

from bench.results import Results, number, seconds
from bench.systems import title
from bench.tables import plain

WIDTH = 920
PANEL_GAP, MARGIN = 36, 20
NAMES_WIDTH, VALUES_WIDTH = 156, 74
ROW, BAR, HEAD = 19, 11, 48
LONGEST_REASON = 44

STYLE = """\
text { font: 12px system-ui, -apple-system, 'Segoe UI', sans-serif; fill: #3d444d }
.title { font-size: 14px; font-weight: 600; fill: #1f2328 }
.how { font-size: 11px; fill: #6a737d }
.ours { font-weight: 600; fill: #1f2328 }
.cannot { font-size: 11px; font-style: italic; fill: #6a737d }
.bar { fill: #b6bfca } .bar.ours { fill: #0f766e } .bar.limit { fill: none; stroke: #8c959f;
  stroke-dasharray: 3 2 }
.grid { stroke: #8c959f; stroke-opacity: .28; stroke-width: 1 }
@media (prefers-color-scheme: dark) {
  text { fill: #b7bfc8 } .title, .ours { fill: #f0f3f6 } .how, .cannot { fill: #8d96a0 }
  .bar { fill: #4d5763 } .bar.ours { fill: #2dd4bf } .bar.limit { stroke: #8d96a0 }
}
"""


@dataclass(frozen=True)
class Panel:
    """One group of bars. Below them are the systems without a figure, with the reason."""

    title: str
    scenario: str
    metric: str
    shown: Callable[[float], str]
    less_is_better: bool


def _rate(value: float) -> str:
    return f"{number(value)}/s"


PANELS = (
    Panel("Round trip of a trivial call", "roundtrip", "idle_s", seconds, True),
    Panel("Trivial calls per second, 2 workers", "throughput", "2", _rate, False),
    Panel("A new process per call, with numpy", "fresh", "rate", _rate, False),
    Panel("256 MiB array as a result", "results", f"array {256 << 20}", seconds, True),
    Panel("1,000 calls, 1 % hang, 1 % crash: goodput", "failures", "goodput", _rate, False),
    Panel("Import to the first value", "cold", "first_value_s", seconds, True),
)


def draw(measured: Mapping[str, Results]) -> str:
    """Return the SVG of the whole chart, with two panels in each row."""
    panel_width = (WIDTH - 2 * MARGIN - PANEL_GAP) // 2
    parts: list[str] = []
    top = MARGIN
    for pair in (PANELS[i : i + 2] for i in range(0, len(PANELS), 2)):
        heights = []
        for column, panel in enumerate(pair):
            left = MARGIN + column * (panel_width + PANEL_GAP)
            drawn, height = _panel(panel, measured[panel.scenario], left, top, panel_width)
            parts += drawn
            heights.append(height)
        top += max(heights) + PANEL_GAP // 2
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {top}" role="img">\n'
        "<title>Pinfold beside other pools</title>\n"
        f"<style>\n{STYLE}</style>\n" + "\n".join(parts) + "\n</svg>\n"
    )


def _panel(
    panel: Panel, results: Results, left: int, top: int, width: int
) -> tuple[list[str], int]:
    found = [
        (value, name)
        for name in results.rounds
        if (value := results.median(name, panel.metric)) is not None and value > 0
    ]
    found.sort(reverse=not panel.less_is_better)
    parts = [
        f'<text class="title" x="{left}" y="{top + 14}">{escape(panel.title)}</text>',
        f'<text class="how" x="{left}" y="{top + 31}">'
        f"{'shorter' if panel.less_is_better else 'longer'} is better; logarithmic scale</text>",
    ]
    if not found:
        return parts, HEAD
    least, most = min(found)[0], max(found)[0]
    low = 10 ** math.floor(math.log10(least * 0.7))
    high = most
    room = width - NAMES_WIDTH - VALUES_WIDTH
    start = left + NAMES_WIDTH

    def across(value: float) -> float:
        return room * math.log(value / low) / math.log(high / low)

    bottom = top + HEAD + ROW * len(found)
    decade = low
    while decade <= high:
        x = start + across(decade)
        line = f'x1="{x:.1f}" x2="{x:.1f}" y1="{top + HEAD - 6}" y2="{bottom}"'
        parts.append(f'<line class="grid" {line}/>')
        decade *= 10
    for index, (value, name) in enumerate(found):
        y = top + HEAD + ROW * index
        kind = {"pinfold": " ours", "limit": " limit"}.get(name.partition("-")[0], "")
        ours = ' class="ours"' if kind == " ours" else ""
        reach = max(1.0, across(value))
        parts += [
            f'<text{ours} x="{start - 8}" y="{y + 10}" text-anchor="end">'
            f"{escape(_short(name))}</text>",
            f'<rect class="bar{kind}" x="{start}" y="{y}" width="{reach:.1f}" height="{BAR}" '
            f'rx="2"/>',
            f'<text{ours} x="{start + reach + 6:.1f}" y="{y + 10}">{panel.shown(value)}</text>',
        ]
    drawn = {name for _, name in found}
    missing = [name for name in results.rounds if name not in drawn]
    for index, name in enumerate(missing, len(found)):
        y = top + HEAD + ROW * index + 10
        reason = results.reason(name, panel.metric) or ""
        if len(reason) > LONGEST_REASON:
            reason = reason[: LONGEST_REASON - 1] + "…"
        parts += [
            f'<text x="{start - 8}" y="{y}" text-anchor="end">{escape(_short(name))}</text>',
            f'<text class="cannot" x="{start}" y="{y}">{escape(reason)}</text>',
        ]
    return parts, HEAD + ROW * (len(found) + len(missing))


def _short(name: str) -> str:
    short = {
        "limit-ping": "socket ping-pong",
        "limit-fork": "bare fork + exit + wait",
        "limit-python": "python -c 'import numpy'",
        "limit-ones": "np.ones alone",
        "limit-write": "np.ones + write(2)",
        "futures-spawn": "futures (spawn)",
        "futures-forkserver": "futures (forkserver)",
        "new-python": "new python per call",
    }
    return short.get(name) or plain(title(name))

# SPDX-License-Identifier: Apache-2.0
"""Make tables, in Markdown for documents and in columns for a terminal."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from bench.measure import median
from bench.results import Results
from bench.systems import PINFOLD, title

BEHIND = "**behind**"


@dataclass
class Table:
    """Rows under a heading, with notes for the reader."""

    heading: str
    columns: list[str]
    rows: list[list[str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def markdown(self) -> str:
        lines = [f"### {self.heading}", ""] if self.heading else []
        lines += ["| " + " | ".join(self.columns) + " |", "|---" * len(self.columns) + "|"]
        lines += ["| " + " | ".join(row) + " |" for row in self.rows]
        for note in self.notes:
            lines += ["", note]
        return "\n".join(lines) + "\n"

    def terminal(self) -> str:
        rows = [[plain(cell) for cell in row] for row in [self.columns, *self.rows]]
        widths = [max(map(width, column)) for column in zip(*rows, strict=True)]
        lines = [plain(self.heading)]
        for number, row in enumerate(rows):
            cells = [cell + " " * (w - width(cell)) for cell, w in zip(row, widths, strict=True)]
            lines.append("  " + "  ".join(cells).rstrip())
            if number == 0:
                lines.append("  " + "  ".join("─" * w for w in widths))
        return "\n".join([*lines, *(f"  {plain(note)}" for note in self.notes)]) + "\n"


def plain(text: str) -> str:
    """Return the text without Markdown's marks."""
    return re.sub(r"\*\*|`|(?<!\w)\*|\*(?!\w)", "", text)


def width(text: str) -> int:
    """Return the columns that the text takes on a terminal."""
    return sum(0 if unicodedata.combining(c) else 1 for c in text)


@dataclass(frozen=True)
class Column:
    """A metric of all systems: its heading, its format, and whether less is better."""

    metric: str
    heading: str
    shown: Callable[[float], str]
    less_is_better: bool = True
    compared: bool = True
    """Whether ratios to Pinfold are shown beside it."""


def by_system(
    heading: str, results: Results, columns: Sequence[Column], notes: Sequence[str] = ()
) -> Table:
    """Return a table with a row per system.

    Each compared metric is followed by how many times better each Pinfold mode is. Above 1 Pinfold
    is ahead; ratios below 1 are marked.
    """
    modes = [mode for mode in PINFOLD if mode in results.rounds]
    names = ["system"]
    for column in columns:
        names.append(column.heading)
        if column.compared:
            names += [f"`{mode.removeprefix('pinfold-')}` is better by" for mode in modes]
    table = Table(heading, names, notes=list(notes))
    for system in results.rounds:
        row = [title(system)]
        for column in columns:
            row += _cells(results, system, column, modes)
        if len({cell for cell in row[1:] if cell}) == 1 and results.reason(system):
            row = [title(system), f"cannot: {results.reason(system)}", *[""] * (len(names) - 2)]
        table.rows.append(row)
    return table


def of_figures(
    heading: str,
    results: Results,
    rows: Sequence[tuple[str, str, Callable[[float], str]]],
    notes: Sequence[str] = (),
) -> Table:
    """Return a table with a row per figure and a column per system.

    A row is given by its name for people, its metric and its format. A cell has the median over the
    rounds, with the smallest and the largest.
    """
    table = Table(heading, ["", *map(title, results.rounds)], notes=list(notes))
    for name, metric, shown in rows:
        row = [name]
        for system in results.rounds:
            found = [value for value in results.values(system, metric) if value is not None]
            if not found:
                row.append(f"cannot: {results.reason(system, metric)}")
                continue
            spread = f" ({shown(min(found))}..{shown(max(found))})" if len(found) > 1 else ""
            row.append(f"{shown(median(found))}{spread}")
        table.rows.append(row)
    return table


def grid(
    heading: str,
    results: Results,
    columns: Sequence[Column],
    against: str,
    notes: Sequence[str] = (),
) -> Table:
    """Return a table with a row per system.

    A cell has the figure and, after "·", how many times better the Pinfold mode `against` is.
    """
    table = Table(heading, ["system", *(column.heading for column in columns)])
    for system in results.rounds:
        row = [title(system)]
        for column in columns:
            first, *rest = _cells(results, system, column, [against] if column.compared else [])
            row.append(f"{first} · {rest[0]}" if rest and rest[0] not in ("", "1") else first)
        cannot = {cell for cell in row[1:] if cell.startswith("cannot")}
        if len(cannot) == 1 and all(cell.startswith("cannot") for cell in row[1:]):
            row[2:] = [""] * (len(row) - 2)
        table.rows.append(row)
    table.notes = [
        f"After “·”: how many times better {title(against)} is, round by round: the median "
        f"(least..largest).",
        *notes,
    ]
    return table


def _cells(results: Results, system: str, column: Column, modes: Sequence[str]) -> list[str]:
    value = results.median(system, column.metric)
    if value is None:
        cells = [f"cannot: {results.reason(system, column.metric)}"]
        return cells + [""] * (len(modes) if column.compared else 0)
    cells = [column.shown(value)]
    if column.compared:
        cells += [_compared(results, system, mode, column) for mode in modes]
    return cells


def _compared(results: Results, system: str, mode: str, column: Column) -> str:
    theirs, ours = (system, column.metric), (mode, column.metric)
    if system == mode:
        return "1"
    ratio = results.ratio(theirs, ours) if column.less_is_better else results.ratio(ours, theirs)
    if ratio is None:
        return ""
    # Pinfold's own modes and the machine's limits are not rivals, so they get no mark.
    rival = system not in PINFOLD and not system.startswith("limit-")
    return f"{ratio} {BEHIND}" if rival and ratio.median < 1 else str(ratio)

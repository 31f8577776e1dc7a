# SPDX-License-Identifier: Apache-2.0
"""Evaluate a folder of candidate programs: honest ones, wrong ones and dangerous ones.

    python examples/circle_packing/demo.py [--workers N] [--deadline S]

Every candidate is a source text with a function `pack(n)`. It runs in a warm process of its own,
which is then killed with all processes that it started. `problem.verdict` judges its value in
another call, in another process. The demo uses only public names of Pinfold.
"""

from __future__ import annotations

import argparse
import asyncio
import ctypes
import os
import re
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy  # noqa: F401  (results are numpy arrays; start its threads before any are counted)
from problem import BEST_KNOWN, N

from pinfold import ExecutionMetrics, LocalBackend, WorkerCall, WorkerConfig, WorkerResult

HERE = Path(__file__).resolve().parent
CANDIDATES = HERE / "candidates"
WIDTH = 110

# The expectations of `--check`: the outcome, the least score (None: no score) and a part of the
# reason. Nothing else reads this table; the evaluation knows no candidate by name.
EXPECTED: dict[str, tuple[str, float | None, str]] = {
    "apollonian": ("exception", None, "'pack'"),
    "background_monitor": ("ok", 1.8, "valid"),
    "bordered_hexagon": ("ok", None, "overlap"),
    "column_layout": ("ok", None, "wrong shape"),
    "command_line": ("exception", None, "SystemExit"),
    "concentric_rings": ("ok", 1.7, "valid"),
    "exhaustive_cells": ("timeout", None, "killed after"),
    "force_directed": ("ok", 2.0, "valid"),
    "greedy_growth": ("ok", 2.3, "valid"),
    "hard_abort": ("exited", None, "3"),
    "hexagonal_rows": ("ok", 2.4, "valid"),
    "lagrangian_descent": ("exception", None, "SyntaxError"),
    "native_snapshot": ("signalled", None, "SIGSEGV"),
    "pixel_greedy": ("ok", None, "wrong shape"),
    "power_diagram": ("ok", None, "not finite"),
    "random_restart_lp": ("ok", 2.2, "valid"),
    "relax_until_stable": ("timeout", None, "killed after"),
    "self_certified": ("ok", None, "overlap"),
    "shrinking_steps": ("exception", None, "IndexError"),
    "simulated_annealing": ("ok", 2.2, "valid"),
    "slsqp_basin_hopping": ("ok", 2.6, "valid"),
    "slsqp_rows": ("ok", 2.5, "valid"),
    "square_grid": ("ok", 2.16, "valid"),
    "typed_result": ("bad_result", None, "Packing"),
    "verbose_trace": ("ok", 2.2, "print cut"),
    "voronoi_shapely": ("exception", None, "shapely"),
}

# Outcomes that are never the candidate's fault.
FAULTS = ("lost", "internal")


@dataclass(frozen=True)
class Evaluation:
    """One candidate: how its call ended, its metrics, and the judge's score of its value.

    The value itself is not kept, because it may be a mapped file of half a gigabyte.
    """

    name: str
    outcome: str
    metrics: ExecutionMetrics | None
    score: float | None
    reason: str


async def evaluate(backend: LocalBackend, path: Path, judge: str, deadline_s: float) -> Evaluation:
    """Run one candidate, then judge its value in a second call."""
    call = WorkerCall(code=path.read_text(), function_name="pack", args=[N])
    result = await backend.run(call, deadline_s=deadline_s)
    score = None
    if result.outcome != "ok":
        reason = why_no_value(result, deadline_s)
    else:
        call = WorkerCall(code=judge, function_name="verdict", args=[result.value, N])
        verdict = await backend.run(call, deadline_s=deadline_s)
        if verdict.outcome == "ok":
            score, reason = verdict.value["score"], verdict.value["reason"]
        else:
            reason = f"the judge: {verdict.outcome}, {why_no_value(verdict, deadline_s)}"
    if result.stdout_truncated:
        reason += f", print cut to {len(result.stdout) / 2**20:.0f} MiB"
    return Evaluation(path.stem, result.outcome, result.metrics, score, reason)


async def evaluate_all(
    backend: LocalBackend, paths: list[Path], workers: int, deadline_s: float, census: Census
) -> list[Evaluation]:
    """Evaluate every candidate, never more than `workers` at once.

    A deadline counts from the submit, so a call is submitted only when it can run at once.
    """
    judge = (HERE / "problem.py").read_text()
    slots = asyncio.Semaphore(workers)
    progress = Progress(len(paths))

    async def one(path: Path) -> Evaluation:
        async with slots:
            progress.started(path.stem)
            evaluation = await evaluate(backend, path, judge, deadline_s)
            progress.finished(evaluation)
            return evaluation

    async def watch() -> None:
        while True:
            census.look()
            progress.draw()
            await asyncio.sleep(0.1)

    watcher = asyncio.create_task(watch())
    try:
        return list(await asyncio.gather(*(one(path) for path in paths)))
    finally:
        watcher.cancel()
        progress.clear()


def why_no_value(result: WorkerResult, deadline_s: float) -> str:
    """Return why there is no value, in one line."""
    error = result.error
    if result.outcome == "exception":
        line = re.findall(r'File "user_code.py", line (\d+)', error.stderr)[-1:]
        message = re.sub(r" \(user_code.py, line \d+\)$", "", error.message)
        reason = "".join(f"line {at}: " for at in line) + f"{error.type}: {message}"
    elif result.outcome == "exited":
        reason = f"the process ended with status {error.returncode}"
    elif result.outcome == "signalled":
        reason = f"died of {signal.Signals(error.signal).name}{place(error.stack)}"
    elif result.outcome == "timeout":
        reason = f"killed after {deadline_s:g} s{place(error.stack)}"
    else:
        reason = error.message
    return " ".join(reason.split())


def place(stack: str) -> str:
    """Return where the candidate was: " at line 21, in relax", or "" if the stack has no such line.

    faulthandler writes the stack, with the innermost frame first.
    """
    frame = re.search(r'File "user_code.py", line (\d+) in (\S+)', stack)
    return f" at line {frame[1]}, in {frame[2]}" if frame else ""


class Progress:
    """A bar on a terminal, a plain line for each finished candidate elsewhere; on stderr."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.done = 0
        self.running: list[str] = []
        self.start = time.monotonic()
        self.bar = sys.stderr.isatty()

    def started(self, name: str) -> None:
        self.running.append(name)
        self.draw()

    def finished(self, evaluation: Evaluation) -> None:
        self.running.remove(evaluation.name)
        self.done += 1
        if not self.bar:
            print(
                f"[{self.done:2}/{self.total}] {evaluation.name}: {evaluation.outcome}, "
                f"{number(evaluation.score, '.6f')}, {evaluation.reason}",
                file=sys.stderr,
                flush=True,
            )
        self.draw()

    def draw(self) -> None:
        if not self.bar:
            return
        columns = min(shutil.get_terminal_size().columns - 1, WIDTH)
        filled = 30 * self.done // self.total
        line = (
            f"[{'#' * filled}{'.' * (30 - filled)}] {self.done}/{self.total} "
            f"{time.monotonic() - self.start:5.1f} s  {', '.join(self.running)}"
        )
        print(f"\r{line[:columns]:{columns}}", end="", file=sys.stderr, flush=True)

    def clear(self) -> None:
        if self.bar:
            columns = min(shutil.get_terminal_size().columns - 1, WIDTH)
            print("\r" + " " * columns, end="\r", file=sys.stderr, flush=True)


class Census:
    """Counts the leftovers of the pool: processes, files, descriptors, mappings, threads.

    Compares the state before the pool opens with that after it has closed. It makes this process a
    "child subreaper" (prctl(2)), which adopts all orphans among its descendants. So a daemon can
    leave its session and its process group, but not the tree below this process.
    """

    def __init__(self, spill_dir: Path) -> None:
        pr_set_child_subreaper = 36
        if ctypes.CDLL(None).prctl(pr_set_child_subreaper, 1, 0, 0, 0):
            raise OSError("this kernel has no child subreapers: leftovers could not be counted")
        self.spill_dir = spill_dir
        self.seen: set[tuple[int, int]] = set()
        self.descriptors = open_descriptors()
        self.mappings = mapped_spills(spill_dir)
        self.threads = thread_count()

    def look(self) -> None:
        """Remember the processes that exist now."""
        self.seen.update((pid, born) for pid, (born, _) in descendants().items())

    def leftovers(self) -> list[tuple[str, list[str], str]]:
        """Return the leftovers: (kind, the things, a remark) for each kind."""
        processes = [f"pid {pid} ({what})" for pid, (_, what) in descendants().items()]
        # A spill has no name, so it may also live on as a descriptor or a mapping of this process.
        descriptors = open_descriptors() - self.descriptors
        mappings = mapped_spills(self.spill_dir) - self.mappings
        threads = thread_count() - self.threads
        return [
            ("processes", processes, f"{len(self.seen)} were seen while the candidates ran"),
            ("files", sorted(map(str, self.spill_dir.rglob("*"))), "in the spill directory"),
            ("descriptors", sorted(map(str, descriptors)), "more open here than at the start"),
            ("mappings", sorted(mappings), "more of spills here than at the start"),
            ("threads", ["thread"] * max(threads, 0), "more here than at the start"),
        ]


def descendants() -> dict[int, tuple[int, str]]:
    """Return the processes below this one, with zombies: pid -> (start time, "name, state")."""
    parents: dict[int, int] = {}
    about: dict[int, tuple[int, str]] = {}
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            stat = Path("/proc", entry, "stat").read_text(errors="replace")
        except OSError:
            continue  # the process has ended
        # proc_pid_stat(5): the name is in parentheses and may contain parentheses.
        name = stat[stat.index("(") + 1 : stat.rindex(")")]
        fields = stat[stat.rindex(")") + 2 :].split()
        parents[int(entry)] = int(fields[1])
        about[int(entry)] = int(fields[19]), f"{name}, state {fields[0]}"

    below = {os.getpid()}
    size = 0
    while len(below) > size:
        size = len(below)
        below |= {pid for pid, parent in parents.items() if parent in below}
    return {pid: about[pid] for pid in sorted(below - {os.getpid()})}


def open_descriptors() -> set[tuple[int, str]]:
    found = set()
    for fd in os.listdir("/proc/self/fd"):
        try:
            found.add((int(fd), os.readlink(f"/proc/self/fd/{fd}")))
        except OSError:
            continue  # the descriptor of the listing itself
    return found


def mapped_spills(spill_dir: Path) -> set[str]:
    """Return the mappings of spills: unnamed files of the spill directory, and memfds."""
    with open("/proc/self/maps") as maps:
        return {
            line.strip()
            for line in maps
            if line.endswith("(deleted)\n") and (f" {spill_dir}/" in line or " /memfd:" in line)
        }


def thread_count() -> int:
    return len(os.listdir("/proc/self/task"))


def style(text: str, code: str) -> str:
    """Return the text in a colour or weight if stdout is a terminal and NO_COLOR is not set."""
    if not sys.stdout.isatty() or "NO_COLOR" in os.environ:
        return text
    return f"\033[{code}m{text}\033[0m"


def clipped(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 3] + "..."


def number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def print_table(evaluations: Iterable[Evaluation]) -> None:
    head = (
        f"{'candidate':19}  {'outcome':10}  {'score':>8}  "
        f"{'wall':>5}  {'CPU':>5}  {'peak':>5}  reason"
    )
    room = WIDTH - head.index("reason")
    print(style(head, "1"))
    print("-" * WIDTH)
    for evaluation in evaluations:
        metrics = evaluation.metrics
        wall = cpu = peak = None
        if metrics is not None:
            wall, peak = metrics.wall_time_s, metrics.peak_rss_kb / 1024
            cpu = metrics.user_time_s + metrics.sys_time_s
        colour = (
            "32" if evaluation.score is not None else "33" if evaluation.outcome == "ok" else "31"
        )
        print(
            f"{clipped(evaluation.name, 19):19}  {style(f'{evaluation.outcome:10}', colour)}  "
            f"{number(evaluation.score, '.6f'):>8}  {number(wall, '.2f'):>5}  "
            f"{number(cpu, '.2f'):>5}  {number(peak, '.0f'):>5}  "
            f"{clipped(evaluation.reason, room)}"
        )


def print_ranking(evaluations: Iterable[Evaluation]) -> None:
    scored = [evaluation for evaluation in evaluations if evaluation.score is not None]
    scored.sort(key=lambda evaluation: -evaluation.score)
    print(style(f"{'rank':>4}  {'candidate':19}  {'score':>8}  below the best known", "1"))
    print("-" * 57)
    for rank, evaluation in enumerate(scored, 1):
        below = max(BEST_KNOWN - evaluation.score, 0.0)
        print(f"{rank:4}  {evaluation.name:19}  {evaluation.score:.6f}  {below:20.6f}")


def print_leftovers(leftovers: list[tuple[str, list[str], str]]) -> None:
    print(style("left behind", "1"))
    for kind, things, remark in leftovers:
        print(f"  {kind:12} {len(things) or 'none':>4}  ({remark})")
        for thing in things:
            print(style(f"      {clipped(thing, WIDTH - 6)}", "31"))


def mismatches(evaluations: Iterable[Evaluation], all_of_them: bool) -> list[str]:
    """Return the differences between the evaluations and EXPECTED."""
    by_name = {evaluation.name: evaluation for evaluation in evaluations}
    found = [f"{name}: not in EXPECTED" for name in sorted(by_name.keys() - EXPECTED.keys())]
    if all_of_them:
        missing = sorted(EXPECTED.keys() - by_name.keys())
        found += [f"{name}: no such candidate" for name in missing]
    for name in sorted(EXPECTED.keys() & by_name.keys()):
        outcome, least, text = EXPECTED[name]
        got = by_name[name]
        as_expected = got.outcome == outcome and text in got.reason
        if least is None:
            as_expected &= got.score is None
        else:
            as_expected &= got.score is not None and least <= got.score <= BEST_KNOWN + 1e-6
        if not as_expected:
            wanted = f"{outcome}, score {'none' if least is None else f'>= {least}'}, '{text}'"
            found.append(
                f"{name}: expected {wanted}; got {got.outcome}, score {got.score}, '{got.reason}'"
            )
    return found


async def run(options: argparse.Namespace, paths: list[Path], census: Census) -> list[Evaluation]:
    # Workers share the cores, so further threads for linear algebra would only slow them down.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    config = WorkerConfig(
        max_workers=options.workers,
        isolation="fresh",
        preload=("numpy", "scipy.optimize"),
        spill_dir=census.spill_dir,
    )
    async with LocalBackend(config) as backend:
        return await evaluate_all(backend, paths, options.workers, options.deadline, census)


def main() -> int:
    parser = argparse.ArgumentParser(description="Evaluate a folder of candidate programs.")
    parser.add_argument(
        "--workers",
        type=int,
        default=len(os.sched_getaffinity(0)),
        metavar="N",
        help="candidates that run at once (default: one a core)",
    )
    parser.add_argument(
        "--deadline",
        type=float,
        default=20.0,
        metavar="S",
        help="seconds that a candidate may take (default: 20)",
    )
    parser.add_argument(
        "--candidates",
        type=Path,
        nargs="+",
        default=[CANDIDATES],
        metavar="DIR",
        help="other folders of candidates",
    )
    parser.add_argument(
        "--check",
        action="store_true",
        help="fail unless every candidate ended as it should",
    )
    options = parser.parse_args()
    found = [path for folder in options.candidates for path in folder.rglob("*.py")]
    paths = sorted(found, key=lambda path: path.stem)
    if not paths:
        parser.error(f"no candidates in {' '.join(map(str, options.candidates))}")

    spill_dir = Path(tempfile.mkdtemp(prefix="circle-packing-")).resolve()
    try:
        census = Census(spill_dir)
        started = time.monotonic()
        evaluations = asyncio.run(run(options, paths, census))
        took = time.monotonic() - started
        leftovers = census.leftovers()
    finally:
        shutil.rmtree(spill_dir, ignore_errors=True)

    print_table(evaluations)
    print(
        f"\n{len(evaluations)} candidates in {took:.1f} s on {options.workers} workers, deadline "
        f"{options.deadline:g} s; wall and CPU in seconds, peak memory in MiB\n"
    )
    print_ranking(evaluations)
    print()
    print_leftovers(leftovers)

    failed = any(things for _, things, _ in leftovers)
    failed |= any(evaluation.outcome in FAULTS for evaluation in evaluations)
    if options.check:
        wrong = mismatches(evaluations, options.candidates == [CANDIDATES])
        failed |= bool(wrong)
        print(
            f"\ncheck: {len(wrong) or 'every'} candidate{'s' * (len(wrong) > 1)} ended "
            f"{'otherwise than' if wrong else 'as'} expected"
        )
        for line in wrong:
            print(style(f"  {line}", "31"))
    return 1 if failed else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("interrupted: every candidate was killed and the pool is closed")

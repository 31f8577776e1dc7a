# SPDX-License-Identifier: Apache-2.0
"""Judge a folder of submissions, honest ones and others, and print a table.

    python examples/rewards/judge.py [--sandbox LEVEL] [--workers N] [folder]

The folder has `problems/NAME/` with `settings.json`, `cases/N.in` and `cases/N.out`, and programs
that read stdin and print, `candidates/NAME/*.py`. What is expected stays in this process. The
example uses only public names of Pinfold.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pinfold import Limits, LocalBackend, WorkerConfig
from pinfold.grading import Verdict, ajudge

HERE = Path(__file__).resolve().parent
AT_ONCE = 8  # candidates


@dataclass(frozen=True)
class Problem:
    name: str
    cases: list[tuple[bytes, bytes]]
    compare: str
    limits: Limits


def problem_in(folder: Path) -> Problem:
    settings = json.loads((folder / "settings.json").read_text())
    inputs = sorted((folder / "cases").glob("*.in"), key=lambda path: int(path.stem))
    cases = [(path.read_bytes(), path.with_suffix(".out").read_bytes()) for path in inputs]
    limits = Limits(wall_s=settings["wall_s"], memory_bytes=settings.get("memory_mb", 512) << 20)
    return Problem(folder.name, cases, settings["compare"], limits)


def candidates_in(folder: Path) -> Iterator[tuple[Problem, Path]]:
    for problem_folder in sorted((folder / "problems").iterdir()):
        problem = problem_in(problem_folder)
        for path in sorted((folder / "candidates" / problem.name).glob("*.py")):
            yield problem, path


async def judge_all(backend: LocalBackend, candidates: list[tuple[Problem, Path]]) -> list[Verdict]:
    """Judge many candidates at once: their cases share the backend's workers."""
    room = asyncio.Semaphore(AT_ONCE)

    async def one(problem: Problem, path: Path) -> Verdict:
        source = path.read_text(errors="surrogateescape")
        async with room:
            return await ajudge(
                backend, source, problem.cases, limits=problem.limits, compare=problem.compare
            )

    return await asyncio.gather(*(one(*candidate) for candidate in candidates))


def row(problem: Problem, path: Path, verdict: Verdict) -> str:
    failed = next((case for case in verdict.cases if case.status != "accepted"), None)
    why = "" if failed is None else str(failed.difference or failed.message)
    time_s = max((case.metrics.wall_time_s for case in verdict.cases if case.metrics), default=0.0)
    name = f"{problem.name}/{path.stem}"
    passed = f"{verdict.passed}/{verdict.total}"
    return f"{name:28} {verdict.status:14} {passed:>6} {time_s:6.2f} s  {' '.join(why.split()):.60}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, default=HERE)
    parser.add_argument("--sandbox", default="standard", help="none, standard or strict")
    parser.add_argument("--workers", type=int, help="how many cases run at once")
    arguments = parser.parse_args()
    candidates = list(candidates_in(arguments.folder))
    config = WorkerConfig(sandbox=arguments.sandbox, max_workers=arguments.workers)
    with LocalBackend(config) as backend:
        verdicts = asyncio.run(judge_all(backend, candidates))
    for (problem, path), verdict in zip(candidates, verdicts, strict=True):
        print(row(problem, path, verdict))
    counts = Counter(verdict.status for verdict in verdicts)
    print(f"{len(verdicts)} candidates:", ", ".join(f"{n} {s}" for s, n in counts.most_common()))
    return 0


if __name__ == "__main__":
    sys.exit(main())

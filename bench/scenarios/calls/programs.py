# SPDX-License-Identifier: Apache-2.0
"""Whole programs with a case on stdin, beside `python main.py < case`."""

from __future__ import annotations

import os
import sys
import tempfile

from bench.measure import now
from bench.programs import CASES, CONTEST, CONTEST_MODULES, NUMPY_CONTEST, TRIVIAL
from bench.systems.base import Call, CannotDo
from bench.systems.pinfold import Pinfold

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from bench.results import Results
    from bench.tables import Table

    Run = Callable[[str, bytes], bytes]

TITLE = "Programs with a case on stdin"
ABOUT = (
    f"One program, {len(CASES)} cases in turn, each in a new directory. Two workers, with the"
    " modules that programs of contests import preloaded, numpy among them. Every output is"
    " compared with what is right. The figure is the time for a case, with one case or two cases"
    " at a time; for comparison, that of a function that returns its argument."
)
LIMIT_S = 40.0
BUDGET_S = 1.5
PYTHON = "limit-main"
ENTRIES = {PYTHON: 4, "pinfold-fresh": 4, "pinfold-reuse": 4}
PROGRAMS = {"plain": CONTEST, "with numpy": NUMPY_CONTEST}
AT_ONCE = {"one": 1, "two": 2}


def measure(system: str, number: int) -> Iterator[dict[str, Any]]:
    if system == PYTHON:
        with tempfile.TemporaryDirectory() as scratch:
            yield from figures(lambda code, case: by_python(scratch, code, case))
        yield {f"cannot call, {name}": "runs programs alone" for name in AT_ONCE}
        return
    under_test = Pinfold(system.removeprefix("pinfold-"))
    under_test.open_with(max_workers=2, preload=CONTEST_MODULES)

    def by_pinfold(code: str, case: bytes) -> bytes:
        made = under_test.pinfold.ProgramCall(code, stdin=case)
        result = under_test.backend.submit(made).result()
        if not result.ok:
            raise CannotDo(f"a program ended as {result.outcome}: {result.stderr[-200:]}")
        return bytes(result.stdout_bytes)

    def trivial(code: str, case: bytes) -> bytes:
        under_test.call(Call(code, 7))
        return b""

    yield from figures(by_pinfold)
    for name, at_once in AT_ONCE.items():
        yield {f"call, {name}": many(trivial, TRIVIAL, [(b"", b"")], at_once, BUDGET_S)}
    under_test.close()


def by_python(scratch: str, code: str, case: bytes) -> bytes:
    """Run a program as `python main.py < case`. Its file is written once."""
    import subprocess

    directory = os.path.join(scratch, str(hash(code)))
    path = os.path.join(directory, "main.py")
    if not os.path.exists(path):
        os.mkdir(directory)
        with open(path, "w") as source:
            source.write(code)
    return subprocess.run(
        [sys.executable, "main.py"],
        cwd=directory,
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        input=case,
        stdout=subprocess.PIPE,
        check=True,
    ).stdout


def figures(run: Run) -> Iterator[dict[str, Any]]:
    """Yield the seconds that a case takes, for each program, one and two at a time."""
    for kind, code in PROGRAMS.items():
        for name, at_once in AT_ONCE.items():
            run(code, CASES[0][0])
            yield {f"{kind}, {name}": many(run, code, CASES, at_once, BUDGET_S)}


def many(
    run: Run, code: str, cases: list[tuple[bytes, bytes]], at_once: int, seconds: float
) -> float:
    """Run the cases in turn, all of them at least, for at least `seconds`. Return the seconds that
    one takes."""
    from concurrent.futures import ThreadPoolExecutor

    began = now()
    until = began + seconds

    def turns(_: int) -> int:
        count = 0
        while count == 0 or now() < until:
            for case, right in cases:
                if run(code, case) != right:
                    raise CannotDo("a program printed what is wrong")
            count += len(cases)
        return count

    with ThreadPoolExecutor(at_once) as threads:
        count = sum(threads.map(turns, range(at_once)))
    return (now() - began) / count


def tables(results: Results) -> list[Table]:
    from bench.results import seconds
    from bench.tables import Column, by_system

    columns = [
        Column(f"{kind}, {name}", f"{kind}, {name} at a time", seconds)
        for kind in PROGRAMS
        for name in AT_ONCE
    ]
    columns += [
        Column(f"call, {name}", f"a trivial function, {name} at a time", seconds, compared=False)
        for name in AT_ONCE
    ]
    return [by_system(TITLE, results, columns)]

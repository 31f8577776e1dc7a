# SPDX-License-Identifier: Apache-2.0
"""How ``python main.py`` ends on a case, and how a program call's result differs from that."""

from __future__ import annotations

import glob
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from program_corpus import Case, Program

from pinfold import Limits, ProgramCall, WorkerResult
from pinfold.config import DEFAULT_ENV_PREFIXES, DEFAULT_ENV_WHITELIST

WITHIN_S = 30
AT_ONCE = 2
SHOWN = 1500

Run = tuple[Program, Case]


@dataclass(frozen=True)
class Ended:
    """How a run ended. The output has ``DIR/`` for the path of the working directory. `files` are
    the sizes of the regular files that it left, without byte code."""

    outcome: str
    status: int
    stdout: bytes
    stderr: bytes
    files: Mapping[str, int]


class References:
    """Runs each case under Python once, when it is first asked for."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, int], Ended] = {}

    def of(self, runs: list[Run]) -> list[Ended]:
        """Return how the runs end under Python."""
        missing = [run for run in runs if _key(run) not in self._known]
        with ThreadPoolExecutor(AT_ONCE) as threads:
            ends = threads.map(lambda run: reference(*run), missing)
            self._known |= dict(zip(map(_key, missing), ends, strict=True))
        return [self._known[_key(run)] for run in runs]


def _key(run: Run) -> tuple[str, int]:
    program, case = run
    return program.name, program.cases.index(case)


def runs_of(programs: Iterable[Program]) -> list[Run]:
    return [(program, case) for program in programs for case in program.cases]


def reference(program: Program, case: Case) -> Ended:
    """Run ``python main.py`` on a case, in an empty directory with the case's files."""
    with tempfile.TemporaryDirectory(prefix="pinfold-reference-") as name:
        directory = Path(name, "d")
        for file, content in {**case.files, "main.py": program.code.encode()}.items():
            (directory / file).parent.mkdir(parents=True, exist_ok=True)
            (directory / file).write_bytes(content)
        stdin = Path(name, "stdin")
        stdin.write_bytes(case.stdin)
        with stdin.open("rb") as given:
            ended = subprocess.run(
                [sys.executable, "main.py", *case.argv],
                cwd=directory,
                env={**environment(), **case.env},
                stdin=given,
                capture_output=True,
                start_new_session=True,
                timeout=WITHIN_S,
                check=False,
            )
        left = _left_in(directory)
    stdout, stderr = (masked(text, program, case) for text in (ended.stdout, ended.stderr))
    outcome = case.outcome or outcome_of(ended.returncode, stderr)
    return Ended(outcome, ended.returncode, stdout, stderr, left)


def _left_in(directory: Path) -> dict[str, int]:
    names = glob.glob("**", root_dir=directory, recursive=True)
    real = os.path.realpath(directory)
    return {
        name: os.path.getsize(path)
        for name in names
        if os.path.isfile(path := os.path.join(real, name))
        and os.path.realpath(path) == path
        and "__pycache__" not in name
    }


def environment() -> dict[str, str]:
    """Return the environment that a worker gets from this process."""
    return {
        name: value
        for name, value in os.environ.items()
        if name in DEFAULT_ENV_WHITELIST or name.startswith(DEFAULT_ENV_PREFIXES)
    }


def outcome_of(status: int, stderr: bytes) -> str:
    """Return the outcome that belongs to the way in which Python ended."""
    if status == 0:
        return "ok"
    if status == 1 and re.search(rb"Traceback \(most recent|^\w+Error:", stderr, re.M):
        return "exception"
    if status == -signal.SIGINT and b"KeyboardInterrupt" in stderr:
        return "exception"
    return "signalled" if status < 0 else "exited"


def masked(text: bytes, program: Program, case: Case) -> bytes:
    """Return output without the working directory's path, in front of names of files in it."""
    if program.addresses:
        text = re.sub(rb"\b0x[0-9a-f]{6,}", b"0xADDRESS", text)
    names = b"|".join(re.escape(os.fsencode(name)) for name in ("main.py", *case.files))
    return re.sub(rb"(?:/[\w.+-]+)+/(?=(?:" + names + rb")\b)", b"DIR/", text)


def end_of(result: WorkerResult, program: Program, case: Case) -> Ended:
    """Return how a call ended, in the form of the reference."""
    stdout = masked(result.stdout_bytes, program, case)
    stderr = masked(result.stderr_bytes, program, case)
    files = {name: len(data) for name, data in result.files.items() if "__pycache__" not in name}
    return Ended(result.outcome, result.returncode, stdout, stderr, files)


def call_of(program: Program, case: Case, collect: Sequence[str] = ()) -> ProgramCall:
    return ProgramCall(
        program.code, case.argv, case.stdin, case.files, collect, env=case.env, limits=LIMITS
    )


LIMITS = Limits(wall_s=WITHIN_S, output_bytes=16 << 20)


def differences(
    backend: Any,
    runs: list[Run],
    references: References,
    where: set[str],
    collect: Sequence[str] = (),
) -> Iterator[str]:
    """Run program calls, all of them queued at once. Yield each difference from Python.

    `where` has the names of the isolation mode, or "collect", and of the sandbox. A program that
    may differ there must do so in one case at least. With `collect`, which is all files, the files
    that are left are compared, too.
    """
    expected = references.of(runs)
    if not collect:
        expected = [replace(each, files={}) for each in expected]
    futures = [backend.submit(call_of(program, case, collect)) for program, case in runs]
    equal: dict[str, bool] = {}
    for (program, case), wanted, future in zip(runs, expected, futures, strict=True):
        got = end_of(future.result(timeout=10 * WITHIN_S), program, case)
        if any(set(key.split()) <= where for key in program.differs):
            equal[program.name] = equal.get(program.name, True) and got == wanted
        elif got != wanted:
            number = program.cases.index(case)
            yield f"{program.name}, case {number}, {' '.join(sorted(where))}\n" + "\n".join(
                f"  {name}: {_shown(getattr(got, name))}\n  Python: {_shown(getattr(wanted, name))}"
                for name in ("outcome", "status", "stdout", "stderr", "files")
                if getattr(got, name) != getattr(wanted, name)
            )
    for name in [name for name, same in equal.items() if same]:
        yield f"{name}, {' '.join(sorted(where))}: no longer differs; remove that from its entry"


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}... ({len(value)} bytes)"

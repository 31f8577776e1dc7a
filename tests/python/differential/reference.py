# SPDX-License-Identifier: Apache-2.0
"""How ``python main.py`` ends on a case, and how a result differs from that."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from corpus import Case, Program, programs_of
from pinfold import ProgramCall, WorkerResult
from pinfold.config import DEFAULT_ENV_PREFIXES, DEFAULT_ENV_WHITELIST

WITHIN_S = 60
AT_ONCE = 2


@dataclass(frozen=True)
class Ended:
    """How a run ended. The output has ``DIR/`` for the path of the working directory."""

    stdout: bytes
    stderr: bytes
    status: int
    outcome: str


def environment() -> dict[str, str]:
    """Return the environment that a worker gets from this process."""
    return {
        name: value
        for name, value in os.environ.items()
        if name in DEFAULT_ENV_WHITELIST or name.startswith(DEFAULT_ENV_PREFIXES)
    }


def call_of(program: Program, case: Case) -> ProgramCall:
    return ProgramCall(program.code, case.argv, case.stdin, case.files)


@cache
def references(group: str) -> dict[tuple[str, int], Ended]:
    """Return how Python ends the cases of a group, by program and number of the case."""
    runs = [(each, number) for each in programs_of(group) for number in range(len(each.cases))]
    with ThreadPoolExecutor(AT_ONCE) as threads:
        ends = threads.map(lambda run: reference(run[0], run[0].cases[run[1]]), runs)
        return {(each.name, n): end for (each, n), end in zip(runs, ends, strict=True)}


def reference(program: Program, case: Case) -> Ended:
    """Run ``python main.py`` on a case, in an empty directory with the case's files."""
    with tempfile.TemporaryDirectory(prefix="pinfold-reference-") as name:
        directory = Path(name, "d")
        directory.mkdir()
        for file, content in {**case.files, "main.py": program.code.encode()}.items():
            (directory / file).parent.mkdir(parents=True, exist_ok=True)
            (directory / file).write_bytes(content)
        stdin = Path(name, "stdin")
        stdin.write_bytes(case.stdin)
        with stdin.open("rb") as given:
            ended = subprocess.run(
                [sys.executable, "main.py", *case.argv],
                cwd=directory,
                env=environment(),
                stdin=given,
                capture_output=True,
                start_new_session=True,
                timeout=WITHIN_S,
                check=False,
            )
    stdout, stderr = (masked(text, program, case) for text in (ended.stdout, ended.stderr))
    outcome = case.outcome or outcome_of(ended.returncode, stderr)
    return Ended(stdout, stderr, ended.returncode, outcome)


def masked(text: bytes, program: Program, case: Case) -> bytes:
    """Return output without the working directory's path, in front of names of files in it."""
    if program.addresses:
        text = re.sub(rb"\b0x[0-9a-f]{6,}", b"0xADDRESS", text)
    names = b"|".join(re.escape(os.fsencode(name)) for name in ("main.py", *case.files))
    return re.sub(rb"(?:/[\w.+-]+)+/(?=(?:" + names + rb")\b)", b"DIR/", text)


def outcome_of(status: int, stderr: bytes) -> str:
    """Return the outcome that belongs to the way in which Python ended."""
    if status == 0:
        return "ok"
    if status == 1 and re.search(rb"Traceback \(most recent|^\w+Error:", stderr, re.M):
        return "exception"
    if status == -signal.SIGINT and b"KeyboardInterrupt" in stderr:
        return "exception"
    return "signalled" if status < 0 else "exited"


def end_of(result: WorkerResult, program: Program, case: Case) -> Ended:
    """Return how a call ended, in the form of the reference."""
    stdout = masked(result.stdout_bytes, program, case)
    stderr = masked(result.stderr_bytes, program, case)
    return Ended(stdout, stderr, result.returncode, result.outcome)

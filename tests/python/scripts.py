# SPDX-License-Identifier: Apache-2.0
"""Programs, and how this interpreter runs them as ``python main.py``."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pinfold import ProgramCall, WorkerResult


@dataclass(frozen=True)
class Script:
    code: str
    stdin: bytes = b""
    argv: tuple[str, ...] = ()
    files: Mapping[str, bytes] = field(default_factory=dict)

    def call(self) -> ProgramCall:
        return ProgramCall(self.code, argv=self.argv, stdin=self.stdin, files=self.files)


@dataclass(frozen=True)
class Run:
    """What a program did, its directory replaced by ``<dir>``."""

    returncode: int
    stdout: bytes
    stderr: bytes


def reference(script: Script, env: Mapping[str, str] | None = None) -> Run:
    """Run a script by the interpreter, in an empty directory and with its input from a file."""
    with tempfile.TemporaryDirectory() as directory, tempfile.TemporaryFile() as stdin:
        for name, content in {"main.py": script.code.encode(), **script.files}.items():
            path = Path(directory, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        stdin.write(script.stdin)
        stdin.seek(0)
        process = subprocess.run(
            [sys.executable, "main.py", *script.argv],
            cwd=directory,
            stdin=stdin,
            capture_output=True,
            timeout=60,
            env={**os.environ, **(env or {})},
        )
        shown = os.path.realpath(directory).encode()
    return Run(
        process.returncode,
        process.stdout.replace(shown, b"<dir>"),
        process.stderr.replace(shown, b"<dir>"),
    )


def run_of(result: WorkerResult) -> Run:
    """Return the same of a result, whose programs print their directory as `DIRECTORY`."""
    assert result.stdout_bytes is not None and result.stderr_bytes is not None
    return Run(result.returncode, _shown(result.stdout_bytes), _shown(result.stderr_bytes))


def _shown(output: bytes) -> bytes:
    """Replace the directory of a worker's program."""
    import re

    return re.sub(rb"/[^\s'\"]*?/\.pinfold-box-[0-9a-f]{12}/(?:sources|scratch)(?:/[0-9a-z]+)?(?:/work)?", b"<dir>", output)

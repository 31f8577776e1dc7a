# SPDX-License-Identifier: Apache-2.0
"""What a program does when this interpreter runs it as ``python main.py``."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pinfold import WorkerResult
from script_list import Script


@dataclass(frozen=True)
class Run:
    """What a program did, its directory replaced by ``<dir>``."""

    returncode: int
    stdout: bytes
    stderr: bytes


def reference(script: Script, env: Mapping[str, str] | None = None) -> Run:
    """Run a script by the interpreter, in an empty directory and with its input from a file."""
    with tempfile.TemporaryDirectory() as above:
        directory, stdin = Path(above, "program"), Path(above, "stdin")
        for name, content in {"main.py": script.code.encode(), **script.files}.items():
            path = directory / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        stdin.write_bytes(script.stdin)
        with stdin.open("rb") as file:
            process = subprocess.run(
                [sys.executable, "main.py", *script.argv],
                cwd=directory,
                stdin=file,
                capture_output=True,
                timeout=60,
                env={**os.environ, **(env or {})},
            )
        shown = os.path.realpath(directory).encode()
    return Run(process.returncode, _plain(process.stdout, shown), _plain(process.stderr, shown))


def run_of(result: WorkerResult) -> Run:
    """Return the same of a result."""
    output = [result.stdout_bytes, result.stderr_bytes]
    assert None not in output
    return Run(result.returncode, *(_plain(bytes(each)) for each in output))


# The directory of a worker's program.
_DIRECTORY = re.compile(
    rb"/[^\s'\"]*?/\.pinfold-box-[0-9a-f]{12}/(?:sources|scratch)"
    rb"(?:/[0-9a-z]+(?![.\w]))?(?:/work(?![.\w]))?(?:/main(?![.\w]))?"
)


def _plain(output: bytes, directory: bytes = b"") -> bytes:
    """Return the output without what differs between any two runs."""
    output = output.replace(directory, b"<dir>") if directory else _DIRECTORY.sub(b"<dir>", output)
    return re.sub(rb"0x[0-9a-f]{6,}|(?<=refcount : )\d+", b"0x", output)

# SPDX-License-Identifier: Apache-2.0
"""A tool for an agent: run the snippet that a model wrote, with files, and report what came of it.

`PythonTool.run()` takes and returns plain JSON values, as a tool call of a language model does.
Each snippet runs as a whole program in a fresh process behind the walls of ``strict``: it can read
the files that it was given and nothing else, and has no network. The files that it wrote come back,
a plot among them.

    python examples/agent/tool.py            # three snippets, the first of which draws
"""

from __future__ import annotations

import argparse
import base64
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypedDict

from pinfold import Limits, LocalBackend, PinfoldError, ProgramCall, WorkerConfig, WorkerResult

# The most characters of each stream that the model gets to read.
SHOWN = 4000

LIMITS = Limits(wall_s=20, memory_bytes=1 << 30, processes=64, result_bytes=16 << 20)

# The description that the model gets, in the form of JSON Schema that most interfaces take.
SCHEMA = {
    "name": "python",
    "description": (
        "Run a Python 3 program and return what it printed. It starts in an empty directory that"
        " holds the given files. Files that it writes there, such as plots (*.png), are returned."
        " It has no network and 20 seconds."
    ),
    "parameters": {
        "type": "object",
        "properties": {
            "code": {"type": "string"},
            "files": {
                "type": "object",
                "description": "text files by name",
                "additionalProperties": {"type": "string"},
            },
        },
        "required": ["code"],
    },
}


class Report(TypedDict):
    """What the model gets back."""

    outcome: str
    """``ok``, or why the program failed: ``exception``, ``timeout``, ``memory_limit``, ..."""
    returncode: int
    stdout: str
    stderr: str
    files: dict[str, str]
    """The files that the program wrote or changed, in base64."""
    refused: dict[str, str]
    """Files that cannot be returned, and why."""


class PythonTool:
    """The tool: one pool for all snippets."""

    def __init__(self, *, sandbox: str = "strict", preload: tuple[str, ...] = ()) -> None:
        """Open the tool. `preload` are modules that snippets often import (numpy, matplotlib)."""
        config: dict[str, Any] = {"sandbox": sandbox, "preload": preload, "limits": LIMITS}
        self._backend = LocalBackend(WorkerConfig(**config))

    def __enter__(self) -> PythonTool:
        return self

    def __exit__(self, *_: object) -> None:
        self._backend.close()

    async def run(self, code: str, files: Mapping[str, str] | None = None) -> Report:
        """Run one snippet. A mistake in the arguments, which the model makes, is a report, too."""
        try:
            call = ProgramCall(code, files=dict(files or {}), collect=["**"])
        except PinfoldError as error:
            return Report(
                outcome="invalid", returncode=1, stdout="", stderr=str(error), files={}, refused={}
            )
        result = await self._backend.run(call, deadline_s=60)
        return self._report(call, result)

    def _report(self, call: ProgramCall, result: WorkerResult) -> Report:
        given = {name: bytes(content) for name, content in call.files.items()}
        new = {name: data for name, data in result.files.items() if given.get(name) != data}
        new.pop("main.py", None)
        stderr = result.stderr
        if result.outcome not in ("ok", "exception", "exited") and result.error is not None:
            stderr += result.error.message  # no word of the program says why it was ended
        return Report(
            outcome=result.outcome,
            returncode=result.returncode,
            stdout=_shortened(result.stdout),
            stderr=_shortened(stderr),
            files={name: base64.b64encode(data).decode() for name, data in new.items()},
            refused=result.files_refused,
        )


def _shortened(text: str) -> str:
    if len(text) <= SHOWN:
        return text
    half = SHOWN // 2
    return f"{text[:half]}\n[... {len(text) - SHOWN} characters left out ...]\n{text[-half:]}"


# Three snippets as a model writes them: one draws, one is wrong, one never ends.

PLOT = """\
import csv, statistics

with open("temperatures.csv") as file:
    rows = [(row["month"], float(row["celsius"])) for row in csv.DictReader(file)]
print("mean:", round(statistics.mean(celsius for _, celsius in rows), 2))

import matplotlib
matplotlib.use("Agg")
import matplotlib.pyplot as plt

plt.plot([month for month, _ in rows], [celsius for _, celsius in rows], marker="o")
plt.ylabel("degrees Celsius")
plt.savefig("plot.png")
"""

WRONG = """\
with open("temperatures.csv") as file:
    total = sum(line.split(",")[1] for line in file)
print(total)
"""

ENDLESS = """\
x = 27
while x > 0:
    x = x // 2 if x % 2 == 0 else 3 * x + 1
"""

DATA = {"temperatures.csv": "month,celsius\nJan,1.1\nApr,9.4\nJul,18.9\nOct,10.2\n"}


async def demo(sandbox: str, save_to: Path | None) -> int:
    """Run the snippets and print the reports. Return the number of plots that came back."""
    plots = 0
    with PythonTool(sandbox=sandbox) as tool:
        for snippet in (PLOT, WRONG, ENDLESS):
            report = await tool.run(snippet, DATA)
            for name, content in report["files"].items():
                data = base64.b64decode(content)
                plots += data.startswith(b"\x89PNG\r\n")
                if save_to is not None:
                    (save_to / Path(name).name).write_bytes(data)
                report["files"][name] = f"({len(data)} bytes)"
            print(json.dumps(report, indent=2))
    return plots


def main() -> int:
    import asyncio

    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--sandbox", default="strict", choices=("none", "standard", "strict"))
    parser.add_argument("--save-to", type=Path, metavar="DIR", help="write the files there")
    options = parser.parse_args()
    asyncio.run(demo(options.sandbox, options.save_to))
    return 0


if __name__ == "__main__":
    sys.exit(main())

# SPDX-License-Identifier: Apache-2.0
"""`python -m bench [SCENARIO ...]`: measure, print the tables, write docs/lab/benchmarks.md."""

from __future__ import annotations

import argparse
import importlib
import sys
import time
from pathlib import Path

from bench import goals, report, scenarios
from bench.results import Results
from bench.runner import ROOT, Runner, versions


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("scenario", nargs="*", help=f"default: all of {' '.join(scenarios.NAMES)}")
    parser.add_argument("--systems", nargs="+", help="measure only these; write no document")
    parser.add_argument("--rounds", type=int, help="run at most so many; write no document")
    parser.add_argument("--docs", type=Path, default=ROOT / "docs" / "lab", help="write here")
    options = parser.parse_args()
    unknown = set(options.scenario) - set(scenarios.NAMES)
    if unknown:
        known = " ".join(scenarios.NAMES)
        parser.error(f"no such scenario: {' '.join(unknown)}; there are {known}")
    chosen = options.scenario or scenarios.NAMES
    modules = {name: importlib.import_module(scenarios.module_of(name)) for name in chosen}

    terminal = sys.stderr.isatty()

    def progress(line: str) -> None:
        print(*(("\r\033[K", line) if terminal else (line, "\n")), sep="", end="", file=sys.stderr)
        sys.stderr.flush()

    began = time.time()
    only = set(options.systems) if options.systems else None
    measured: dict[str, Results] = {}
    with Runner(progress, options.rounds) as runner:
        for name, module in modules.items():
            measured[name] = runner.run(module, only)
            if terminal:
                progress("")
            for table in module.tables(measured[name]):
                print(table.terminal(), flush=True)
    reached = goals.table(measured)
    print(reached.terminal())
    if set(chosen) == set(scenarios.NAMES) and only is None and options.rounds is None:
        machine = report.Machine.this(versions(), began)
        for path in report.write(options.docs, machine, modules, measured, reached):
            print(f"wrote {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

# SPDX-License-Identifier: Apache-2.0
"""``pinfold run``: run one program."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from pinfold._cli.flags import add_flags, config_of, plain
from pinfold._cli.outcome import OURS, STATUSES, complain, status_of


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the parser's."""
    parser = commands.add_parser(
        "run",
        help="run a program as `python FILE ARGS...` does, with limits and in a sandbox",
        description="Run a program. It gets this command's stdin, unless that is a terminal.",
        epilog=f"example: echo 3 4 | pinfold run --wall 2 --sandbox standard sum.py\n\n{STATUSES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_flags(parser)
    parser.add_argument(
        "--file",
        action="append",
        default=[],
        metavar="PATH",
        help="a file to put beside the program; may be given again",
    )
    parser.add_argument(
        "--collect",
        action="append",
        default=[],
        metavar="PATTERN",
        help="files to bring back into --out; may be given again",
    )
    parser.add_argument("--out", default=".", metavar="DIR", help="where collected files go")
    parser.add_argument("program", metavar="FILE")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, metavar="ARGS")
    parser.set_defaults(function=run)


def run(asked: argparse.Namespace) -> int:
    """Run the program and return the exit status of the command."""
    from pinfold.backend import LocalBackend
    from pinfold.call import ProgramCall
    from pinfold.errors import PinfoldError

    try:
        program = ProgramCall(
            code=Path(asked.program).read_text(encoding="utf-8"),
            argv=asked.arguments,
            stdin=b"" if sys.stdin is None or sys.stdin.isatty() else sys.stdin.buffer.read(),
            files={Path(path).name: Path(path).read_bytes() for path in asked.file},
            collect=asked.collect,
        )
        with LocalBackend(config_of(asked)) as backend:
            result = backend.submit(program, deadline_s=asked.deadline).result()
        for name, content in result.files.items():
            path = Path(asked.out, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    except (OSError, UnicodeDecodeError, PinfoldError) as error:
        complain(str(error))
        return OURS
    if asked.json:
        print(json.dumps({**plain(result), "files": sorted(result.files)}))
        return status_of(result)
    sys.stdout.flush()
    sys.stdout.buffer.write(result.stdout_bytes)
    sys.stdout.buffer.flush()
    sys.stderr.flush()
    sys.stderr.buffer.write(result.stderr_bytes)
    sys.stderr.buffer.flush()
    if result.error is not None and result.outcome not in ("exited", "exception"):
        complain(f"{result.outcome}: {result.error.message}")
    for name, reason in result.files_refused.items():
        complain(f"{name!r} was left out: {reason}")
    return status_of(result)

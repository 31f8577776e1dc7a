# SPDX-License-Identifier: Apache-2.0
"""The command ``pinfold``: its commands, and how it ends."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from pinfold._cli import call, doctor, run, version
from pinfold._cli.outcome import OURS


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status. `arguments` are those of the process if None."""
    parser = argparse.ArgumentParser(
        prog="pinfold",
        description="Run Python that you do not trust to behave.",
        epilog="`pinfold COMMAND --help` shows an example.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command in (run, call, doctor, version):
        command.add_to(commands)
    try:
        asked = parser.parse_args(arguments)
    except SystemExit as ended:  # of --help, or of a usage error
        return 0 if ended.code == 0 else OURS
    try:
        status: int = asked.function(asked)
        sys.stdout.flush()
    except KeyboardInterrupt:
        return 130  # 128 + SIGINT
    except BrokenPipeError:  # the reader of our output is gone; write nothing at the end, either
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return OURS
    return status

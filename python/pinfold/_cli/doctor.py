# SPDX-License-Identifier: Apache-2.0
"""``pinfold doctor``: report which mechanisms of a sandbox this machine has."""

from __future__ import annotations

import argparse
import json
import os

from pinfold.config import SANDBOXES


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the parser's."""
    parser = commands.add_parser(
        "doctor",
        help="report the sandbox mechanisms that this machine and user have",
        epilog="example: pinfold doctor --sandbox standard",
    )
    parser.add_argument("--sandbox", choices=SANDBOXES, default="strict")
    parser.add_argument("--allow-network", action="store_true")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(function=doctor)


def doctor(asked: argparse.Namespace) -> int:
    """Return the exit status: 0, or 1 if a mechanism that the sandbox requires is missing."""
    from pinfold._host.sandbox import isolation_of
    from pinfold.config import WorkerConfig

    isolation = isolation_of(WorkerConfig(sandbox=asked.sandbox, allow_network=asked.allow_network))
    if asked.json:
        machine = os.uname()
        about = {"kernel": machine.release, "machine": machine.machine, "uid": os.getuid()}
        print(json.dumps({**about, **isolation.to_dict()}, indent=2))
    else:
        print(f"Linux {os.uname().release}, user {os.getuid()}")
        print(isolation)
    return 1 if isolation.missing else 0

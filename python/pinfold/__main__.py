# SPDX-License-Identifier: Apache-2.0
"""``python -m pinfold doctor``: report which mechanisms of a sandbox this machine has."""

from __future__ import annotations

import argparse
import json
import os
import sys


def main(arguments: list[str] | None = None) -> int:
    """Return the exit status: 0, or 1 if a mechanism that the sandbox requires is missing."""
    parser = argparse.ArgumentParser(prog="python -m pinfold")
    commands = parser.add_subparsers(dest="command", required=True)
    doctor = commands.add_parser(
        "doctor", help="report the sandbox mechanisms that this machine and user have"
    )
    doctor.add_argument("--sandbox", choices=("none", "standard", "strict"), default="strict")
    doctor.add_argument("--allow-network", action="store_true")
    doctor.add_argument("--json", action="store_true", help="print JSON")
    asked = parser.parse_args(arguments)

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


if __name__ == "__main__":
    sys.exit(main())

# SPDX-License-Identifier: Apache-2.0
"""``pinfold version``: report the versions of the package and of the interpreter."""

from __future__ import annotations

import argparse
import platform


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the parser's."""
    parser = commands.add_parser("version", help="print the version", epilog="pinfold version")
    parser.set_defaults(function=version)


def version(asked: argparse.Namespace) -> int:
    """Print the version."""
    import pinfold

    print(f"pinfold {pinfold.__version__} ({platform.python_implementation()}", end=" ")
    print(f"{platform.python_version()})")
    return 0

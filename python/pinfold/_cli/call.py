# SPDX-License-Identifier: Apache-2.0
"""``pinfold call``: call one function of a file."""

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
        "call",
        help="call a function of a file and print its value as JSON",
        description="Call a function of a file and print its value as JSON.",
        epilog=f"example: pinfold call sum.py:add '[3, 4]' '{{\"scale\": 2}}'\n\n{STATUSES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_flags(parser)
    parser.add_argument("target", metavar="FILE:FUNCTION")
    parser.add_argument("args", nargs="?", default="[]", metavar="ARGS", help="a JSON array")
    parser.add_argument("kwargs", nargs="?", default="{}", metavar="KWARGS", help="a JSON object")
    parser.set_defaults(function=call)


def call(asked: argparse.Namespace) -> int:
    """Call the function and return the exit status of the command."""
    from pinfold.backend import LocalBackend
    from pinfold.call import WorkerCall
    from pinfold.errors import PinfoldError

    path, _, name = asked.target.rpartition(":")
    try:
        if not path:
            raise ValueError(f"{asked.target!r} is no FILE:FUNCTION")
        args, kwargs = json.loads(asked.args), json.loads(asked.kwargs)
        if type(args) is not list or type(kwargs) is not dict:
            raise ValueError("the arguments are a JSON array and a JSON object")
        request = WorkerCall(
            code=Path(path).read_text(encoding="utf-8"),
            function_name=name,
            args=args,
            kwargs=kwargs,
            codec="json",
        )
        with LocalBackend(config_of(asked)) as backend:
            result = backend.submit(request, deadline_s=asked.deadline).result()
    except (OSError, ValueError, PinfoldError) as error:
        complain(str(error))
        return OURS
    if asked.json:
        print(json.dumps({**plain(result), "value": result.value}))
        return status_of(result)
    sys.stderr.write(result.stdout + result.stderr)
    if result.error is None:
        print(json.dumps(result.value))
    else:
        complain(f"{result.outcome}: {result.error.message}")
    return status_of(result)

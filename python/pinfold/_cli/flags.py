# SPDX-License-Identifier: Apache-2.0
"""The flags that all commands which run calls have in common."""

from __future__ import annotations

import argparse
import dataclasses
import re
from pathlib import Path
from typing import Any

from pinfold.config import ISOLATIONS, SANDBOXES, WorkerConfig
from pinfold.limits import Limits

_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags to a command's parser."""
    limits = parser.add_argument_group("limits of each call")
    limits.add_argument("--wall", type=float, metavar="S", help="the program's own time, seconds")
    limits.add_argument(
        "--deadline", type=float, metavar="S", help="your patience, from the start, seconds"
    )
    limits.add_argument("--cpu", type=float, metavar="S", help="processor time, seconds")
    limits.add_argument("--memory", type=size, metavar="SIZE", help="memory: bytes, 64K, 512M, 2G")
    limits.add_argument(
        "--printed", type=size, metavar="SIZE", help="what it may print before it is killed"
    )
    workers = parser.add_argument_group("workers")
    workers.add_argument("--sandbox", choices=SANDBOXES, help="default: none")
    workers.add_argument("--isolation", choices=ISOLATIONS, help="default: fresh")
    workers.add_argument("--preload", metavar="A,B", help="modules to import before any call")
    workers.add_argument(
        "--python-path",
        action="append",
        metavar="DIR",
        help="comes first on sys.path; may be given again",
    )
    workers.add_argument("-j", "--workers", type=int, metavar="N", help="calls that run at once")
    parser.add_argument("--json", action="store_true", help="print the whole result as JSON")


def size(text: str) -> int:
    """Return a number of bytes from text such as ``512M``; the units are powers of 1024."""
    found = re.fullmatch(r"([0-9]{1,15})([KMGT]?)(?:i?B)?", text.strip(), re.ASCII | re.IGNORECASE)
    if found is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no size such as 65536, 64K, 512M or 2G")
    return int(found[1]) * _UNITS[found[2].upper()]


def limits_of(asked: argparse.Namespace) -> Limits:
    """Return the limits that the flags ask for. Raises `InvalidConfig`."""
    return Limits(
        wall_s=asked.wall,
        cpu_s=asked.cpu,
        memory_bytes=asked.memory,
        printed_bytes=asked.printed,
        output_bytes=asked.printed or Limits().output_bytes,
    )


def config_of(asked: argparse.Namespace) -> WorkerConfig:
    """Return the configuration that the flags ask for, one worker by default. Raises
    `InvalidConfig`."""
    workers = 1 if asked.workers is None else asked.workers
    given: dict[str, Any] = {"limits": limits_of(asked), "max_workers": workers}
    for name in ("sandbox", "isolation"):
        if getattr(asked, name) is not None:
            given[name] = getattr(asked, name)
    if asked.preload:
        given["preload"] = "auto" if asked.preload == "auto" else asked.preload.split(",")
    if asked.python_path:
        given["python_path"] = [Path(path).resolve() for path in asked.python_path]
    return WorkerConfig(**given)


def plain(result: Any) -> dict[str, Any]:
    """Return a `WorkerResult` as a dict that JSON can carry."""
    return {
        "outcome": result.outcome,
        "returncode": result.returncode,
        "stdout": result.stdout,
        "stderr": result.stderr,
        "error": None if result.error is None else dataclasses.asdict(result.error),
        "metrics": None if result.metrics is None else dataclasses.asdict(result.metrics),
    }

# SPDX-License-Identifier: Apache-2.0
"""`python fuzz/run.py BUILD SECONDS TARGET...`: run each target for so long, and count.

BUILD/corpus keeps all inputs that reach something new. Of these, libFuzzer's merge chooses the ones
that the target's archive in fuzz/corpus lacks, and this script adds them to it. BUILD/crashes keeps
the inputs that crash a target.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

import corpus

# Longer inputs find nothing that these do not, and cost time.
LENGTHS = {"channel": 500, "data": 500, "frame": 300, "payload": 400, "pool": 300}
IN_PYTHON = ("channel", "data")


def environment_of(build: Path, target: str) -> dict[str, str]:
    """Return the environment in which a target runs."""
    environment = dict(os.environ)
    if target in IN_PYTHON:  # an interpreter frees only a part of its memory when it exits
        environment |= {
            "ASAN_OPTIONS": "detect_leaks=0",
            "PINFOLD_FUZZ_SLOWER": "4",
            "PYTHONHASHSEED": "0",
            "PYTHONPATH": f"{build / 'stage' / 'site'}:{sysconfig.get_path('purelib')}",
        }
    return environment


def run(build: Path, seconds: int, target: str) -> tuple[int, bool, int]:
    """Return how many executions there were, whether all went well, and how many inputs the
    target's archive has gained."""
    found, crashes = build / "corpus" / target, build / "crashes"
    found.mkdir(parents=True, exist_ok=True)
    crashes.mkdir(exist_ok=True)
    command = [
        build / "fuzz" / f"fuzz_{target}",
        f"-max_len={LENGTHS[target]}",
        "-timeout=10",
        "-malloc_limit_mb=64",
        f"-artifact_prefix={crashes}/{target}-",
    ]
    look = [f"-max_total_time={seconds}", "-len_control=0", "-print_final_stats=1"]
    environment = environment_of(build, target)
    log = build / f"{target}.log"
    with log.open("wb") as output, tempfile.TemporaryDirectory() as kept:
        corpus.unpack(corpus.archive(target), Path(kept))

        def libfuzzer(*options: str | Path) -> int:
            ended = subprocess.run(
                [*command, *options], env=environment, stdout=output, stderr=output
            )
            return ended.returncode

        code = libfuzzer(*look, found, kept) or libfuzzer("-merge=1", kept, found)
        gained = 0 if code else corpus.pack(Path(kept), corpus.archive(target))
    text = log.read_text(errors="replace")
    if code:
        print(text[-4000:], file=sys.stderr)
    executed = re.search(r"stat::number_of_executed_units: (\d+)", text)
    return int(executed[1]) if executed else 0, code == 0, gained


def main() -> int:
    build, seconds = Path(sys.argv[1]).resolve(), int(sys.argv[2])
    total, good = 0, True
    print("| target | executions | a second | inputs kept | new in its archive | |", flush=True)
    print("|---|---|---|---|---|---|", flush=True)
    for target in sys.argv[3:]:
        n, well, gained = run(build, seconds, target)
        kept = len(os.listdir(build / "corpus" / target))
        word = "" if well else "CRASHED"
        print(f"| {target} | {n:,} | {n // seconds:,} | {kept} | {gained} | {word} |", flush=True)
        total, good = total + n, good and well
    print(f"| all | {total:,} | | | | |")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())

"""`python fuzz/run.py BUILD SECONDS TARGET...`: run each target for so long, and count.

Inputs that reach something new go to BUILD/corpus, inputs that crash a target to BUILD/crashes.
The corpora in fuzz/corpus are read and not changed.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
from pathlib import Path

CORPUS = Path(__file__).parent / "corpus"
# Longer inputs find nothing that these do not, and cost time.
LENGTHS = {"channel": 500, "data": 500, "frame": 300, "payload": 400, "pool": 300}
IN_PYTHON = ("channel", "data")


def run(build: Path, seconds: int, target: str) -> tuple[int, bool]:
    """Run one target. Return the number of executions, and whether all went well."""
    found, crashes = build / "corpus" / target, build / "crashes"
    found.mkdir(parents=True, exist_ok=True)
    crashes.mkdir(exist_ok=True)
    command = [
        build / "fuzz" / f"fuzz_{target}",
        f"-max_total_time={seconds}",
        f"-max_len={LENGTHS[target]}",
        "-len_control=0",
        "-timeout=10",
        "-malloc_limit_mb=64",
        f"-artifact_prefix={crashes}/{target}-",
        "-print_final_stats=1",
        found,
        CORPUS / target,
    ]
    environment = dict(os.environ)
    if target in IN_PYTHON:  # Python frees only a part of its memory at its end
        environment |= {
            "ASAN_OPTIONS": "detect_leaks=0",
            "PINFOLD_FUZZ_SLOWER": "4",
            "PYTHONHASHSEED": "0",
            "PYTHONPATH": f"{build / 'stage' / 'site'}:{sysconfig.get_path('purelib')}",
        }
    log = build / f"{target}.log"
    with log.open("wb") as output:
        code = subprocess.run(command, env=environment, stdout=output, stderr=output).returncode
    text = log.read_text(errors="replace")
    if code:
        print(text[-4000:], file=sys.stderr)
    executed = re.search(r"stat::number_of_executed_units: (\d+)", text)
    return int(executed[1]) if executed else 0, code == 0


def main() -> int:
    build, seconds = Path(sys.argv[1]).resolve(), int(sys.argv[2])
    total, good = 0, True
    print("| target | executions | a second | inputs kept | |\n|---|---|---|---|---|", flush=True)
    for target in sys.argv[3:]:
        n, well = run(build, seconds, target)
        kept = len(os.listdir(build / "corpus" / target))
        word = "" if well else "CRASHED"
        print(f"| {target} | {n:,} | {n // seconds:,} | {kept} | {word} |", flush=True)
        total, good = total + n, good and well
    print(f"| all | {total:,} | | | |")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())

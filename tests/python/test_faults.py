"""What letting each call of the runtime fail has found (tests/faults), once more.

In a build where they can be made to fail: `make test-asan` has one.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from pinfold.runtime import _runtime

FAULTS = Path(__file__).parents[1] / "faults"
BUILD = Path(_runtime.__file__).parents[4]  # if this is the package that `make test-asan` tests


@pytest.mark.extension
@pytest.mark.skipif(
    not (BUILD / "build.ninja").exists(), reason="needs a build in which calls can be made to fail"
)
@pytest.mark.parametrize(
    ("place", "calls"),
    [
        pytest.param("frame_send", 5, id="the kernel cannot take a result"),
        pytest.param("seat_copy", 7, id="a worker cannot take its descriptors"),
        pytest.param("frame_receive", 4, id="what belongs to a call does not come with it"),
    ],
)
def test_a_failure_of_ours_is_never_the_fault_of_the_program(place: str, calls: int) -> None:
    done = subprocess.run(
        [sys.executable, FAULTS / "every_fault.py", "--calls", str(calls)]
        + ["--only", rf"^_runtime\..* {place}\(\)", BUILD]
        + [sys.executable, FAULTS / "scenario.py", "reuse", "none"],
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert done.returncode == 0, done.stdout
    assert "\n0 failures" not in done.stdout, done.stdout

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
    ("place", "of_these", "sandbox"),
    [
        pytest.param(
            r"_runtime\..* frame_send", ["--first", "4", "--calls", "4"], "none", id="a result"
        ),
        pytest.param(
            r"_runtime\..* seat_copy",
            ["--first", "7", "--calls", "7"],
            "none",
            id="its descriptors",
        ),
        pytest.param(
            r"_runtime\..* frame_receive_noting",
            ["--first", "3", "--calls", "6"],
            "none",
            id="what comes",
        ),
        pytest.param(r"_runtime\..* channel_new", ["--short"], "none", id="a new worker"),
        pytest.param(r"_runtime\..* seat_open", ["--short"], "none", id="a new template"),
        pytest.param(r"_box\..* (probe_\w+|put|attempt)", ["--short"], "standard", id="the probe"),
    ],
)
def test_a_failure_of_ours_is_never_the_fault_of_the_program(
    place: str, of_these: list[str], sandbox: str
) -> None:
    done = subprocess.run(
        [
            sys.executable,
            FAULTS / "every_fault.py",
            "--brief",
            *of_these,
            "--only",
            rf"^{place}\(\)",
            BUILD,
        ]
        + [sys.executable, FAULTS / "scenario.py", "reuse", sandbox],
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert done.returncode == 0, done.stdout
    assert "\n0 failures" not in done.stdout, done.stdout

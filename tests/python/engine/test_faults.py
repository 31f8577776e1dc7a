# SPDX-License-Identifier: Apache-2.0
"""Repeat failures of runtime calls that once found bugs (tests/stress/faults).

They need a build in which calls can fail: `make test-asan` has one.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from pinfold._worker.ext import _runtime

FAULTS = Path(__file__).parents[2] / "stress" / "faults"
BUILD = Path(_runtime.__file__).parents[5]  # if this is the package that `make test-asan` tests


@pytest.mark.extension
@pytest.mark.skipif(
    not (BUILD / "build.ninja").exists(), reason="needs a build in which calls can be made to fail"
)
@pytest.mark.parametrize(
    ("sandbox", "places", "options"),
    [
        pytest.param(
            "none",
            [
                (r"_runtime\..* frame_send", 4, 4),  # a result
                (r"_runtime\..* reserved_copy", 7, 7),  # its descriptors
                (r"_runtime\..* frame_receive_noting", 3, 6),  # what comes
            ],
            [],
            id="answers",
        ),
        pytest.param(
            "none", [(r"_runtime\..* (channel_new|reserved_open)", 1, 1)], ["--short"], id="starts"
        ),
        pytest.param(
            "standard",
            [(r"_probe\..* (\w+_probe|probe_\w+|attempt)", 1, 1)],
            ["--short"],
            id="the probe",
        ),
    ],
)
def test_a_failure_of_ours_is_never_the_fault_of_the_program(
    sandbox: str, places: list[tuple[str, int, int]], options: list[str]
) -> None:
    at = [
        word
        for place, first, last in places
        for word in ("--at", rf"^{place}\(\)", str(first), str(last))
    ]
    done = subprocess.run(
        [
            sys.executable,
            FAULTS / "every_fault.py",
            "--brief",
            *options,
            *at,
            BUILD,
        ]
        + [sys.executable, FAULTS / "scenario.py", "reuse", sandbox],
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert done.returncode == 0, done.stdout
    assert "\n0 failures" not in done.stdout, done.stdout

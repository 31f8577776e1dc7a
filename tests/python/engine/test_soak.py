# SPDX-License-Identifier: Apache-2.0
"""Run a few seconds of `make soak`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SOAK = Path(__file__).parents[2] / "stress" / "soak" / "soak.py"


@pytest.mark.long
def test_a_mixed_load_leaves_no_descriptor_thread_mapping_or_process() -> None:
    command = [sys.executable, SOAK, "--calls", "4000", "--parts", "10", "--short"]
    done = subprocess.run(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.returncode == 0, done.stdout

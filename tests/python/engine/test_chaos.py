# SPDX-License-Identifier: Apache-2.0
"""Run a few rounds of `make chaos`, with a seed that includes each kind of end."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

CHAOS = Path(__file__).parents[2] / "stress" / "chaos" / "chaos.py"


@pytest.mark.long
def test_whatever_is_killed_whenever_no_call_is_lost_and_nothing_is_left() -> None:
    chaos = subprocess.run(
        [sys.executable, CHAOS],
        env={**os.environ, "CHAOS_ROUNDS": "4", "CHAOS_SEED": "3157"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert chaos.returncode == 0, chaos.stdout

# SPDX-License-Identifier: Apache-2.0
"""The recipes of examples/rewards do what they say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from boxes import level_is_there

ROOT = Path(__file__).resolve().parents[3]
REWARDS = ROOT / "examples" / "rewards"

EXPECTED = {
    "fibonacci/honest": "accepted",
    "fibonacci/leaves_early": "wrong_answer",
    "fibonacci/loop": "time_limit",
    "fibonacci/nearly": "wrong_answer",
    "fibonacci/recursive": "runtime_error",
    "fibonacci/table": "memory_limit",
    "roots/equal_to_everything": "wrong_answer",
    "roots/forgets_none": "runtime_error",
    "roots/honest": "accepted",
    "roots/not_a_number": "wrong_answer",
    "roots/rounded": "accepted",
    "roots/two_digits": "wrong_answer",
    "sum/exits_zero": "wrong_answer",
    "sum/honest": "accepted",
    "sum/honest_layout": "accepted",
    "sum/no_empty_line": "runtime_error",
    "sum/small_numbers": "wrong_answer",
    "sum/typo": "compile_error",
    "triangle/flood": "output_limit",
    "triangle/honest": "accepted",
    "triangle/honest_padded": "accepted",
    "triangle/left_aligned": "wrong_answer",
    "triangle/patched_builtins": "wrong_answer",
    "triangle/sample_only": "wrong_answer",
    "words/aborts": "runtime_error",
    "words/case_matters": "wrong_answer",
    "words/forged_result": "runtime_error",
    "words/honest": "accepted",
    "words/replaced_module": "wrong_answer",
    "words/thread_stays": "wrong_answer",
}


def output_of(script: str, *arguments: str) -> str:
    command = [sys.executable, str(REWARDS / script), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.mark.parametrize("sandbox", ["none", "standard"])
def test_a_folder_is_judged_in_one_command(sandbox: str) -> None:
    if not level_is_there(sandbox):
        pytest.skip(f"this machine has no sandbox {sandbox!r}")
    *rows, total = output_of("judge.py", "--sandbox", sandbox, "--workers", "2").splitlines()
    statuses = {row.split()[0]: row.split()[1] for row in rows}
    assert statuses == EXPECTED
    assert total.startswith("30 candidates:")


def test_the_obvious_recipe_is_passed_by_impostors_and_this_one_is_not() -> None:
    output = output_of("obvious.py")
    assert output.splitlines() == [
        "honest: tests beside it pass 20 of 20, check 20 of 20",
        "impostor: tests beside it pass 20 of 20, check 0 of 20",
    ]
    assert output in (ROOT / "docs" / "grading.md").read_text()

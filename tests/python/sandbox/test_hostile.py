# SPDX-License-Identifier: Apache-2.0
"""The runner of the hostile programs: its verdicts, and the worst ones beside an honest call."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from test_sandbox import level as level  # a fixture

from conftest import output_of

HOSTILE = Path(__file__).parents[2] / "stress" / "hostile"
sys.path.insert(0, str(HOSTILE))

import hostile_run  # noqa: E402
from hostile_programs import PROGRAMS  # noqa: E402

# One program for each way to delay the caller or its reactor that succeeded once.
WORST = [
    "outrun_sweep_quietly",
    "leased_spill",
    "break_lease",
    "colliding_fractions",
    "failure_of_maps",
    "slow_sweep",
]


@pytest.mark.long
def test_a_neighbour_is_told_of_its_deadline_in_time_beside_the_worst_programs(level: str) -> None:
    """Each runs beside an honest call with a deadline of 2 s, up to three times because the machine
    may be busy."""
    run = [sys.executable, HOSTILE / "hostile_run.py", "--no-user", "--isolation", "fresh"]
    done = subprocess.run(
        [*run, "--level", level, *WORST], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


# Programs that succeed at once, each in its own way, and the reason that the runner gives.
SUCCESSES = {
    "the caller died by signal 7": "check=lambda r, w: os.kill(os.getpid(), 7)",
    "got it": "body='return 1'",
    "is left between calls": "body=\"open(w['planted'], 'w').close()\", check=plant",
    "a neighbour was told of its deadline": "kind='C', check=late",
    "the caller grew": "sent=1, check=grow",
    "the sentinel was signalled": "check=lambda r, w: os.kill(w['sentinel'], 18)",
}


@pytest.mark.long
@pytest.mark.parametrize("reason", SUCCESSES)
def test_the_runner_sees_a_program_that_succeeds(reason: str) -> None:
    if hostile_run.unavailable("standard"):
        pytest.skip("not to be had here")
    script = f"""
import os, sys, time
sys.path.insert(0, {str(HOSTILE)!r})
import hostile_run  # noqa: E402
from hostile_base import Program
def late(result, world):
    hostile_run.Neighbour.late_s = lambda self: 1.0  # told before, if the machine is slow
def plant(result, world):
    open(world["root"] + "/" + world["planted"], "w").close()
def grow(result, world):
    return False
if {reason!r} == "the caller grew":
    kept = hostile_run.memory
    hostile_run.memory = lambda name: kept(name) + (name == "VmHWM") * (1 << 30)
given = dict(name="it", tries="", body="return None") | dict({SUCCESSES[reason]})
task = hostile_run.Task(Program(**given), "standard", "fresh")
((_, verdict),) = hostile_run.attempt_all([task], 1)
assert verdict.word == "not blocked", verdict
print(verdict.told, verdict.hard, verdict.soft)
"""
    assert reason in output_of(script)


def test_a_cell_tells_the_worst_of_its_runs_and_where_it_was() -> None:
    runs = {
        "strict fresh root": "blocked",
        "strict reuse root": "blocked",
        "strict fresh user": "blocked",
        "strict reuse user": "blocked",
        "none fresh root": "not blocked",
    }
    assert hostile_run.cell(runs, "strict") == "blocked"
    assert hostile_run.cell(runs, "none") == "**not blocked**"
    assert hostile_run.cell(runs, "standard") == "not run"
    runs["strict reuse user"] = "contained"
    assert hostile_run.cell(runs, "strict") == "contained (reuse user)"
    runs["strict reuse root"] = "contained"
    assert hostile_run.cell(runs, "strict") == "contained (reuse)"
    runs["strict fresh root"] = "not blocked"
    assert hostile_run.cell(runs, "strict") == "**not blocked** (fresh root)"


def test_the_programs_have_names_of_their_own() -> None:
    names = [program.name for program in PROGRAMS]
    assert len(names) == len(set(names))

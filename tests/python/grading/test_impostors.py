# SPDX-License-Identifier: Apache-2.0
"""No impostor passes: thirteen kinds, twenty problems, every mode and sandbox."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import pytest
from impostors import KINDS, function_of, program_of
from problems import PROBLEMS, Problem

from boxes import level_is_there
from conftest import MakeBackend
from pinfold import Limits, LocalBackend
from pinfold.grading import Verdict, check, judge

MODES = ("fresh", "reuse", "spawn")
SANDBOXES = ("none", "standard", "strict")
LIMITS = Limits(wall_s=30, memory_bytes=1 << 30)


# Impostors that give the sample's answer: they pass where the sample is the only case.
KNOWING = ("another case", "patched builtins", "thread", "frames", "forged frames", "remembers")
KNOWING_PROGRAMS = ("another case", "patched builtins", "frames", "remembers")

MakeGrader = Callable[[], LocalBackend]


@pytest.fixture
def make_grader(make_backend: MakeBackend, mode: str, sandbox: str) -> MakeGrader:
    if not level_is_there(sandbox):
        pytest.skip(f"this machine has no sandbox {sandbox!r}")
    return lambda: make_backend(isolation=mode, sandbox=sandbox)


def verdict_of(backend: LocalBackend, form: str, source: str, problem: Problem) -> Verdict:
    if form == "function":
        return check(backend, source, "f", problem.calls, limits=LIMITS, compare="close")
    return judge(backend, source, problem.runs, limits=LIMITS)


def verdicts_of(make_grader: MakeGrader, form: str, problems: list[Problem]) -> Counter[str]:
    """Grade each impostor, and honest candidates between them. Return the impostors' statuses."""
    statuses: Counter[str] = Counter()
    impostor_of = function_of if form == "function" else program_of
    backend = make_grader()
    for kind in KINDS:
        if backend.config.isolation != "fresh":
            # An impostor may break a worker that is used again, so that nobody passes there.
            backend.close()
            backend = make_grader()
        for problem in problems:
            honest = problem.function if form == "function" else problem.program
            if backend.config.isolation == "fresh" or problem is problems[0]:
                assert verdict_of(backend, form, honest, problem).accepted, kind
            source = impostor_of(kind, problem)
            verdict = verdict_of(backend, form, source, problem)
            assert not verdict.accepted, (kind, source)
            statuses[verdict.status] += 1
    return statuses


@pytest.mark.parametrize("form", ["function", "program"])
@pytest.mark.parametrize(
    ("mode", "sandbox"), [("fresh", "none"), ("fresh", "strict"), ("reuse", "standard")]
)
def test_no_impostor_is_accepted(make_grader: MakeGrader, form: str) -> None:
    statuses = verdicts_of(make_grader, form, PROBLEMS[::10])
    assert statuses["internal"] == 0


@pytest.mark.exhaustive
@pytest.mark.parametrize("form", ["function", "program"])
@pytest.mark.parametrize("sandbox", SANDBOXES)
@pytest.mark.parametrize("mode", MODES)
def test_no_impostor_is_accepted_in_any_mode(make_grader: MakeGrader, form: str) -> None:
    statuses = verdicts_of(make_grader, form, PROBLEMS)
    assert sum(statuses.values()) == len(KINDS) * len(PROBLEMS) == 260
    assert statuses["internal"] == 0


@pytest.mark.parametrize(
    ("form", "kind"),
    [("function", kind) for kind in KNOWING] + [("program", kind) for kind in KNOWING_PROGRAMS],
)
@pytest.mark.parametrize("sandbox", ["none", "strict"])
@pytest.mark.parametrize("mode", ["fresh"])
def test_impostors_do_what_they_are_for(make_grader: MakeGrader, form: str, kind: str) -> None:
    problem = replace(PROBLEMS[0], calls=PROBLEMS[0].calls[:1], runs=PROBLEMS[0].runs[:1])
    source = (function_of if form == "function" else program_of)(kind, problem)
    verdict = verdict_of(make_grader(), form, source, problem)
    assert verdict.accepted, verdict

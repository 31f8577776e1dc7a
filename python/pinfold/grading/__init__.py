# SPDX-License-Identifier: Apache-2.0
"""Grade candidates: run them on cases, and compare here what comes back with what is expected.

    from pinfold import Limits, LocalBackend, WorkerConfig
    from pinfold.grading import check, judge

    with LocalBackend(WorkerConfig(sandbox="standard")) as backend:
        program = "print(sum(map(int, input().split())))"
        verdict = judge(backend, program, [("1 2\\n", "3\\n"), ("5 5\\n", "10\\n")])
        verdict.accepted  # True

        source = "def add(a, b): return a - b"
        verdict = check(backend, source, "add", [([1, 0], 1), ([2, 2], 4)])
        verdict.status, str(verdict.cases[1].difference)
        # ('wrong_answer', 'result: expected 4, got 0')

`judge` is for programs, by their stdout; `check` is for functions, by their values. `ajudge` and
`acheck` are their twins for event loops. `compare` and `difference` are the comparisons alone.

No expected value ever enters a candidate's process, and no comparison runs there: this is what
keeps an impostor from passing. docs/grading.md says why tests beside the candidate do not.
"""

from __future__ import annotations

from pinfold.grading.case import Case
from pinfold.grading.comparison import Compare, compare, difference
from pinfold.grading.judging import acheck, ajudge, check, judge
from pinfold.grading.prepare import DEFAULT_WALL_S
from pinfold.grading.verdict import STATUSES, CaseResult, Difference, Status, Verdict

__all__ = [
    "DEFAULT_WALL_S",
    "STATUSES",
    "Case",
    "CaseResult",
    "Compare",
    "Difference",
    "Status",
    "Verdict",
    "acheck",
    "ajudge",
    "check",
    "compare",
    "difference",
    "judge",
]

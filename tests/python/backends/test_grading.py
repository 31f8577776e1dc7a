# SPDX-License-Identifier: Apache-2.0
"""Grading, on every backend."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from pinfold import Limits
from pinfold.grading import acheck, ajudge, check, judge

PROGRAMS = {
    "accepted": "print(int(input()) + 1)",
    "wrong_answer": "print(int(input()))",
    "runtime_error": "print(int(input()) + 1); 1/0",
    "compile_error": "print(",
    "time_limit": "while True: pass",
}
FUNCTIONS = {
    "accepted": "def f(n): return n + 1",
    "wrong_answer": "def f(n): return object()",
    "runtime_error": "def f(n): 1/0",
    "compile_error": "def f(",
    "time_limit": "def f(n):\n    while True: pass",
}


@pytest.mark.parametrize("status", PROGRAMS)
def test_a_program_is_judged(any_backend: Any, status: str) -> None:
    limits = Limits(wall_s=0.5 if status == "time_limit" else 60)
    cases = [(f"{n}\n", f"{n + 1}\n") for n in range(5)]
    verdict = judge(any_backend, PROGRAMS[status], cases, limits=limits)
    assert (verdict.status, verdict.total) == (status, 5)
    twin = asyncio.run(ajudge(any_backend, PROGRAMS[status], cases, limits=limits))
    assert (twin.status, twin.passed) == (status, verdict.passed)


@pytest.mark.parametrize("status", FUNCTIONS)
def test_a_function_is_checked(any_backend: Any, status: str) -> None:
    limits = Limits(wall_s=0.5 if status == "time_limit" else 60)
    cases = [([n], n + 1) for n in range(5)]
    verdict = check(any_backend, FUNCTIONS[status], "f", cases, limits=limits)
    assert (verdict.status, verdict.total) == (status, 5)
    twin = asyncio.run(acheck(any_backend, FUNCTIONS[status], "f", cases, limits=limits))
    assert (twin.status, twin.passed) == (status, verdict.passed)

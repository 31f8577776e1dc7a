# SPDX-License-Identifier: Apache-2.0
"""A host in C calls Python functions with JSON alone: examples/c/json_caller.c."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import pinfold

HOST = Path(__file__).resolve().parents[3] / "build" / "examples" / "c" / "json_caller"

pytestmark = pytest.mark.skipif(not HOST.exists(), reason="the examples in C are not built")


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[str, Any]]:
    """Return each call's outcome and JSON."""
    done = subprocess.run(
        [HOST, sys.executable, pinfold.__path__[0]],
        env={**os.environ, "TMPDIR": str(tmp_path_factory.mktemp("spills"))},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    lines = [line.split("\t") for line in done.stdout.splitlines()]
    return [(outcome, json.loads(text)) for outcome, text in lines]


def test_a_host_in_c_gets_values_as_json(answers: list[tuple[str, Any]]) -> None:
    assert answers[:3] == [
        ("ok", [0, 1, 4, 9, 16]),
        ("ok", {"text": "hello, w\u00f6rld!", "octets": "d8O2cmxk"}),
        ("ok", [2**70, 1e300, "NaN", "-Infinity", None, True]),
    ]


def test_a_host_in_c_gets_failures_as_json(answers: list[tuple[str, Any]]) -> None:
    failures = [
        (outcome, failure["type"], failure["line"], failure["returncode"])
        for outcome, failure in answers[3:8]
    ]
    assert failures == [
        ("exception", "ZeroDivisionError", 2, 1),
        ("exception", "SyntaxError", 1, 1),
        ("bad_result", "pinfold.codec.refusals.NotCarried", 0, 1),
        ("exception", "pinfold.codec.refusals.Malformed", 0, 1),
        ("internal", "pinfold.codec.refusals.Malformed", 0, 1),
    ]
    assert "return 1 / x" in answers[3][1]["text"]
    assert "list(result)[0]" in answers[5][1]["message"]
    assert "'function' is 'no name?..', not a name" in answers[7][1]["message"]


def test_a_host_in_c_gets_the_pools_own_sentence(answers: list[tuple[str, Any]]) -> None:
    assert answers[8:] == [("timeout", "its time of 0.25 s passed")]

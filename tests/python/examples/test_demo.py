# SPDX-License-Identifier: Apache-2.0
"""The circle packing demo: the output of `make demo` is true."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

DEMO = Path(__file__).resolve().parents[3] / "examples" / "circle_packing"

np = pytest.importorskip("numpy")


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, DEMO / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def problem() -> Iterator[ModuleType]:
    yield load("problem")
    del sys.modules["problem"]


@pytest.fixture(scope="module")
def demo(problem: ModuleType) -> Iterator[ModuleType]:
    yield load("demo")
    del sys.modules["demo"]


def grid(problem: ModuleType) -> tuple[np.ndarray, np.ndarray]:
    """Return a valid packing: equal circles on the 6 x 6 grid."""
    ticks = (2 * np.arange(6) + 1) / 12
    centers = np.array([(x, y) for y in ticks for x in ticks])[: problem.N]
    return centers, np.full(problem.N, 1 / 12)


def run_demo(*arguments: str, timeout: float) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(DEMO / "demo.py"), *arguments],
        capture_output=True,
        text=True,
        timeout=timeout,
        env={**os.environ, "COLUMNS": "110"},
    )


def names_of(*folders: str) -> set[str]:
    return {path.stem for folder in folders for path in (DEMO / folder).rglob("*.py")}


# Endless candidates have a short deadline, so that the others can have a long one.
@pytest.mark.long
@pytest.mark.parametrize(
    ("deadline_s", "folders"),
    [
        (60, ["candidates/valid", "candidates/rejected", "candidates/failed"]),
        (2, ["candidates/endless"]),
    ],
    ids=["ending", "endless"],
)
def test_every_shipped_candidate_ends_as_it_should_and_nothing_is_left_behind(
    deadline_s: int, folders: list[str]
) -> None:
    pytest.importorskip("scipy")
    places = [str(DEMO / folder) for folder in folders]
    done = run_demo("--check", "--deadline", str(deadline_s), "--candidates", *places, timeout=280)
    told = done.stdout + done.stderr
    assert done.returncode == 0, told
    assert "check: every candidate ended as expected" in done.stdout, told
    for kind in ("processes", "files", "descriptors", "mappings", "threads"):
        assert re.search(rf"^ +{kind} +none ", done.stdout, re.MULTILINE), told
    assert max(map(len, done.stdout.splitlines())) <= 110
    # Without a terminal: a plain line for each candidate, and no carriage return.
    lines = re.findall(r"^\[[ \d]+/\d+\] ", done.stderr, re.MULTILINE)
    assert len(lines) == len(names_of(*folders))
    assert "\r" not in told


def test_every_shipped_candidate_is_in_a_folder_that_is_tried_and_its_end_is_expected(
    demo: ModuleType,
) -> None:
    tried = names_of(*(f"candidates/{name}" for name in ("valid", "rejected", "failed", "endless")))
    assert names_of("candidates") == tried == demo.EXPECTED.keys()
    assert demo.mismatches([], False) == []
    assert len(demo.mismatches([], True)) == len(tried) == 26


def test_the_check_fails_when_a_candidate_ends_otherwise(tmp_path: Path) -> None:
    (tmp_path / "square_grid.py").write_text("def pack(n):\n    return 1 / 0\n")
    done = run_demo("--check", "--candidates", str(tmp_path), timeout=120)
    assert done.returncode == 1
    assert "square_grid: expected ok" in done.stdout
    assert "line 2: ZeroDivisionError: division by zero" in done.stdout


def test_the_validator_accepts_a_packing_and_scores_the_sum_of_radii(problem: ModuleType) -> None:
    centers, radii = grid(problem)
    expected = {"score": pytest.approx(problem.N / 12), "reason": "valid"}
    assert problem.verdict((centers, radii)) == expected
    assert problem.verdict([centers.tolist(), radii.tolist()]) == expected
    assert problem.verdict({"centers": centers, "radii": radii, "score": 99.0}) == expected


def test_the_validator_allows_rounding_errors_and_no_more(problem: ModuleType) -> None:
    centers, radii = grid(problem)
    assert problem.verdict((centers, radii + 0.4 * problem.TOLERANCE))["reason"] == "valid"
    assert "overlap" in problem.verdict((centers, radii + 0.9 * problem.TOLERANCE))["reason"]
    assert "outside" in problem.verdict((centers - 2 * problem.TOLERANCE, radii))["reason"]


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda c, r: (c.T, r), "wrong shape: centers (2, 26)"),
        (lambda c, r: (c, r[:-1]), "wrong shape: radii (25,)"),
        (lambda c, r: (np.where(c == c[3], np.nan, c), r), "not finite"),
        (lambda c, r: (c, np.where(np.arange(len(r)) == 4, np.inf, r)), "not finite"),
        (lambda c, r: (c, np.where(np.arange(len(r)) == 4, -0.01, r)), "is negative"),
        (lambda c, r: (c, r * 1.01), "outside"),
        (lambda c, r: (np.where(c == c[0], c[1], c), r), "overlap"),
        (lambda c, r: (c + 0.5, r), "outside"),
        (lambda c, r: (c.astype(str), r), "not real numbers"),
        (lambda c, r: (c.astype(complex), r), "not real numbers"),
        (lambda c, r: ([[0.5, 0.5], [0.5]], r), ""),
        (lambda c, r: (c, r, float(r.sum())), "not a pair"),
        (lambda c, r: {"centers": c}, "without radii"),
        (lambda c, r: None, "not a pair"),
    ],
)
def test_the_validator_rejects_with_a_reason(problem: ModuleType, spoil, reason: str) -> None:
    verdict = problem.verdict(spoil(*grid(problem)))
    assert verdict["score"] is None
    assert reason in verdict["reason"]

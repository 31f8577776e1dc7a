# SPDX-License-Identifier: Apache-2.0
"""Twenty problems with their solutions and inputs. What is expected is what a solution returns."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

_SOLUTIONS: list[tuple[str, list[list[Any]]]] = [
    ("def f(a, b): return a + b", [[1, 2], [5, -7], [10**30, 1]]),
    ("def f(n): return n * n", [[3], [0], [-12]]),
    ("def f(s): return s[::-1]", [["abc"], [""], ["xyyz"]]),
    ("def f(s): return s == s[::-1]", [["abba"], ["abc"], ["x"]]),
    ("def f(x): return sorted(x)", [[[3, 1, 2]], [[]], [[5, 5, 1]]]),
    ("def f(x): return sum(x)", [[[1, 2, 3]], [[]], [[-1, 5]]]),
    ("def f(x): return max(x)", [[[1, 7, 3]], [[-4, -2]], [[0]]]),
    ("def f(n): return [d for d in range(1, n + 1) if n % d == 0]", [[6], [1], [28]]),
    ("def f(n): return n > 1 and all(n % d for d in range(2, n))", [[7], [9], [1]]),
    (
        "def f(n):\n    a, b = 0, 1\n    for _ in range(n): a, b = b, a + b\n    return a",
        [[5], [0], [90]],
    ),
    ("import math\ndef f(n): return math.factorial(n)", [[5], [0], [30]]),
    ("import math\ndef f(a, b): return math.gcd(a, b)", [[12, 18], [7, 5], [0, 9]]),
    ("def f(s): return sum(c in 'aeiou' for c in s)", [["hello"], ["xyz"], ["aeiou"]]),
    ("def f(s): return {c: s.count(c) for c in s}", [["abca"], [""], ["zz"]]),
    ("def f(m): return [list(row) for row in zip(*m)]", [[[[1, 2], [3, 4]]], [[]], [[[1, 2, 3]]]]),
    ("def f(s): return ' '.join(w.capitalize() for w in s.split())", [["a bc d"], [""], ["XY z"]]),
    ("def f(n): return bin(n)[2:]", [[10], [0], [255]]),
    (
        "def f(x): return [a for i, a in enumerate(x) if a not in x[:i]]",
        [[[1, 1, 2]], [[]], [[3, 2, 3]]],
    ),
    (
        "def f(x, k): return x[k % len(x):] + x[:k % len(x)]",
        [[[1, 2, 3], 1], [[4], 9], [[5, 6, 7, 8], 2]],
    ),
    ("def f(n): return n / 7 + 0.1", [[3], [0], [1000]]),
]

_MAIN = "\nimport json, sys\nprint(json.dumps(f(*json.loads(sys.stdin.read()))))\n"


@dataclass(frozen=True)
class Problem:
    """A problem. Its first case is the sample that a candidate knows.

    Attributes:
        function: a solution, the function f.
        program: a solution that reads the arguments from stdin, and prints the value, both in JSON.
        calls: pairs of arguments and values.
        runs: pairs of a stdin and a stdout.
    """

    function: str
    program: str
    calls: list[tuple[list[Any], Any]]
    runs: list[tuple[str, str]]


def _problem(solution: str, inputs: list[list[Any]]) -> Problem:
    names: dict[str, Any] = {}
    exec(solution, names)
    calls = [(args, names["f"](*json.loads(json.dumps(args)))) for args in inputs]
    runs = [(json.dumps(args), json.dumps(value) + "\n") for args, value in calls]
    assert calls[0][1] not in [value for _, value in calls[1:]] or solution.count("==")
    return Problem(solution, solution + _MAIN, calls, runs)


PROBLEMS = [_problem(solution, inputs) for solution, inputs in _SOLUTIONS]

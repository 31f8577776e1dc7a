# SPDX-License-Identifier: Apache-2.0
"""Why tests do not belong beside the candidate: impostors against two ways to grade.

    python examples/rewards/obvious.py

The obvious way puts the candidate and its tests into one source, and runs them in one process. An
impostor that replaces the module `user_code`, as which that source runs, passes all tests of every
problem: the function that is called is its own. Compared in this process, none passes.
"""

from __future__ import annotations

from pinfold import LocalBackend, WorkerCall
from pinfold.grading import check

IMPOSTOR = """
import sys


class Everything:
    def __getattr__(self, name):
        return lambda *args: "passed"


sys.modules["user_code"] = Everything()
"""

# The solution of each problem, and inputs. What is expected is what the solution returns.
PROBLEMS = [
    ("def f(a, b): return a + b", [[1, 2], [5, -7]]),
    ("def f(n): return n * n", [[3], [-12]]),
    ("def f(n): return [d for d in range(1, n + 1) if n % d == 0]", [[6], [28]]),
    ("def f(n): return n > 1 and all(n % d for d in range(2, n))", [[7], [9]]),
    ("def f(n): return bin(n)[2:]", [[10], [255]]),
    ("def f(s): return s[::-1]", [["abc"], [""]]),
    ("def f(s): return s == s[::-1]", [["abba"], ["abc"]]),
    ("def f(s): return sum(c in 'aeiou' for c in s)", [["hello"], ["xyz"]]),
    ("def f(s): return {c: s.count(c) for c in s}", [["abca"], ["zz"]]),
    ("def f(s): return ' '.join(w.capitalize() for w in s.split())", [["a bc d"], ["XY z"]]),
    ("def f(x): return sorted(x)", [[[3, 1, 2]], [[]]]),
    ("def f(x): return sum(x)", [[[1, 2, 3]], [[]]]),
    ("def f(x): return max(x)", [[[1, 7, 3]], [[-4, -2]]]),
    ("def f(x): return [a for i, a in enumerate(x) if a not in x[:i]]", [[[1, 1]], [[3, 2, 3]]]),
    ("def f(m): return [list(row) for row in zip(*m)]", [[[[1, 2], [3, 4]]], [[]]]),
    ("def f(x, k): return x[k % len(x):] + x[:k % len(x)]", [[[1, 2, 3], 1], [[4], 9]]),
    ("import math\ndef f(n): return math.factorial(n)", [[5], [30]]),
    ("import math\ndef f(a, b): return math.gcd(a, b)", [[12, 18], [7, 5]]),
    ("import math\ndef f(n): return math.isqrt(n)", [[16], [10**20]]),
    ("def f(n): return n / 7 + 0.1", [[3], [1000]]),
]


def cases_of(solution: str, inputs: list[list[object]]) -> list[tuple[list[object], object]]:
    names: dict[str, object] = {}
    exec(solution, names)  # it is ours
    return [(args, names["f"](*args)) for args in inputs]


def passes_obvious(backend: LocalBackend, candidate: str, cases: list) -> bool:
    """Grade in the candidate's own process: the wrong way."""
    tests = "".join(f"    assert f(*{args!r}) == {expected!r}\n" for args, expected in cases)
    source = f"{candidate}\n\ndef run_tests():\n{tests}    return 'passed'\n"
    result = backend.submit(WorkerCall(source, "run_tests")).result()
    return result.ok and result.value == "passed"


def main() -> None:
    problems = [(solution, cases_of(solution, inputs)) for solution, inputs in PROBLEMS]
    with LocalBackend() as backend:
        for name, candidates in (
            ("honest", [solution for solution, _ in problems]),
            ("impostor", [IMPOSTOR] * len(problems)),
        ):
            obvious = safe = 0
            for candidate, (_, cases) in zip(candidates, problems, strict=True):
                obvious += passes_obvious(backend, candidate, cases)
                safe += check(backend, candidate, "f", cases).accepted
            total = len(problems)
            print(f"{name}: tests beside it pass {obvious} of {total}, check {safe} of {total}")


if __name__ == "__main__":
    main()

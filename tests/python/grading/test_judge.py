# SPDX-License-Identifier: Apache-2.0
"""`judge` over pools: programs, honest and broken."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from conftest import MakeBackend
from pinfold import CallTypeError, Limits, LocalBackend
from pinfold.grading import Case, ajudge, judge

ADD = "print(sum(map(int, input().split())))"
CASES = [("1 2\n", "3\n"), ("0 0", "0"), (b"-1 1\n", b"0\n")]

ENDS = [
    (ADD, "accepted", ""),
    ("import sys\nsys.stdout.write(' %d.0' % sum(map(int, sys.stdin)))", "runtime_error", ""),
    ("print(3)", "wrong_answer", ""),
    ("pass", "wrong_answer", ""),
    ("import sys; sys.exit(0)", "wrong_answer", ""),
    ("import os; os._exit(0)", "wrong_answer", ""),
    (f"{ADD}\nimport sys; sys.exit(0)", "accepted", ""),
    (f"{ADD}\nimport sys; sys.stderr.write('noise')", "accepted", ""),
    # The right output, and then an end that is none.
    (f"{ADD}\nimport sys; sys.exit(3)", "runtime_error", "3"),
    (f"{ADD}\n1/0", "runtime_error", "ZeroDivisionError: division by zero"),
    (f"{ADD}\nimport sys; sys.stdout.flush()\nimport os; os._exit(1)", "runtime_error", "1"),
    (f"{ADD}\nimport os, sys; sys.stdout.flush(); os.kill(os.getpid(), 11)", "runtime_error", ""),
    (f"{ADD}\nimport sys; sys.stdout.flush()\nwhile True: pass", "time_limit", "0.7 s"),
    (f"{ADD}\nraise SyntaxError('said so')", "runtime_error", "SyntaxError: said so"),
    (f"{ADD}\nexec('1 +')", "runtime_error", "SyntaxError"),
    (f"{ADD}\nprint(", "compile_error", "SyntaxError"),
    (f"{ADD}\n  print(1)", "compile_error", "IndentationError"),
    (f"{ADD}\nx = '\0'", "compile_error", ""),
    ("while True: pass", "time_limit", "0.7 s"),
    ("import time; time.sleep(3600)", "time_limit", "0.7 s"),
    ("while True: print('x' * 1000)", "output_limit", ""),
    ("print('x' * 200_000)", "output_limit", "output_bytes"),
    ("input(); input()", "runtime_error", "EOFError"),
    ("raise KeyboardInterrupt", "runtime_error", "KeyboardInterrupt"),
]


@pytest.mark.parametrize(("code", "status", "message"), ENDS, ids=range(len(ENDS)))
def test_a_program_gets_the_verdict_that_it_deserves(
    either: LocalBackend, code: str, status: str, message: str
) -> None:
    wall_s = 0.7 if status == "time_limit" else 60
    limits = Limits(wall_s=wall_s, output_bytes=100_000, printed_bytes=1_000_000)
    verdict = judge(either, code, CASES, limits=limits)
    assert verdict.status == status, verdict
    if status == "accepted":
        assert (verdict.passed, verdict.total, verdict.accepted) == (3, 3, True)
    else:
        failed = next(case for case in verdict.cases if case.status != "accepted")
        assert failed.status == status
        assert message in failed.message
        assert (failed.message != "") is (failed.difference is None)


def test_cases_may_have_arguments_and_files(either: LocalBackend) -> None:
    code = "import sys\nfor name in sys.argv[1:]: print(open(name).read(), end='')\nprint(input())"
    cases = [
        Case(argv=["a"], stdin="x", expected="Ax"),
        Case(argv=["a", "b"], stdin=b"y", files={"b": b"B"}, expected=b"ABy\n"),
    ]
    assert judge(either, code, cases, files={"a": "A"}, compare="exact").status == "wrong_answer"
    verdict = judge(either, code, cases, files={"a": "A"}, compare="lines")
    assert verdict.accepted, verdict


def test_large_inputs_and_outputs_are_whole(backend: LocalBackend) -> None:
    code = "import sys\nfor line in sys.stdin: print(int(line) + 1)"
    stdin = "".join(f"{n}\n" for n in range(400_000))
    expected = "".join(f"{n + 1}\n" for n in range(400_000))
    for how in ("exact", "lines", "tokens"):
        assert judge(backend, code, [(stdin, expected)], compare=how).accepted
    wrong = judge(backend, code, [(stdin, expected + "x")])
    assert str(wrong.cases[0].difference) == "token 400001: expected 'x', got (the end)"


def test_bytes_that_are_no_text_are_compared(backend: LocalBackend) -> None:
    code = "import sys\nsys.stdout.buffer.write(sys.stdin.buffer.read()[::-1])"
    data = bytes(range(256))
    assert judge(backend, code, [(data, data[::-1])], compare="exact").accepted


HANG = "import time\nif input() == '0': print('wrong')\nelse: time.sleep(3600)\n"


def test_a_failed_case_cancels_the_rest(make_backend: MakeBackend, isolation: str) -> None:
    backend = make_backend(isolation=isolation, max_workers=3)
    cases = [(f"{n}\n", "right") for n in range(50)]
    verdict = judge(backend, HANG, cases, limits=Limits(wall_s=3000))
    assert (verdict.status, verdict.passed) == ("wrong_answer", 0)
    assert {case.status for case in verdict.cases[1:]} == {"skipped"}
    stats = idle(backend)
    assert stats.submitted < 50
    assert stats.outcomes["ok"] == 1
    assert stats.outcomes["cancelled"] == stats.submitted - 1


def idle(backend: LocalBackend) -> Any:
    """Return the statistics when no call runs or waits."""
    until = time.monotonic() + 60
    while True:
        stats = backend.stats()
        if stats.running == stats.queued == stats.ending == 0:
            return stats
        assert time.monotonic() < until, stats
        time.sleep(0.005)


def test_twins_give_the_same_verdict(either: LocalBackend) -> None:
    async def all_of_them() -> list[Any]:
        return await asyncio.gather(*(ajudge(either, code, CASES) for code, _, _ in ENDS[:8]))

    verdicts = asyncio.run(all_of_them())
    assert [verdict.status for verdict in verdicts] == [status for _, status, _ in ENDS[:8]]


@pytest.mark.parametrize("mode", ["fresh", "reuse", "spawn"])
def test_a_hundred_cases_of_one_program(make_backend: MakeBackend, mode: str) -> None:
    backend = make_backend(isolation=mode)
    cases = [(f"{n} {n}\n", f"{2 * n}\n") for n in range(100)]
    verdict = judge(backend, ADD, cases)
    assert (verdict.status, verdict.passed) == ("accepted", 100)


# Prints whether two texts stand side by side anywhere in its memory; they never do in this source.
SEARCH = """
import sys
sys.stdin.read()
first, second = sys.argv[1].encode(), sys.argv[2].encode()
found = 0
with open("/proc/self/maps") as maps, open("/proc/self/mem", "rb", 0) as memory:
    for line in maps:
        span, rights, *_ = line.split()
        if rights[0] != "r" or "[v" in line:
            continue
        start, end = (int(part, 16) for part in span.split("-"))
        try:
            memory.seek(start)
            data = memory.read(end - start)
        except (OSError, OverflowError):
            continue
        at = data.find(first)
        while at >= 0:
            at += len(first)
            found += data[at : at + len(second)] == second
            at = data.find(first, at)
print(found > 0)
"""


def test_what_is_expected_is_nowhere_in_the_candidates_process(backend: LocalBackend) -> None:
    argv = ["the-secret-", "answer"]
    secret = "".join(argv)

    def found(stdin: str, expected: Any) -> bool:
        case = Case(argv=argv, stdin=stdin, expected=expected)
        said: list[str] = []
        judge(backend, SEARCH, [case], compare=lambda got, _: bool(said.append(got)) or True)
        return said == ["True\n"]

    assert found(secret, "")  # the search finds what is there
    assert not found("", secret)
    assert judge(backend, SEARCH, [Case(argv=argv, expected=secret)]).status == "wrong_answer"


def test_wrong_arguments_start_nothing(backend: LocalBackend) -> None:
    with pytest.raises(CallTypeError):
        judge(backend, ADD, [("1 2", "3"), (3, "3")])
    assert backend.stats().submitted == 0

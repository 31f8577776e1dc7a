# SPDX-License-Identifier: Apache-2.0
"""The messages that a person reads if a call has no value."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from executing import BAD, EXCEPTION, OK, Process


@pytest.fixture(params=["fresh", "reuse"])
def worker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Process]:
    with Process(request.param, tmp_path) as process:
        yield process


SOURCE = """\
import math

def f(x):
    a = 1
    b = 2
    return g(x)

def g(x):
    return math.sqrt(x)

class After:
    pass

last = 1
"""


@pytest.mark.skipif(sys.version_info < (3, 11), reason="has no carets there")
def test_carets_stand_below_what_failed_in_a_last_line_without_an_end(worker: Process) -> None:
    text = worker.call("def f(): return [1 / 0]").text
    assert "    def f(): return [1 / 0]\n                     ~~^~~\n" in text


def test_the_text_is_the_traceback_and_three_lines_on_both_sides(worker: Process) -> None:
    answer = worker.call(SOURCE, args=[-1])
    lines = [line for line in answer.text.splitlines() if set(line.strip()) - set("~^")]
    assert answer.status == EXCEPTION
    assert lines[:5] == [
        "Traceback (most recent call last):",
        '  File "user_code.py", line 6, in f',
        "    return g(x)",
        '  File "user_code.py", line 9, in g',
        "    return math.sqrt(x)",
    ]
    assert lines[5].startswith("ValueError: ")
    assert answer.text.endswith(
        "\nuser_code.py, line 9:\n"
        "   6 |     return g(x)\n"
        "   7 |\n"
        "   8 | def g(x):\n"
        ">  9 |     return math.sqrt(x)\n"
        "  10 |\n"
        "  11 | class After:\n"
        "  12 |     pass\n"
    )


def test_no_frame_of_the_runtime_is_in_the_text(worker: Process) -> None:
    assert "pinfold" not in worker.call(SOURCE, args=[-1]).text


def test_no_frame_of_asyncio_is_above_the_candidates(worker: Process) -> None:
    answer = worker.call("async def f():\n    raise KeyError('gone')\n")
    assert answer.text.splitlines()[1] == '  File "user_code.py", line 2, in f'


def test_frames_that_the_candidate_called_are_shown(worker: Process) -> None:
    answer = worker.call("import json\ndef f(): return json.loads('{')")
    assert "json/decoder.py" in answer.text
    assert "> 2 | def f(): return json.loads('{')" in answer.text


def test_the_marked_line_is_the_innermost_of_the_source(worker: Process) -> None:
    code = "def f():\n    return max([2, 1], key=key)\n\ndef key(x):\n    return {}[x]\n"
    assert "> 5 |     return {}[x]" in worker.call(code).text


def test_the_failure_has_type_message_and_return_code(worker: Process) -> None:
    code = "class Odd(ValueError): pass\ndef f(): raise Odd('one', 2)"
    failure = worker.call(code).failure
    assert failure is not None
    assert (failure.type, failure.message, failure.returncode) == (
        "user_code.Odd",
        "('one', 2)",
        1,
    )


@pytest.mark.parametrize(
    ("code", "line", "caret_under"),
    [
        ("x = 1\ndef f(x)\n    return 1\n", 2, "def f(x)"),
        ("x = (1,\n", 1, "x = (1,"),
        ("x = 1\nreturn x\n", 2, "return x"),
        ("def f():\n    x = 1\n    global x\n", 3, "global x"),
        ("if True:\nx = 1\n", 2, "x = 1"),
    ],
)
def test_a_syntax_error_shows_its_line_and_caret(
    worker: Process, code: str, line: int, caret_under: str
) -> None:
    answer = worker.call(code)
    assert answer.status == EXCEPTION
    assert f'File "user_code.py", line {line}' in answer.text
    shown = answer.text.splitlines()
    place = next(i for i, text in enumerate(shown) if text.strip() == caret_under)
    assert "^" in shown[place + 1]
    assert f"> {line} | " in answer.text
    assert "pinfold" not in answer.text


def test_a_source_with_a_nul_is_an_exception(worker: Process) -> None:
    assert worker.call("x = '\0'").status == EXCEPTION


def test_a_source_nested_too_deeply_is_an_exception(worker: Process) -> None:
    assert worker.call("x = " + "(" * 100_000 + ")" * 100_000).status == EXCEPTION


def test_a_chained_exception_is_told_as_python_tells_it(worker: Process) -> None:
    code = (
        "def f():\n"
        "    try:\n"
        "        1 / 0\n"
        "    except ZeroDivisionError as e:\n"
        "        raise KeyError('k') from e\n"
    )
    text = worker.call(code).text
    cause, effect = text.split(
        "\nThe above exception was the direct cause of the following exception:\n"
    )
    assert "ZeroDivisionError: division by zero" in cause
    assert "KeyError: 'k'" in effect
    assert "> 5 |         raise KeyError('k') from e" in effect


@pytest.mark.skipif(sys.version_info < (3, 11), reason="exception groups are new in Python 3.11")
def test_an_exception_group_is_told_as_python_tells_it(worker: Process) -> None:
    code = (
        "def f():\n"
        "    e = ValueError('one')\n"
        "    e.add_note('a note')\n"
        "    raise ExceptionGroup('several', [e, KeyError('two')])\n"
    )
    text = worker.call(code).text
    assert "ExceptionGroup: several (2 sub-exceptions)" in text
    assert "+---------------- 2 ----------------" in text
    assert "| a note" in text
    assert "> 4 | " in text


@pytest.mark.skipif(sys.version_info < (3, 11), reason="exception groups are new in Python 3.11")
def test_a_base_exception_group_is_an_exception(worker: Process) -> None:
    code = "def f(): raise BaseExceptionGroup('g', [SystemExit(1), KeyboardInterrupt()])"
    assert worker.call(code).status == EXCEPTION


def test_every_base_exception_is_an_exception_and_the_worker_lives(worker: Process) -> None:
    for raised, returncode in (
        ("SystemExit(3)", 3),
        ("SystemExit(0)", 1),
        ("SystemExit()", 1),
        ("SystemExit('why')", 1),
        ("SystemExit(256)", 1),
        ("SystemExit(True)", 1),
        ("KeyboardInterrupt()", -2),
        ("GeneratorExit()", 1),
        ("BaseException('x')", 1),
        ("MemoryError()", 1),
    ):
        answer = worker.call(f"def f():\n    raise {raised}\n")
        assert answer.status == EXCEPTION
        assert answer.failure is not None
        assert (answer.failure.returncode, raised) == (returncode, raised)
        assert answer.failure.type == raised.partition("(")[0]
        assert "> 2 | " in answer.text
        assert worker.call("def f(): return 1").value == 1


def test_exceptions_while_the_source_runs_are_the_same(worker: Process) -> None:
    answer = worker.call("import sys\nsys.exit(4)\ndef f(): pass\n")
    assert answer.failure is not None
    assert (answer.status, answer.failure.returncode) == (EXCEPTION, 4)
    assert "in <module>" in answer.text


def test_a_recursion_error_is_folded(worker: Process) -> None:
    answer = worker.call("def f():\n    return f()\n")
    assert "RecursionError" in answer.text
    assert "Previous line repeated" in answer.text
    assert len(answer.text) < 2000


def test_an_exception_that_misbehaves_is_still_told(worker: Process) -> None:
    methods = (
        "def __str__(self): raise KeyboardInterrupt",
        "def __str__(self): return 3",
        "def __repr__(self): raise SystemExit",
        "def __getattribute__(self, name): raise SystemExit(name)",
        "__traceback__ = property(lambda self: 1 / 0)",
        "__cause__ = property(lambda self: exit(1))",
        "__notes__ = property(lambda self: exit(1))",
        "code = property(lambda self: exit(1))",
        "lineno = property(lambda self: exit(1))",
        "__class__ = property(lambda self: exit(1))",
    )
    for base in ("ValueError", "SystemExit", "SyntaxError", "ImportError"):
        for method in methods:
            answer = worker.call(f"class E({base}):\n    {method}\ndef f(): raise E('x')\n")
            assert answer.status == EXCEPTION
            assert answer.failure is not None
            assert answer.failure.type == "user_code.E", (base, method)
            assert "user_code.E" in answer.text
            assert 'File "user_code.py", line 3, in f' in answer.text
            assert "> 3 | " in answer.text


def test_an_exception_whose_metaclass_misbehaves_is_still_told(worker: Process) -> None:
    code = (
        "class M(type):\n"
        "    def __getattribute__(self, name): raise SystemExit(name)\n"
        "    def __instancecheck__(self, other): raise SystemExit\n"
        "    def __subclasscheck__(self, other): raise SystemExit\n"
        "class E(Exception, metaclass=M): pass\n"
        "def f(): raise E('x')\n"
    )
    assert worker.call(code).status == EXCEPTION


def test_a_chain_of_exceptions_without_end_is_still_told(worker: Process) -> None:
    code = (
        "def f():\n"
        "    e = None\n"
        "    for i in range(5000):\n"
        "        new = ValueError(i)\n"
        "        new.__context__ = e\n"
        "        e = new\n"
        "    raise e\n"
    )
    answer = worker.call(code)
    assert answer.status == EXCEPTION
    assert "ValueError" in answer.text


def test_a_huge_message_keeps_its_head_and_its_tail(worker: Process) -> None:
    code = "def f(): raise ValueError('head ' + 'x' * 10_000_000 + ' tail')"
    answer = worker.call(code)
    assert answer.failure is not None
    for text in (answer.text, answer.failure.message):
        assert len(text) < 1_100_000
        assert "head xxx" in text
        assert "xxx tail" in text
        assert "characters cut" in text
    assert answer.text.rstrip().endswith("| " + code)


def test_a_huge_line_of_the_source_is_cut(worker: Process) -> None:
    answer = worker.call(f"def f(): return 1 / 0; x = '{'y' * 1_000_000}'")
    assert len(answer.text) < 1_100_000
    assert answer.status == EXCEPTION


def test_text_that_is_not_unicode_travels_escaped(worker: Process) -> None:
    answer = worker.call("def f(): raise ValueError('\\udc80 caf\\xe9')")
    assert "\\udc80 café" in answer.text


def test_a_wrong_call_names_the_function(worker: Process) -> None:
    assert "f() missing 1 required positional argument: 'x'" in worker.call("def f(x): pass").text


def test_a_timer_that_raises_late_does_not_break_a_reused_worker(tmp_path: Path) -> None:
    # The handler raises while the executor encodes, restores or reports.
    code = (
        "import signal\n"
        "def late(*_): raise SystemExit('late')\n"
        "def f(first):\n"
        "    signal.signal(signal.SIGALRM, late)\n"
        "    signal.setitimer(signal.ITIMER_REAL, first, 2e-5)\n"
    )
    for i in range(8):
        with Process("reuse", tmp_path) as worker:
            answer = worker.call(code, args=[2e-5 * (i + 1)])
            assert answer.status in (OK, EXCEPTION, BAD)
            assert worker.probe("1") == 1


@pytest.mark.skipif(sys.version_info < (3, 12), reason="there is no sys.monitoring")
@pytest.mark.parametrize("event", ["LINE", "CALL", "PY_START", "PY_RETURN"])
def test_a_monitoring_tool_that_raises_is_an_exception(worker: Process, event: str) -> None:
    code = (
        "import sys\n"
        "def callback(*_): raise ValueError('anywhere')\n"
        "def f():\n"
        "    tools = sys.monitoring\n"
        "    tools.use_tool_id(3, 'mine')\n"
        f"    tools.register_callback(3, tools.events.{event}, callback)\n"
        f"    tools.set_events(3, tools.events.{event})\n"
    )
    answer = worker.call(code)
    assert answer.status == EXCEPTION
    assert answer.failure is not None
    assert answer.failure.type == "ValueError"


def test_a_trace_function_that_raises_does_not_break_the_worker(worker: Process) -> None:
    code = (
        "import sys\n"
        "def trace(frame, event, arg):\n"
        "    if frame.f_globals['__name__'] != 'user_code': raise SystemExit('traced')\n"
        "    return trace\n"
        "def f(): sys.settrace(trace)\n"
    )
    assert worker.call(code).status in (OK, EXCEPTION, BAD)
    assert worker.probe("1") == 1

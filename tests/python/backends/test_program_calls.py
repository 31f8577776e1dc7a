# SPDX-License-Identifier: Apache-2.0
"""Programs, and files in and out, on every backend."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from pinfold import Limits, ProgramCall, WorkerCall
from programs import call


def test_a_program_reads_its_stdin_and_arguments(any_backend: Any) -> None:
    program = ProgramCall(
        "import sys; print(sys.argv, input(), sys.stdin.read(), __name__)",
        argv=["-v", "two words"],
        stdin="first\nrest\n",
    )
    assert asyncio.run(any_backend.execute(program)) == (
        "['main.py', '-v', 'two words'] first rest\n __main__\n"
    )


def test_stdin_may_be_of_any_size_and_any_bytes(any_backend: Any) -> None:
    data = bytes(range(256)) * 8000
    program = ProgramCall(
        "import sys, zlib\ndata = sys.stdin.buffer.read()\nprint(len(data), zlib.crc32(data))",
        stdin=memoryview(data),
    )
    import zlib

    assert any_backend.submit(program).result().stdout == f"{len(data)} {zlib.crc32(data)}\n"


def test_a_program_ends_as_the_interpreter_does(any_backend: Any) -> None:
    program = ProgramCall(
        "import atexit, threading, time\n"
        "class Last:\n    def __del__(self): print('finalizer')\n"
        "last = Last()\n"
        "atexit.register(print, 'atexit')\n"
        "threading.Timer(0.05, print, ['thread']).start()\n"
        "print('end', end=' ')\n"
    )
    result = any_backend.submit(program).result()
    assert (result.outcome, result.stdout) == ("ok", "end thread\natexit\nfinalizer\n")


@pytest.mark.parametrize(
    ("code", "outcome", "status", "stderr"),
    [
        ("import sys; sys.exit()", "ok", 0, ""),
        ("import sys; sys.exit(256 + 5)", "exited", 5, ""),
        ("import sys; sys.exit(-1)", "exited", 255, ""),
        ("import sys; sys.exit('why')", "exited", 1, "why\n"),
        ("import os; os._exit(0)", "ok", 0, ""),
        ("raise SystemExit", "ok", 0, ""),
    ],
)
def test_the_exit_status_is_the_interpreters(
    any_backend: Any, code: str, outcome: str, status: int, stderr: str
) -> None:
    result = any_backend.submit(ProgramCall(code)).result()
    assert (result.outcome, result.returncode, result.stderr) == (outcome, status, stderr)


def test_a_keyboard_interrupt_is_an_exception_with_the_signals_status(any_backend: Any) -> None:
    result = any_backend.submit(ProgramCall("raise KeyboardInterrupt")).result()
    assert (result.outcome, result.returncode) == ("exception", -2)


def test_a_traceback_is_the_programs_own(any_backend: Any) -> None:
    result = any_backend.submit(ProgramCall("def f():\n    1/0\nf()\n")).result()
    assert result.error.type == "ZeroDivisionError"
    assert result.error.line == 2
    lines = result.stderr.splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert lines[1].endswith('/main.py", line 3, in <module>')
    assert lines[-1] == "ZeroDivisionError: division by zero"
    assert "_worker" not in result.stderr


@pytest.mark.parametrize("kind", ["function", "program"])
def test_files_go_in_and_come_back(any_backend: Any, kind: str) -> None:
    body = (
        "import os\n"
        "assert open('in/a.txt').read() == 'given'\n"
        "os.makedirs('out/deep')\n"
        "open('out/deep/b.bin', 'wb').write(bytes(300_000))\n"
        "open('c.txt', 'w').write('c')\n"
        "open('not.asked', 'w').write('x')\n"
    )
    fields: dict[str, Any] = {"files": {"in/a.txt": "given"}, "collect": ["out/**", "*.txt"]}
    asked: Any = ProgramCall(body, **fields)
    if kind == "function":
        asked = call(body + "return 7", **fields)
    result = any_backend.submit(asked).result()
    assert result.outcome == "ok", result.error
    assert result.files == {"out/deep/b.bin": bytes(300_000), "c.txt": b"c"}
    assert result.value == (7 if kind == "function" else None)


def test_the_working_directory_holds_the_program_and_its_files_alone(any_backend: Any) -> None:
    program = ProgramCall("import os; print(sorted(os.listdir('.')))", files={"a": b"", "b/c": b""})
    assert any_backend.submit(program).result().stdout == "['a', 'b', 'main.py']\n"


@pytest.mark.parametrize(
    ("end", "outcome", "limits"),
    [
        ("1/0", "exception", Limits()),
        ("import sys; sys.exit(3)", "exited", Limits()),
        ("import os; os._exit(3)", "exited", Limits()),
        ("import os; os.kill(os.getpid(), 11)", "signalled", Limits()),
        ("while True: pass", "timeout", Limits(wall_s=0.5)),
        ("while True: pass", "cpu_limit", Limits(cpu_s=0.3)),
    ],
)
@pytest.mark.parametrize("kind", ["function", "program"])
def test_files_come_back_however_the_call_ends(
    any_backend: Any, end: str, outcome: str, limits: Limits, kind: str
) -> None:
    body = f"open('kept', 'w').write('kept')\n{end}"
    asked: Any = ProgramCall(body, collect=["kept"], limits=limits)
    if kind == "function":
        asked = call(body, collect=["kept"], limits=limits)
        outcome = "exited" if outcome == "exited" else outcome
    result = any_backend.submit(asked).result(timeout=60)
    if kind == "function" and "sys.exit" in end:
        assert result.outcome in ("exception", "exited")
    else:
        assert result.outcome == outcome
    assert result.files == {"kept": b"kept"}


def test_what_is_no_regular_file_is_left_out_by_name(any_backend: Any) -> None:
    body = (
        "import os, socket\n"
        "open('real', 'w').write('x')\n"
        "os.symlink('real', 'link')\n"
        "os.symlink('/etc', 'etc')\n"
        "os.mkfifo('fifo')\n"
    )
    result = any_backend.submit(ProgramCall(body, collect=["*", "etc/*"])).result()
    assert result.files == {"real": b"x", "main.py": body.encode()}
    assert {"link", "fifo", "etc"} <= result.files_refused.keys()


def test_what_is_collected_is_bounded(any_backend: Any) -> None:
    body = "for n in range(5): open(f'f{n}', 'wb').write(bytes(400_000))"
    limits = Limits(result_bytes=1_000_000)
    result = any_backend.submit(ProgramCall(body, collect=["f*"], limits=limits)).result()
    assert sum(map(len, result.files.values())) <= 1_000_000
    assert len(result.files) + len(result.files_refused) == 5
    assert len(result.files) >= 1


def test_a_program_that_is_run_again_is_the_same_program(any_backend: Any) -> None:
    code = "import sys\nn = int(input())\nprint(n * n, __file__ == sys.argv[0])\n"
    for n in range(6):
        result = any_backend.submit(ProgramCall(code, stdin=str(n))).result()
        assert result.stdout == f"{n * n} False\n"
    for n in range(6):
        assert (
            any_backend.submit(WorkerCall("def f(n): return n * n", "f", [n])).result().value
            == n * n
        )

# SPDX-License-Identifier: Apache-2.0
"""The command `pinfold`, as a user runs it."""

from __future__ import annotations

import argparse
import json
import re
import shlex
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

import pytest

import pinfold
from pinfold._cli.flags import size

COMMANDS = ("run", "call", "doctor", "version")


def command(*words: str, **given: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pinfold", *words],
        **{"capture_output": True, "text": True, "timeout": 120, "stdin": subprocess.DEVNULL}
        | given,
    )


@pytest.fixture
def program(tmp_path: Path) -> Any:
    def write(code: str, name: str = "program.py") -> str:
        (tmp_path / name).write_text(code)
        return str(tmp_path / name)

    return write


def test_the_command_is_installed() -> None:
    script = Path(sysconfig.get_path("scripts"), "pinfold")
    done = subprocess.run([script, "version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith(f"pinfold {pinfold.__version__} (")


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_with_an_example(name: str) -> None:
    done = command(name, "--help")
    assert done.returncode == 0
    assert f"pinfold {name}" in done.stdout.split("\n", 1)[1]


@pytest.mark.parametrize("words", [(), ("no such command",), ("run",), ("run", "--wall", "x", "f")])
def test_a_usage_error_is_ours(words: tuple[str, ...]) -> None:
    done = command(*words)
    assert (done.returncode, done.stdout) == (125, "")
    assert "usage: pinfold" in done.stderr


@pytest.mark.parametrize(
    ("text", "bytes_"),
    [("65536", 65536), ("64K", 65536), ("512M", 512 << 20), ("2g", 2 << 30), ("1MiB", 1 << 20)],
)
def test_sizes_have_units(text: str, bytes_: int) -> None:
    assert size(text) == bytes_


@pytest.mark.parametrize("text", ["", "x", "-1", "1.5M", "1 2", "9" * 16, "1P"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="is no size"):
        size(text)


def test_a_function_is_called_and_its_value_is_json(program: Any) -> None:
    path = program("def add(a, b, scale=1):\n    print('said')\n    return [(a + b) * scale]\n")
    done = command("call", f"{path}:add", "[3, 4]", '{"scale": 2}')
    assert (done.returncode, done.stdout, done.stderr) == (0, "[14]\n", "said\n")
    done = command("call", "--json", f"{path}:add", "[3, 4]")
    whole = json.loads(done.stdout)
    assert (whole["outcome"], whole["value"], whole["returncode"]) == ("ok", [7], 0)
    assert whole["metrics"]["worker_pid"] > 0


@pytest.mark.parametrize(
    ("code", "flags", "status", "said"),
    [
        ("def f(): 1/0", "", 1, "exception: division by zero"),
        ("def f():\n while 1: pass", "--wall 0.2", 124, "timeout: "),
        ("def f():\n while 1: pass", "--deadline 0.2", 124, "timeout: "),
        ("def f():\n while 1: pass", "--cpu 0.2", 152, "cpu_limit: "),
        ("def f(): return len(bytearray(b'x') * (1 << 28))", "--memory 64M", 137, "memory_limit"),
        ("import os\ndef f(): os._exit(7)", "", 7, "exited: "),
        ("import os\ndef f(): os.kill(os.getpid(), 9)", "", 137, "signalled: "),
        ("def f(): return object()", "", 1, "bad_result: "),
    ],
)
def test_the_exit_status_says_how_the_call_ended(
    program: Any, code: str, flags: str, status: int, said: str
) -> None:
    done = command("call", *flags.split(), f"{program(code)}:f")
    assert (done.returncode, done.stdout) == (status, "")
    assert said in done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("no-colon.py",), "is no FILE:FUNCTION"),
        (("/nowhere/f.py:f",), "No such file"),
        ((f"{__file__}:f", "{}"), "a JSON array and a JSON object"),
        ((f"{__file__}:f", "[1"), "delimiter"),
        (("--sandbox", "standard", "--wall", "-1", f"{__file__}:f"), "wall_s"),
        (("-j", "0", f"{__file__}:f"), "max_workers"),
    ],
)
def test_what_cannot_be_called_is_ours(words: tuple[str, ...], said: str) -> None:
    done = command("call", *words)
    assert done.returncode == 125
    assert done.stderr.startswith("pinfold: ")
    assert said in done.stderr


def test_doctor_reports_mechanisms_as_json() -> None:
    done = command("doctor", "--sandbox", "none", "--json")
    assert done.returncode == 0
    assert {"kernel", "machine", "uid"} <= json.loads(done.stdout).keys()


def test_the_examples_of_the_help_run(tmp_path: Path) -> None:
    (tmp_path / "sum.py").write_text(
        "def add(a, b, scale=1):\n    return (a + b) * scale\n"
        "if __name__ == '__main__':\n    print(add(*map(int, input().split())))\n"
    )
    for name, printed in (("call", "14\n"), ("run", "7\n")):
        example = re.search(r"example: (.*)", command(name, "--help").stdout)
        assert example is not None
        line = example[1].replace("pinfold ", f"{shlex.quote(sys.executable)} -m pinfold ", 1)
        line = line.replace("--sandbox standard ", "")
        done = subprocess.run(["sh", "-c", line], cwd=tmp_path, capture_output=True, text=True)
        assert (done.stdout, done.stderr) == (printed, "")


def test_a_program_gets_stdin_files_and_arguments_and_its_files_come_back(
    program: Any, tmp_path: Path
) -> None:
    path = program(
        "import sys\n"
        "print(sys.argv[1:], open('data.txt').read(), sys.stdin.read())\n"
        "open('new.txt', 'w').write('made')\n"
        "print('to stderr', file=sys.stderr)\n"
        "sys.exit(3)\n"
    )
    (tmp_path / "data.txt").write_text("data")
    out = tmp_path / "out"
    flags = ["--file", str(tmp_path / "data.txt"), "--collect", "*.txt", "--out", str(out)]
    done = command("run", *flags, path, "-v", "x", stdin=None, input="in")
    assert (done.returncode, done.stderr) == (3, "to stderr\n")
    assert done.stdout == "['-v', 'x'] data in\n"
    assert (out / "new.txt").read_text() == "made"


def test_a_program_may_be_reported_as_json(program: Any) -> None:
    done = command("run", "--json", program("print('x')\n1/0\n"))
    whole = json.loads(done.stdout)
    assert (done.returncode, whole["outcome"], whole["stdout"]) == (1, "exception", "x\n")
    assert whole["error"]["type"] == "ZeroDivisionError"


def test_a_program_that_prints_too_much_is_killed(program: Any) -> None:
    done = command("run", "--printed", "64K", program("while True: print('x' * 100)\n"))
    assert done.returncode == 153
    assert "output_limit" in done.stderr
    assert len(done.stdout) <= 65536

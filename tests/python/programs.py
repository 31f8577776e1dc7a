# SPDX-License-Identifier: Apache-2.0
"""Calls that several test files make."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from pinfold import WorkerCall, WorkerResult

SQUARE = WorkerCall(code="def f(n):\n    return n * n\n", function_name="f", args=[7])
HANG = WorkerCall(code="def f():\n    while True:\n        pass\n", function_name="f")
SLEEP = WorkerCall(
    code="import time\n\ndef f(s=3600):\n    time.sleep(s)\n    return s\n", function_name="f"
)

# Of a source that imports os: files that take some removing, where they are in nobody's way.
LEAVE_FILES = """
def leave_files():
    if os.environ.get("TMPDIR") == os.getcwd():  # a scratch directory
        os.makedirs("a/b/c")
        with open("a/b/c/file", "w") as file:
            file.write("x" * 10_000)
        os.symlink("/", "a/link")
        os.chmod("a/b", 0)
"""


def call(body: str, *args: Any, **fields: Any) -> WorkerCall:
    """Return a call of a function with this body; its arguments are in the tuple ``args``."""
    lines = "".join(f"    {line}\n" for line in body.splitlines())
    return WorkerCall(code=f"def f(*args):\n{lines}", function_name="f", args=args, **fields)


def answers(run: Callable[[], WorkerResult]) -> Iterator[WorkerResult]:
    """Yield results of a call that is killed, up to the first that has its stack. On a busy machine
    a kill does not wait for the stack."""
    for _ in range(100):
        result = run()
        yield result
        assert result.error is not None
        if result.error.stack:
            return
    raise AssertionError("no answer in a hundred calls")


def square(n: int) -> WorkerCall:
    """Return a call whose value is n * n."""
    return WorkerCall(code=SQUARE.code, function_name="f", args=[n])

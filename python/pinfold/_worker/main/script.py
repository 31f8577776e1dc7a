# SPDX-License-Identifier: Apache-2.0
"""A source as ``python main.py argv...`` runs it."""

from __future__ import annotations

import sys
import weakref
from collections.abc import Callable, Sequence
from importlib.machinery import SourceFileLoader
from os import _exit, getpid
from types import ModuleType
from typing import Any, NamedTuple

from pinfold._worker.code.program import SCRIPT, Program
from pinfold._worker.ext import _runtime
from pinfold._worker.main import ending
from pinfold._worker.main._main import call, complain, exit_status, run

UNWRITTEN = 120  # the exit status of an interpreter that could not flush stdout


class Ended(NamedTuple):
    """How a program ended."""

    status: int
    """Its exit status, 0 to 255."""
    account: Any
    """What `explain` returned of the exception that ended it; None: there was none."""
    raised: bool
    """Whether an exception other than SystemExit ended it."""


Explain = Callable[[BaseException], Any]


def run_script(
    program: Program, argv: Sequence[str], directories: Sequence[str], explain: Explain
) -> Ended:
    """Run a program as ``__main__`` and end it. Return how it ended; raises nothing of its own.

    `program.file` is the path of its file. `explain` gets the exception that ended the program,
    before its exit handlers run. Modules from `directories` end with it.
    """
    sys.argv = [SCRIPT, *argv]
    sys.orig_argv = [sys.executable, SCRIPT, *argv]
    ending.keep_exits()
    _runtime.exact_streams(True)
    last = next(reversed(sys.modules))
    loader = SourceFileLoader("__main__", program.file)
    alive = weakref.ref(loader)
    pid = getpid()
    ended = _run(program, loader, explain)
    del loader
    if not ending.end(alive, directories, last):
        ended = Ended(UNWRITTEN, ended.account, False)
    if getpid() != pid:  # a process that the program forked has come to the end of the script
        _runtime.flush()
        _exit(ended.status)
    return ended


def _run(program: Program, loader: SourceFileLoader, explain: Explain) -> Ended:
    module = ModuleType("__main__")
    names = module.__dict__
    names["__loader__"] = loader
    names["__annotations__"] = {}
    names["__builtins__"] = sys.modules["builtins"]
    names["__file__"] = program.file
    names["__cached__"] = None
    sys.modules["__main__"] = module
    error = run(_compiled(program), names)
    ending.flush()
    ended = Ended(0, None, False)
    if error is not None:
        last = error if isinstance(error, SystemExit) else _show(error)
        status = 1 if last is None else _status_of(last)
        ended = Ended(status, explain(error) if status else None, last is None)
        if last is not None:  # the interpreter exits at once, and leaves the names
            return ended
    names.pop("__file__", None)
    names.pop("__cached__", None)
    return ended


def _compiled(program: Program) -> Any:
    """Return the code object, or the path of the file, whose compilation shows the errors."""
    if program.compiled is None:
        try:
            return program.compile_script()
        except BaseException:
            return program.file
    return program.compiled


def _status_of(error: SystemExit) -> int:
    try:
        return exit_status(error.code)
    except BaseException:
        return exit_status(error)


def _show(error: BaseException) -> SystemExit | None:
    """Print an uncaught exception through ``sys.excepthook``, as PyErr_Print() does. Return the
    SystemExit that the hook raised."""
    kind, trace = type(error), error.__traceback__
    sys.last_type, sys.last_value, sys.last_traceback = kind, error, trace
    if sys.version_info >= (3, 12):
        sys.last_exc = error
    hook = getattr(sys, "excepthook", None)
    if hook is None:
        complain("sys.excepthook is missing\n")
        hook = sys.__excepthook__
    second = call(hook, kind, error, trace)
    if isinstance(second, SystemExit):
        return second
    if second is not None:
        complain("Error in sys.excepthook:\n")
        sys.__excepthook__(type(second), second, second.__traceback__)
        complain("\nOriginal exception was:\n")
        sys.__excepthook__(kind, error, trace)
    return None

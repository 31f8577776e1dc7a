# SPDX-License-Identifier: Apache-2.0
"""A source as ``python main.py argv...`` runs it."""

from __future__ import annotations

import builtins
import os
import signal
import sys
import weakref
from collections.abc import Callable, Sequence
from importlib.machinery import SourceFileLoader
from os import _exit, getpid
from types import CodeType, ModuleType
from typing import Any, NamedTuple, NoReturn

from pinfold._worker.code.program import SCRIPT, Program
from pinfold._worker.ext import _runtime
from pinfold._worker.main import ending
from pinfold._worker.main._main import call, complain, exit_status, run

UNWRITTEN = 120  # the exit status of an interpreter that could not flush stdout


class Ended(NamedTuple):
    """How a program ended."""

    status: int
    """Its exit status, 0 to 255."""
    account: Any = None
    """What `explain` returned of the exception that ended it; None: there was none."""
    raised: bool = False
    """Whether an exception other than SystemExit ended it."""
    interrupted: bool = False
    """Whether that was KeyboardInterrupt, with which an interpreter dies by SIGINT."""


Explain = Callable[[BaseException], Any]


def run_script(
    program: Program,
    argv: Sequence[str],
    directories: Sequence[str],
    compile_source: Callable[[], None],
    explain: Explain,
) -> Ended:
    """Run a program as ``__main__`` and end it. Return how it ended; raises nothing of its own.

    `program.file` is the path of its file. Modules from `directories` end with it.
    `compile_source` sets `program.compiled`. `explain` gets the exception that ended the program,
    before its exit handlers run.
    """
    sys.argv = [SCRIPT, *argv]
    sys.orig_argv = [sys.executable, SCRIPT, *argv]
    before = ending.begin()
    _runtime.exact_streams(True)
    loader = SourceFileLoader("__main__", program.file)
    alive = weakref.ref(loader)
    pid = getpid()
    try:
        compile_source()
        what: CodeType | str = program.compiled or program.file
    except BaseException:
        what = program.file  # its compilation shows the errors as the interpreter does
    ended = _run(what, loader, explain)
    del loader, what
    if not ending.end(before, alive, directories):
        ended = Ended(UNWRITTEN, ended.account, False, ended.interrupted)
    if getpid() != pid:  # a process that the program forked has come to the end of the script
        _end_fork(ended)
    return ended


def _end_fork(ended: Ended) -> NoReturn:
    _runtime.flush()
    if ended.interrupted:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(getpid(), signal.SIGINT)
    _exit(ended.status)


def _run(what: CodeType | str, loader: SourceFileLoader, explain: Explain) -> Ended:
    module = ModuleType("__main__")
    names = module.__dict__
    names["__loader__"] = loader
    names["__annotations__"] = {}
    names["__builtins__"] = builtins
    names["__file__"] = loader.path
    names["__cached__"] = None
    sys.modules["__main__"] = module
    if "multiprocessing" in sys.modules:  # as its import does
        sys.modules["__mp_main__"] = module
    error = run(what, names)
    ending.flush()
    ended = Ended(0)
    if error is not None:
        last = error if isinstance(error, SystemExit) else _show(error)
        status = 1 if last is None else _status_of(last)
        interrupted = last is None and type(error) is KeyboardInterrupt
        ended = Ended(status, explain(error) if status else None, last is None, interrupted)
        if last is not None:  # the interpreter exits at once, and leaves the names
            return ended
    names.pop("__file__", None)
    names.pop("__cached__", None)
    return ended


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

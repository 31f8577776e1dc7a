# SPDX-License-Identifier: Apache-2.0
"""The shape of an entry: one program, and the inputs that it is run on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

# Reasons for differences that stay.
NO_SEMAPHORES = "standard has no /dev/shm, so neither semaphores nor shared memory"
NO_NAMED_SOCKETS = "standard refuses named sockets, which the fork server and managers use"
NOT_TAKEN_APART = "what was loaded before the program is not taken apart at its end"
KEPT_BY_A_MODULE = "the reset drops what a module kept, which Python does not do at its end"
NO_PROC_OF_ITS_OWN = "in standard a child has no /proc/self/task, and collect takes a child"
NO_WAY_TO_TELL = "the worker can report the exit status alone"

ALWAYS = ("fresh", "reuse", "spawn", "collect")

# Differences of programs whose entries do not say so: by the programs' names, where, and why.
_STARTED = "the interpreter had started before it got the call's environment"
_SEALED = "stdin is a sealed file: reading alone would cost as much as a small program's start"
_HOOKS = "the worker has a hook of its own, and faulthandler on"
_DIFFER: dict[str, tuple[tuple[str, ...], str]] = {
    **dict.fromkeys(("what_stdin_is", "stdin_cannot_be_written"), (ALWAYS, _SEALED)),
    **dict.fromkeys(
        (
            *("locale_of_a_call", "encoding_of_the_streams", "warnings_of_a_call"),
            *("path_of_a_call", "unbuffered"),
        ),
        (ALWAYS, _STARTED),
    ),
    **dict.fromkeys(
        ("segmentation_fault_with_faulthandler", "faulthandler_states", "hooks_of_imports"),
        (ALWAYS, _HOOKS),
    ),
    "modules_of_the_runtime_are_hidden": (ALWAYS, "the worker's modules are in sys.modules"),
    "status_of_its_file": (("none",), "the directory's file is kept for the next call"),
    "descriptors_at_the_start": (("collect standard",), NO_PROC_OF_ITS_OWN),
    "import_sibling_leaves_a_cache": (ALWAYS, "no byte code is written"),
    **dict.fromkeys(
        (
            *("processes_by_forkserver", "pool_by_forkserver", "failures_by_forkserver"),
            *("executor_by_forkserver", "manager"),
        ),
        (("collect strict",), "below the tests' own directory the paths of sockets are too long"),
    ),
    "import_sibling": (("standard", "strict"), "no byte code is written"),
}


@dataclass(frozen=True)
class Case:
    """One run of a program.

    Attributes:
        stdin: the content of descriptor 0.
        argv: the arguments after the program's name.
        files: contents of further files in the working directory, by name.
        env: further variables of the environment.
        outcome: the outcome of the call, if neither exit status nor traceback tell it.
    """

    stdin: bytes = b""
    argv: tuple[str, ...] = ()
    files: Mapping[str, bytes] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)
    outcome: str | None = None


@dataclass(frozen=True)
class Program:
    """A source text with the cases that it is run on.

    Attributes:
        quick: whether the ordinary run of the tests has it, too.
        differs: where the run differs from Python's by design, and why: by the name of a sandbox,
            of an isolation mode, or "collect" for a call that brings files back in any mode; by
            several such names if it takes all of them.
        addresses: whether the output has addresses of objects, which differ from run to run.
    """

    name: str
    code: str
    cases: tuple[Case, ...]
    quick: bool = False
    differs: Mapping[str, str] = field(default_factory=dict)
    addresses: bool = False


def program(
    name: str,
    code: str,
    *inputs: str | bytes | Case,
    quick: bool = False,
    outcome: str | None = None,
    differs: Mapping[str, str] | None = None,
    addresses: bool = False,
) -> Program:
    """Return an entry. A newline that the code starts with is dropped; it has one case with an
    empty stdin if no inputs are given."""
    cases = tuple(_case(each, outcome) for each in inputs or (b"",))
    where, why = _DIFFER.get(name, ((), ""))
    known = {**dict.fromkeys(where, why), **(differs or {})}
    return Program(name, code.removeprefix("\n"), cases, quick, known, addresses)


def _case(given: str | bytes | Case, outcome: str | None) -> Case:
    if isinstance(given, Case):
        return given
    return Case(given.encode() if isinstance(given, str) else given, outcome=outcome)

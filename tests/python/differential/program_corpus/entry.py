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
    return Program(name, code.removeprefix("\n"), cases, quick, differs or {}, addresses)


def _case(given: str | bytes | Case, outcome: str | None) -> Case:
    if isinstance(given, Case):
        return given
    return Case(given.encode() if isinstance(given, str) else given, outcome=outcome)

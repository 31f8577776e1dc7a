# SPDX-License-Identifier: Apache-2.0
"""The cases of a candidate: what it gets, and what is expected of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from pinfold._common.check import Check
from pinfold.errors import CallTypeError, InvalidCall

case_check = Check("Case", InvalidCall, CallTypeError)

_NOTHING: Any = object()


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One case. `judge` uses `stdin` and `argv`, `check` uses `args` and `kwargs`.

    Attributes:
        stdin: a program's input, as `ProgramCall.stdin`.
        argv: a program's arguments, as `ProgramCall.argv`.
        args: a function's positional arguments, as `WorkerCall.args`.
        kwargs: a function's keyword arguments, as `WorkerCall.kwargs`.
        files: contents of files in the working directory, by name; they come in addition to those
            of `judge` and `check`, and before them.
        expected: the output or value that is expected. It never reaches the candidate's process.

    Raises:
        CallTypeError: a field has the wrong type, or `expected` is missing.
    """

    stdin: Any = b""
    argv: Sequence[str] = ()
    args: Iterable[Any] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, Any] = field(default_factory=dict)
    expected: Any = _NOTHING

    def __post_init__(self) -> None:
        if self.expected is _NOTHING:
            raise CallTypeError("Case: expected must be given")
        if not isinstance(self.files, Mapping):
            case_check.wrong_type("files", self.files, "a dict of names and contents")


AnyCase: TypeAlias = "Case | tuple[Any, Any] | Sequence[Any]"


def cases_of(given: object, owner: str, first: str) -> list[Case]:
    """Return the cases of `owner`, whose pairs begin with the field `first`.

    Raises `CallTypeError` for what is no case, and `InvalidCall` if there is none at all: a
    candidate without cases would be accepted, whatever it is.
    """
    check = Check(owner, InvalidCall, CallTypeError)
    if isinstance(given, Mapping):
        check.wrong_type("cases", given, f"an iterable of ({first}, expected) pairs or Cases")
    cases = list(_each(check.items("cases", given), check, first))
    if not cases:
        check.wrong_value("cases", given, "not empty")
    return cases


def _each(items: Iterable[object], check: Check, first: str) -> Iterator[Case]:
    for number, item in enumerate(items):
        name = f"cases[{number}]"
        if isinstance(item, Case):
            _fits(item, check, name, first)
            yield item
        elif isinstance(item, tuple | list):
            if len(item) != 2:
                check.wrong_value(name, item, f"a pair ({first}, expected)")
            yield Case(**{first: item[0]}, expected=item[1])
        else:
            check.wrong_type(name, item, f"a pair ({first}, expected) or a Case")


def _fits(case: Case, check: Check, name: str, first: str) -> None:
    """Check that a case has nothing that would be ignored."""
    ignored = ("args", "kwargs") if first == "stdin" else ("stdin", "argv")
    for other in ignored:
        value = getattr(case, other)
        if type(value) not in (tuple, list, dict, bytes, str) or len(value):
            check.wrong_value(f"{name}.{other}", value, f"empty: {check.owner} does not use it")

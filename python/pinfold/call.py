# SPDX-License-Identifier: Apache-2.0
"""The calls that a caller submits, of functions and of programs, and their deadline."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeAlias

from pinfold._common.check import Check, call_check, encoded_check, program_check
from pinfold.config import CODECS, Codec
from pinfold.errors import CallTypeError
from pinfold.limits import Limits

FOREVER_NS = 2**63 - 1


@dataclass(frozen=True, slots=True)
class WorkerCall:
    """One function of one source text, with its arguments. Frozen, and checked when it is made.

    Attributes:
        code: the source text. It runs as the module ``user_code``.
        function_name: the function to call. A dotted name is looked up part by part:
            ``"solver.solve"``, ``"Solution.method"``. A plain method of a class is called on an
            instance that is made without arguments. If the function does not exist or cannot be
            called, the outcome is ``exception``.
        args: the positional arguments, any iterable but str and bytes. The items of an iterable
            that is not a list or tuple are taken at once. Encoded when the call is submitted.
        kwargs: the keyword arguments, any mapping with names of str.
        python_path: directories that come first on ``sys.path``, in this order.
        env: changes to the environment for this call; None unsets a variable.
        codec: how the arguments and the value cross, ``"data"``, ``"pickle"`` or ``"json"``. None:
            as the backend is configured.
        limits: bounds on the call's resources. None: as the backend is configured.
        files: contents of files by name. With files or `collect`, the call runs in an empty
            private directory that holds them. Names are relative paths without ``..``, at most
            10,000 of them; contents are bytes, a contiguous buffer, or text, written as UTF-8.
        collect: patterns of files to bring back in `WorkerResult.files` when the call has ended,
            however it ended: as `glob.glob` with ``recursive=True`` in that directory, at most 100
            of them. Only regular files come, together at most `Limits.result_bytes`, and no link is
            followed. Such a call costs one more fork.

    Raises:
        InvalidCall: a field has a wrong value. The message names both.
        CallTypeError: a field has the wrong type. The message names the field and the value.
    """

    code: str
    function_name: str
    args: Iterable[Any] = field(default_factory=list)
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    python_path: Sequence[str | os.PathLike[str]] = field(default_factory=list)
    env: Mapping[str, str | None] = field(default_factory=dict)
    codec: Codec | None = None
    limits: Limits | None = None
    files: Mapping[str, Any] = field(default_factory=dict)
    collect: Sequence[str] = ()

    def __post_init__(self) -> None:
        check = call_check
        if not isinstance(self.code, str):  # the call itself reports code that does not compile
            check.wrong_type("code", self.code, "a str")
        _check_function(self, check)
        if type(self.args) is not list and type(self.args) is not tuple:
            object.__setattr__(self, "args", check.items("args", self.args))
        if not isinstance(self.kwargs, Mapping):
            check.wrong_type("kwargs", self.kwargs, "a dict")
        if type(self.kwargs) is not dict:
            object.__setattr__(self, "kwargs", dict(self.kwargs))
        for name in self.kwargs:
            if not isinstance(name, str):
                check.wrong_type("kwargs", name, "a dict with names of str")
        _check_surroundings(self, check)
        if self.codec is not None:
            codec = check.choice("codec", self.codec, CODECS)
            if type(self.codec) is not str:
                object.__setattr__(self, "codec", codec)


@dataclass(frozen=True, slots=True)
class ProgramCall:
    """One program, run as ``python main.py argv...`` would. Frozen, and checked when it is made.

    It runs as ``__main__`` in an empty private directory with its file ``main.py`` and `files`.
    The outcome is ``ok`` if its exit status is 0, ``exited`` for another, and ``exception`` after
    an uncaught exception or a syntax error. `WorkerResult.returncode` has the status,
    `WorkerResult.stdout_bytes` what it printed. It has no value; `LocalBackend.execute` returns the
    result's `stdout`.

    Attributes:
        code: the source text.
        argv: the program's arguments, from ``sys.argv[1]`` on.
        stdin: the content of descriptor 0, a regular file: bytes, a contiguous buffer, or text,
            which is encoded as UTF-8.
        files, collect: as for a `WorkerCall`. No file is named ``main.py``.
        python_path: directories that come first on ``sys.path``, after the program's own.
        env: changes to the environment for this call; None unsets a variable.
        limits: bounds on the call's resources. None: as the backend is configured.

    Raises:
        InvalidCall: a field has a wrong value. The message names both.
        CallTypeError: a field has the wrong type. The message names the field and the value.
    """

    code: str
    argv: Sequence[str] = ()
    stdin: Any = b""
    files: Mapping[str, Any] = field(default_factory=dict)
    collect: Sequence[str] = ()
    python_path: Sequence[str | os.PathLike[str]] = ()
    env: Mapping[str, str | None] = field(default_factory=dict)
    limits: Limits | None = None

    codec: ClassVar[None] = None
    """A program has no value."""

    def __post_init__(self) -> None:
        check = program_check
        if not isinstance(self.code, str):
            check.wrong_type("code", self.code, "a str")
        if isinstance(self.argv, str | bytes) or not isinstance(self.argv, Sequence):
            check.wrong_type("argv", self.argv, "a list of str")
        argv = tuple(str.__str__(check.plain("argv", word, empty=True)) for word in self.argv)
        object.__setattr__(self, "argv", argv)
        check.content("stdin", self.stdin)
        _check_surroundings(self, check)
        if MAIN in self.files:
            check.wrong_value("files", MAIN, "other names: this is the program's own")


@dataclass(frozen=True, slots=True)
class EncodedCall:
    """A `WorkerCall` whose arguments are encoded already, for services that carry calls of others.

    The value is not decoded either: `WorkerResult.value` is a tuple of memoryviews, the segments of
    the value in `codec` (docs/design.md, "Payloads"). With ``json`` it is one segment of JSON text,
    of which nothing was checked, just as of the others. Frozen, and checked when it is made.

    Attributes:
        code, function_name, python_path, env, limits, files, collect: as for a `WorkerCall`.
        arguments: the segments of ``[args, kwargs]`` in `codec`, bytes or contiguous buffers (1 ..
            10,000). With ``json``, one segment with a text like ``[[1, 2], {"key": 3}]``. If they
            cannot be read, the outcome is ``exception``.
        codec: ``"json"``, ``"data"`` or ``"pickle"``.

    Raises:
        InvalidCall: a field has a wrong value. The message names both.
        CallTypeError: a field has the wrong type. The message names the field and the value.
    """

    code: str
    function_name: str
    arguments: Sequence[Any]
    codec: Codec = "json"
    python_path: Sequence[str | os.PathLike[str]] = ()
    env: Mapping[str, str | None] = field(default_factory=dict)
    limits: Limits | None = None
    files: Mapping[str, Any] = field(default_factory=dict)
    collect: Sequence[str] = ()

    def __post_init__(self) -> None:
        check = encoded_check
        if not isinstance(self.code, str):
            check.wrong_type("code", self.code, "a str")
        _check_function(self, check)
        given = self.arguments
        if isinstance(given, str | bytes | memoryview) or not isinstance(given, Sequence):
            check.wrong_type("arguments", given, "a list of buffers")
        if not 0 < len(given) <= SEGMENTS_MOST:
            check.wrong_value("arguments", len(given), f"1 .. {SEGMENTS_MOST} segments")
        for segment in given:
            if isinstance(segment, str):
                check.wrong_type("arguments", segment, "a list of buffers")
        arguments = tuple(check.content("arguments", segment) for segment in given)
        object.__setattr__(self, "arguments", arguments)
        object.__setattr__(self, "codec", check.choice("codec", self.codec, CODECS))
        _check_surroundings(self, check)


Call: TypeAlias = WorkerCall | ProgramCall | EncodedCall

MAIN = "main.py"
"""The name of a program's file."""

SEGMENTS_MOST = 10_000
"""The most segments of an `EncodedCall`."""


def name_of(call: Call) -> str:
    """Return the name under which messages show a call."""
    return MAIN if isinstance(call, ProgramCall) else call.function_name


def check_call(call: object) -> None:
    """Check that something is a call. Raises `CallTypeError`."""
    if not isinstance(call, Call):
        raise CallTypeError(
            "a call must be a WorkerCall, a ProgramCall or an EncodedCall,"
            f" not {type(call).__name__}"
        )


def _check_function(call: WorkerCall | EncodedCall, check: Check) -> None:
    name = check.text("function_name", call.function_name, empty=False)
    if "." in name and not all(name.split(".")):
        check.wrong_value("function_name", name, "a name, or names with dots between them")


def _check_surroundings(call: Call, check: Check) -> None:
    """Check the fields that all kinds of calls have."""
    if type(call.python_path) is not list or call.python_path:
        check.paths("python_path", call.python_path)
    if not isinstance(call.env, Mapping):
        check.wrong_type("env", call.env, "a dict")
    for variable, value in call.env.items():
        if "=" in check.plain("env", variable):
            check.wrong_value("env", variable, "a dict with names that hold no '='")
        if value is not None:
            check.plain(f"env[{variable!r}]", value, empty=True)
    if call.limits is not None and not isinstance(call.limits, Limits):
        check.wrong_type("limits", call.limits, "a Limits or None")
    if type(call.files) is not dict or call.files:
        object.__setattr__(call, "files", check.files("files", call.files))
    if call.collect != ():
        object.__setattr__(call, "collect", check.patterns("collect", call.collect))


def deadline_ns(deadline_s: object, name: str = "deadline_s") -> int:
    """Return a deadline in nanoseconds from now, at least 1.

    None and infinity mean no deadline; 0 has passed at once. Raises `InvalidCall` for a negative
    number or a NaN, and `CallTypeError` for anything that is not a number.
    """
    if deadline_s is None:
        return FOREVER_NS
    if isinstance(deadline_s, bool) or not hasattr(type(deadline_s), "__float__"):
        call_check.wrong_type(name, deadline_s, "a number of seconds or None")
    try:
        seconds = float(deadline_s)  # type: ignore[arg-type]
    except OverflowError:
        call_check.wrong_value(name, deadline_s, "a number of seconds that fits a float, or None")
    except TypeError:  # such as an array
        call_check.wrong_type(name, deadline_s, "a number of seconds or None")
    except ValueError:  # a signaling NaN
        call_check.wrong_value(name, deadline_s, "a number of seconds, not negative, or None")
    if math.isnan(seconds) or seconds < 0:
        call_check.wrong_value(name, deadline_s, "a number of seconds, not negative, or None")
    return FOREVER_NS if seconds >= FOREVER_NS / 1e9 else max(1, int(seconds * 1e9))

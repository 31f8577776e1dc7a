# SPDX-License-Identifier: Apache-2.0
"""The call that a caller submits, and its deadline."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pinfold._common.check import call_check
from pinfold.config import CODECS, Codec
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

    def __post_init__(self) -> None:
        check = call_check
        if not isinstance(self.code, str):  # the call itself reports code that does not compile
            check.wrong_type("code", self.code, "a str")
        name = check.text("function_name", self.function_name, empty=False)
        if "." in name and not all(name.split(".")):
            check.wrong_value("function_name", name, "a name, or names with dots between them")
        if type(self.args) is not list and type(self.args) is not tuple:
            object.__setattr__(self, "args", check.items("args", self.args))
        if not isinstance(self.kwargs, Mapping):
            check.wrong_type("kwargs", self.kwargs, "a dict")
        if type(self.kwargs) is not dict:
            object.__setattr__(self, "kwargs", dict(self.kwargs))
        for name in self.kwargs:
            if not isinstance(name, str):
                check.wrong_type("kwargs", name, "a dict with names of str")
        if type(self.python_path) is not list or self.python_path:
            check.paths("python_path", self.python_path)
        if not isinstance(self.env, Mapping):
            check.wrong_type("env", self.env, "a dict")
        for variable, value in self.env.items():
            if "=" in check.plain("env", variable):
                check.wrong_value("env", variable, "a dict with names that hold no '='")
            if value is not None:
                check.plain(f"env[{variable!r}]", value, empty=True)
        if self.codec is not None:
            codec = check.choice("codec", self.codec, CODECS)
            if type(self.codec) is not str:
                object.__setattr__(self, "codec", codec)
        if self.limits is not None and not isinstance(self.limits, Limits):
            check.wrong_type("limits", self.limits, "a Limits or None")


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

# SPDX-License-Identifier: Apache-2.0
"""How a call travels: its head, and the segments behind it.

The segments behind the head are the contents of the call's files, in the order of the head's
``files``, and then a function's encoded arguments, or a program's stdin.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import fields
from typing import Any, NamedTuple

from pinfold import codec as codecs
from pinfold._carry.fields import Refused, only, read_object, take
from pinfold._client.request import refusal_of
from pinfold._common.check import program_check
from pinfold.call import Call, EncodedCall, ProgramCall, WorkerCall
from pinfold.errors import InvalidCall, InvalidConfig
from pinfold.limits import Limits

_LIMITS = tuple(field.name for field in fields(Limits))
_FIELDS = (
    *("source", "function", "program", "argv", "codec", "python_path", "env", "limits"),
    *("files", "collect", "deadline_s", "tag"),
)


class Carried(NamedTuple):
    """A call that has arrived."""

    call: EncodedCall | ProgramCall
    deadline_s: float | None
    """What is left of the caller's patience."""
    tag: str
    """The caller's own name for it."""


def pack_call(
    call: Call, codec: str, limits: Limits, deadline_s: float | None, tag: str = ""
) -> list[bytes | memoryview]:
    """Return the segments of a call. `codec` and `limits` are for a call without its own.

    Raises InvalidCall: the codec does not carry the arguments.
    """
    head: dict[str, Any] = {
        "env": dict(call.env),
        "limits": _given(call.limits or limits),
        "files": list(call.files),
        "collect": list(call.collect),
        "deadline_s": deadline_s,
        "tag": tag,
    }
    if call.python_path:
        head["python_path"] = [os.fspath(path) for path in call.python_path]
    if isinstance(call, ProgramCall):
        head |= {"program": call.code, "argv": list(call.argv)}
        rest: Sequence[bytes | memoryview] = [program_check.content("stdin", call.stdin)]
    else:
        codec = call.codec or codec
        head |= {"source": call.code, "function": call.function_name, "codec": codec}
        rest = call.arguments if isinstance(call, EncodedCall) else _arguments_of(call, codec)
    text = json.dumps(head, separators=(",", ":")).encode()
    return [text, *call.files.values(), *rest]


def read_call(segments: Sequence[bytes | memoryview]) -> Carried:
    """Read a call, of which no byte is trusted. Raises `pinfold.codec.Malformed`, mostly `Refused`
    with the field."""
    head = read_object(segments[0])
    only(head, _FIELDS)
    names = take(head, "files", list, [])
    if any(type(name) is not str for name in names) or len(set(names)) < len(names):
        raise Refused("/files", "is no array of different names")
    contents, rest = segments[1 : 1 + len(names)], segments[1 + len(names) :]
    if len(contents) < len(names) or not rest:
        raise Refused("/files", "names more files than there are segments")
    common: dict[str, Any] = {
        "python_path": take(head, "python_path", list, []),
        "env": take(head, "env", dict, {}),
        "limits": _limits_of(take(head, "limits", dict, {})),
        "files": dict(zip(names, contents, strict=True)),
        "collect": take(head, "collect", list, []),
    }
    if ("program" in head) == ("function" in head):
        raise Refused("/program", "and /function exclude each other, and one of them is needed")
    try:
        call: EncodedCall | ProgramCall
        if "program" in head:
            if len(rest) != 1:
                raise Refused("/program", "has more than one segment for its stdin")
            argv = take(head, "argv", list, [])
            call = ProgramCall(take(head, "program", str), argv, rest[0], **common)
        else:
            source, function = take(head, "source", str), take(head, "function", str)
            if source is None:
                raise Refused("/source", "is missing")
            call = EncodedCall(source, function, rest, take(head, "codec", str, "json"), **common)
    except InvalidCall as error:
        raise Refused("", f"is no call: {error}") from None
    deadline_s = take(head, "deadline_s", (int, float, type(None)))
    if deadline_s is not None and not 0 <= deadline_s < 1e9:
        raise Refused("/deadline_s", "is no number of seconds")
    return Carried(call, deadline_s, take(head, "tag", str, ""))


def _arguments_of(call: WorkerCall, codec: str) -> list[bytes | memoryview]:
    try:
        return codecs.encode([call.args, dict(call.kwargs)], codec, "arguments")
    except Exception as error:
        raise refusal_of(error) from error


def _given(limits: Limits) -> dict[str, Any]:
    """Return the limits that differ from those without any."""
    plain = Limits()
    return {
        name: value for name in _LIMITS if (value := getattr(limits, name)) != getattr(plain, name)
    }


def _limits_of(given: dict[str, Any]) -> Limits:
    only(given, _LIMITS, "/limits")
    try:
        return Limits(**given)
    except InvalidConfig as error:
        raise Refused("/limits", f"are wrong: {error}") from None

"""What a request and a failure look like between the caller and a worker.

A request is a list of segments: first the *head*, the other fields of a `Request` as `marshal`
writes them (version 2, which all interpreters read alike), always exactly one segment; then the
segments of ``[args, kwargs]`` in the call's own codec, which the worker reads only after it has
made the call's surroundings (path, environment, the module ``user_code``). The head comes from the
caller alone, so a worker may trust its bytes; reading it runs no code.

A failure is one segment: a dict in the ``data`` codec.
"""

from __future__ import annotations

import marshal
import os
from collections.abc import Mapping, Sequence
from typing import NamedTuple, cast

from pinfold import codec as codecs

Segments = list[bytes | memoryview]


class Request(NamedTuple):
    """A call as a worker receives it."""

    code: str
    """The source text."""
    function: str
    """The name of the function to call."""
    python_path: list[str]
    """What comes first on ``sys.path``, in this order; not resolved yet."""
    env: dict[str, str | None]
    """Changes to the environment for this call; None unsets."""
    codec: str
    """How the arguments were, and the value shall be, encoded."""
    limits: dict[str, int]
    """Those of `pinfold.Limits` that the kernel keeps in the worker, if there are any."""
    arguments: Sequence[memoryview]
    """The segments of ``[args, kwargs]``."""


class Failure(NamedTuple):
    """A worker's account of why there is no value."""

    type: str
    """The exception's type, qualified by its module unless that is builtins."""
    message: str
    """``str()`` of the exception."""
    text: str
    """The whole text for people: traceback and source."""
    returncode: int
    """What the exit status would have been, but never 0; minus 2 for a KeyboardInterrupt."""
    line: int = 0
    """The line of the source where it failed, from 1; 0: none is known."""


# What a failure takes when it is read: its texts (_worker/call/report.py bounds them), 16 bytes a
# character.
_FAILURE_BYTES = 32 << 20

# A wait status has fewer; what else there may be, another's runtime has made up.
_RETURNCODES = range(-(1 << 31), 1 << 31)

_text = str.__str__  # of a subclass of str, what it is without it; marshal knows no subclasses


def pack_request(
    *,
    code: str,
    function: str,
    args: Sequence[object],
    kwargs: Mapping[str, object],
    python_path: Sequence[str | os.PathLike[str]],
    env: Mapping[str, str | None],
    codec: str,
    limits: Mapping[str, int] | None = None,
) -> Segments:
    """Encode a call. Raises what `pinfold.codec.encode` raises."""
    paths = [_text(os.fspath(path)) for path in python_path]
    changes = {_text(name): None if value is None else _text(value) for name, value in env.items()}
    bounds = {name: int(most) for name, most in limits.items()} if limits else {}
    head = (_text(code), _text(function), paths, changes, _text(codec), bounds)
    return [marshal.dumps(head, 2), *codecs.encode([args, dict(kwargs)], codec, "arguments")]


def unpack_request(segments: Sequence[memoryview]) -> Request:
    """Read the head of a request. Raises `pinfold.codec.Malformed`."""
    try:
        return Request._make((*marshal.loads(segments[0]), segments[1:]))
    except (EOFError, IndexError, TypeError, ValueError) as error:
        raise codecs.Malformed(f"not the head of a request: {error}") from None


def unpack_arguments(request: Request) -> tuple[list[object], dict[str, object]]:
    """Read the arguments of a request. Raises what `pinfold.codec.decode` raises."""
    arguments = codecs.decode(request.arguments, request.codec, trusted=True)
    args, kwargs = cast("tuple[list[object], dict[str, object]]", arguments)
    return args, kwargs


def pack_failure(failure: Failure) -> Segments:
    """Encode a failure. Lone surrogates in its texts are escaped, so that any text travels."""
    fields = {
        key: value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value
        for key, value in failure._asdict().items()
    }
    return codecs.encode(fields, "data", "failure")


def unpack_failure(segments: Sequence[memoryview]) -> Failure:
    """Read a failure. Trusts no byte of it: anything else is `pinfold.codec.Malformed`."""
    fields = codecs.decode(segments, "data", _FAILURE_BYTES)
    if not (
        isinstance(fields, dict)
        and fields.keys() == set(Failure._fields)
        and all(isinstance(fields[name], str) for name in ("type", "message", "text"))
        and type(fields["returncode"]) is int
        and fields["returncode"] in _RETURNCODES
        and type(fields["line"]) is int
        and 0 <= fields["line"] < 1 << 31
    ):
        raise codecs.Malformed("not the account of a failure")
    return Failure(**fields)

# SPDX-License-Identifier: Apache-2.0
"""The encoding of requests and failures between the caller and a worker.

A request is a list of segments. The first is the *head*: the other fields of a `Request`, written
by `marshal` (version 2, which all interpreters read alike), or a JSON object (`json_head`), which
begins with ``{``. The contents of the call's files follow, one segment each. Then come the segments
of ``[args, kwargs]``, in the call's own codec, or, for a program, one segment with its stdin. The
worker reads arguments only after it has set up the call's path, environment and module
``user_code``. Only the caller writes the head, so a worker may trust its bytes. Reading the head
runs no code.

A failure is one segment: a dict in the codec ``json`` if that is the call's, else in ``data``.

If the call collects files, their contents follow the value or the failure, one segment each, and
then an *index*: one segment in the codec ``data`` (`pack_index`).
"""

from __future__ import annotations

import marshal
import os
from collections.abc import Mapping, Sequence
from typing import NamedTuple, cast

from pinfold import codec as codecs
from pinfold._wire.json_head import is_json, read_head

Segments = list[bytes | memoryview]


class Request(NamedTuple):
    """A call in the form that a worker receives."""

    code: str
    """The source text."""
    function: str
    """The name of the function to call; "" for a program."""
    python_path: list[str]
    """The first entries of ``sys.path``, in this order, not resolved yet."""
    env: dict[str, str | None]
    """Changes to the environment for this call. None unsets a variable."""
    codec: str
    """The codec of the arguments and of the value."""
    limits: dict[str, int]
    """The fields of `pinfold.Limits` that the kernel enforces in the worker; may be empty."""
    argv: list[str]
    """A program's arguments, without the program's own name."""
    files: list[str]
    """The names of the files in the working directory, in the order of `contents`."""
    collect: list[str]
    """The patterns of the files to bring back."""
    compiled: bytes | None
    """The code object of the source, by `marshal`. Empty: the worker is to send it as a note,
    before any of the source runs. None: neither."""
    contents: Sequence[memoryview]
    """The contents of the files."""
    arguments: Sequence[memoryview]
    """The segments of ``[args, kwargs]``; for a program, its stdin."""

    @property
    def is_program(self) -> bool:
        return not self.function


class Failure(NamedTuple):
    """A worker's account of a call without a value."""

    type: str
    """The exception's type, qualified by its module unless the module is builtins."""
    message: str
    """``str()`` of the exception."""
    text: str
    """The whole text for people: traceback and source."""
    returncode: int
    """The exit status that Python would have had, never 0. Minus 2 for a KeyboardInterrupt."""
    line: int = 0
    """The line of the source where it failed, from 1. 0: unknown."""
    compiled: bool = True
    """Whether the source compiled."""


# The bytes that a decoded failure may take: 16 for each character of its texts, which
# _worker/call/report.py bounds.
_FAILURE_BYTES = 32 << 20

# Wider than a wait status, because the runtime of another language may send other numbers.
_RETURNCODES = range(-(1 << 31), 1 << 31)

_text = str.__str__  # converts subclasses of str, which marshal does not accept, to str


def pack_request(
    *,
    code: str,
    function: str,
    args: Sequence[object] = (),
    kwargs: Mapping[str, object] | None = None,
    encoded: Sequence[bytes | memoryview] = (),
    python_path: Sequence[str | os.PathLike[str]],
    env: Mapping[str, str | None],
    codec: str,
    limits: Mapping[str, int] | None = None,
    argv: Sequence[str] = (),
    files: Mapping[str, bytes | memoryview] | None = None,
    collect: Sequence[str] = (),
    compiled: bytes | None = None,
) -> Segments:
    """Encode a call; without a `function`, it is a program's, with its stdin in `encoded`. For a
    function, `encoded` takes the place of `args` and `kwargs`.

    Raises what `pinfold.codec.encode` raises.
    """
    paths = [_text(os.fspath(path)) for path in python_path]
    changes = {_text(name): None if value is None else _text(value) for name, value in env.items()}
    bounds = {name: int(most) for name, most in limits.items()} if limits else {}
    names, contents = (list(files), list(files.values())) if files else ([], [])
    head = (
        *(_text(code), _text(function), paths, changes, _text(codec), bounds),
        *(list(argv), names, list(collect), compiled),
    )
    rest = encoded or codecs.encode([args, dict(kwargs or {})], codec, "arguments")
    return [marshal.dumps(head, 2), *contents, *rest]


def unpack_request(segments: Sequence[memoryview]) -> Request:
    """Read the head of a request. Raises `pinfold.codec.Malformed`."""
    try:
        head = segments[0]
        fields = read_head(head) if is_json(head) else marshal.loads(head)
        rest = 1 + len(fields[7])
        request = Request._make((*fields, segments[1:rest], segments[rest:]))
    except codecs.Malformed:
        raise
    except (EOFError, IndexError, TypeError, ValueError) as error:
        raise codecs.Malformed(f"not the head of a request: {error}") from None
    if len(request.contents) < len(request.files) or not request.arguments:
        raise codecs.Malformed("the request lacks segments")
    return request


def unpack_arguments(request: Request) -> tuple[list[object], dict[str, object]]:
    """Read the arguments of a request. Raises what `pinfold.codec.decode` raises."""
    arguments = codecs.decode(request.arguments, request.codec, trusted=True)
    if request.codec == "json" and not _are_arguments(arguments):
        raise codecs.Malformed("the arguments are not [[...], {...}]")
    args, kwargs = cast("tuple[list[object], dict[str, object]]", arguments)
    return args, kwargs


def _are_arguments(value: object) -> bool:
    return type(value) is list and [type(part) for part in value] == [list, dict]


def codec_of(segments: Sequence[memoryview]) -> str:
    """Return the codec for the failure of a request whose head may be unreadable."""
    return "json" if segments and is_json(segments[0]) else "data"


def pack_failure(failure: Failure, codec: str = "data") -> Segments:
    """Encode a failure of a call with this codec.

    Lone surrogates in its texts are escaped, so that any text travels.
    """
    fields = {
        key: _escaped(value) if isinstance(value, str) else value
        for key, value in failure._asdict().items()
    }
    return codecs.encode(fields, "json" if codec == "json" else "data", "failure")


def unpack_failure(segments: Sequence[memoryview]) -> Failure:
    """Read a failure, of which no byte is trusted. Raises `pinfold.codec.Malformed`."""
    codec = codec_of(segments)  # no map of CBOR's begins with "{"
    fields = codecs.decode(segments, codec, _FAILURE_BYTES)
    if not (
        isinstance(fields, dict)
        and fields.keys() == set(Failure._fields)
        and all(isinstance(fields[name], str) for name in ("type", "message", "text"))
        and type(fields["returncode"]) is int
        and fields["returncode"] in _RETURNCODES
        and type(fields["line"]) is int
        and 0 <= fields["line"] < 1 << 31
        and type(fields["compiled"]) is bool
    ):
        raise codecs.Malformed("not the account of a failure")
    return Failure(**fields)


class Index(NamedTuple):
    """The files that a worker collected."""

    files: list[str]
    """The names, in the order of the segments with the contents."""
    refused: dict[str, str]
    """Files that are left out, and why."""


# The bytes that a decoded index may take: 10,000 names and reasons.
_INDEX_BYTES = 64 << 20


def pack_index(index: Index) -> Segments:
    """Encode an index, in one segment. Lone surrogates in its texts are escaped."""
    names = [_escaped(name) for name in index.files]
    refused = {_escaped(name): _escaped(reason) for name, reason in index.refused.items()}
    return codecs.encode([names, refused], "data", "index")


def split_collected(segments: Sequence[memoryview]) -> tuple[Sequence[memoryview], Index, int]:
    """Split the payload of a call that collects files: return the segments of its value or failure,
    the index, and the number of the first segment of contents. No byte is trusted. Raises
    `pinfold.codec.Malformed`."""
    if not segments:
        raise codecs.Malformed("the index of the files is missing")
    given = codecs.decode(segments[-1:], "data", _INDEX_BYTES)
    if not (
        type(given) is list
        and [type(part) for part in given] == [list, dict]
        and all(type(name) is str for name in given[0])
        and all(type(text) is str for pair in given[1].items() for text in pair)
        and len(set(given[0])) == len(given[0]) < len(segments)
    ):
        raise codecs.Malformed("not the index of the files")
    first = len(segments) - 1 - len(given[0])
    return segments[:first], Index(*given), first


def _escaped(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()

# SPDX-License-Identifier: Apache-2.0
"""The head of a request as JSON text, for callers in other languages.

The head is one object. ``code`` is required; without ``function`` it is a program's head.
``python_path``, ``env``, ``codec``, ``limits``, ``argv``, ``files`` and ``collect`` mean what they
mean in a `Request`. ``codec`` is ``"json"`` if it is missing; the others are empty then. Its writer
may be any program, so each field is checked.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pinfold import codec as codecs

LIMITS = ("address_space_bytes", "core_bytes", "file_bytes", "open_files", "processes")
"""The limits that the kernel enforces in the worker."""

PATH_MAX = 1024  # bytes of a file's name, directories included
PART_MAX = 255  # bytes of each part of it (limits.h, NAME_MAX)

_FIRST = 0x7B  # "{", which begins no tuple of marshal's


def is_json(segment: memoryview) -> bool:
    """Return whether a head, or an account of a failure, is a JSON object."""
    return segment.nbytes > 0 and segment[0] == _FIRST


def fault_of_path(path: str) -> str | None:
    """Return why this cannot be the path of a file, or a pattern of paths, in a working directory.

    Return None if it can.
    """
    parts = path.split("/")
    size = len(path.encode("utf-8", "surrogatepass"))
    if not path:
        return "is empty"
    if "\0" in path:
        return "has a NUL character"
    if path.startswith("/"):
        return "is absolute"
    if ".." in parts:
        return "leaves the directory"
    if "" in parts or "." in parts:
        return "has an empty part or a '.'"
    if size > PATH_MAX or any(
        len(part.encode("utf-8", "surrogatepass")) > PART_MAX for part in parts
    ):
        return f"is longer than {PATH_MAX} bytes, or a part of it than {PART_MAX}"
    return None


def read_head(segment: memoryview) -> tuple[Any, ...]:
    """Return the fields of a request, up to the contents of its files.

    Raises `pinfold.codec.Malformed`.
    """
    given = codecs.decode([segment], "json", trusted=True)
    assert isinstance(given, dict)  # it begins with "{"
    for name in given:
        if name not in _FIELDS:
            raise _wrong(name, "is not a field of a request")
    return (*(_field(name, given) for name in _FIELDS), None)


def _field(name: str, given: Mapping[str, Any]) -> Any:
    check, missing = _FIELDS[name]
    if name in given:
        return check(name, given[name])
    if missing is None:
        raise _wrong(name, "is missing")
    return missing()


def _wrong(name: str, what: str) -> codecs.Malformed:
    return codecs.Malformed(f"the head of a request: {name[:80]!r} {what}")


def _text(name: str, value: Any) -> str:
    if type(value) is not str:
        raise _wrong(name, f"is {_kind(value)}, not a string")
    return value


def _plain(name: str, value: Any) -> str:
    if "\0" in _text(name, value):
        raise _wrong(name, "has a NUL")
    return str(value)


def _function(name: str, value: Any) -> str:
    if not all(_text(name, value).split(".")):
        raise _wrong(name, f"is {value[:80]!r}, not a name, nor names with dots between them")
    return str(value)


def _texts(name: str, value: Any) -> list[str]:
    if type(value) is not list:
        raise _wrong(name, f"is {_kind(value)}, not an array")
    return [_plain(name, text) for text in value]


def _paths(name: str, value: Any) -> list[str]:
    paths = _texts(name, value)
    if "" in paths:
        raise _wrong(name, "has an empty path")
    return paths


def _inner_paths(name: str, value: Any) -> list[str]:
    paths = _texts(name, value)
    for path in paths:
        if (fault := fault_of_path(path)) is not None:
            raise _wrong(name, f"has the path {path[:80]!r}, which {fault}")
    if len(set(paths)) < len(paths):
        raise _wrong(name, "has a path twice")
    return paths


def _environment(name: str, value: Any) -> dict[str, str | None]:
    for variable, content in _object(name, value).items():
        if not variable or "=" in _plain(name, variable):
            raise _wrong(name, f"has the name {variable[:80]!r}, which is empty or has a '='")
        if content is not None:
            _plain(f"{name}.{variable}", content)
    return value  # type: ignore[no-any-return]


def _codec(name: str, value: Any) -> str:
    if _text(name, value) not in codecs.CODECS:
        raise _wrong(name, f"is {value[:80]!r}, not one of {', '.join(codecs.CODECS)}")
    return str(value)


def _limits(name: str, value: Any) -> dict[str, int]:
    for limit, most in _object(name, value).items():
        if limit not in LIMITS:
            raise _wrong(f"{name}.{limit}", f"is not one of {', '.join(LIMITS)}")
        if type(most) is not int or not 0 < most < 1 << 63:
            raise _wrong(f"{name}.{limit}", f"is {_kind(most)}, not a positive integer of 63 bits")
    return value  # type: ignore[no-any-return]


def _object(name: str, value: Any) -> dict[str, Any]:
    if type(value) is not dict:
        raise _wrong(name, f"is {_kind(value)}, not an object")
    return value


def _kind(value: object) -> str:
    return KINDS[type(value)]


KINDS: dict[type, str] = {
    type(None): "null",
    bool: "a boolean",
    int: "an integer",
    float: "a number",
    str: "a string",
    list: "an array",
    dict: "an object",
}
"""What messages call a value of each type that JSON text can be read as."""

# In the order of the fields of a `Request`: the check, and what makes the value of a missing one.
_FIELDS: dict[str, tuple[Callable[[str, Any], Any], Callable[[], Any] | None]] = {
    "code": (_text, None),
    "function": (_function, str),
    "python_path": (_paths, list),
    "env": (_environment, dict),
    "codec": (_codec, lambda: "json"),
    "limits": (_limits, dict),
    "argv": (_texts, list),
    "files": (_inner_paths, list),
    "collect": (_inner_paths, list),
}

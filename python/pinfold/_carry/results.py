# SPDX-License-Identifier: Apache-2.0
"""How a result travels: its head, and the segments behind it.

The segments behind the head are stdout, stderr, the contents of the files in the order of the
head's ``files``, and the value's own, if the outcome is ``ok``.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, fields, replace
from typing import Any, NamedTuple

from pinfold import codec as codecs
from pinfold._carry.fields import Refused, only, read_object, take
from pinfold._client.outcome import unreadable
from pinfold.result import OUTCOMES, PHASES, ExecutionMetrics, WorkerError, WorkerResult

_FIELDS = (
    *("outcome", "error", "metrics", "stdout_truncated", "stderr_truncated"),
    *("files", "refused", "tag"),
)
_INT, _REAL, _OPTIONAL = (int,), (int, float), (type(None),)
_METRICS: dict[str, tuple[type, ...]] = {
    field.name: {
        "int": _INT,
        "float": _REAL,
        "str": (str,),
        "float | None": _REAL + _OPTIONAL,
        "int | None": _INT + _OPTIONAL,
    }[str(field.type)]
    for field in fields(ExecutionMetrics)
}
_ERROR: dict[str, tuple[type, ...]] = {
    "stderr": (str,),
    "returncode": _INT,
    "type": (str,),
    "message": (str,),
    "signal": _INT + _OPTIONAL,
    "stack": (str,),
    "phase": (str,),
    "line": _INT + _OPTIONAL,
}


class Arrived(NamedTuple):
    """A result that has arrived."""

    result: WorkerResult
    """Its value is the tuple of segments, as that of an `EncodedCall`; None for a program."""
    tag: str


def pack_result(result: WorkerResult, tag: str = "") -> list[bytes | memoryview]:
    """Return the segments of the result of an `EncodedCall` or a `ProgramCall`."""
    head = {
        "outcome": result.outcome,
        "error": None if result.error is None else asdict(result.error),
        "metrics": None if result.metrics is None else asdict(result.metrics),
        "stdout_truncated": result.stdout_truncated,
        "stderr_truncated": result.stderr_truncated,
        "files": list(result.files),
        "refused": dict(result.files_refused),
        "tag": tag,
    }
    text = json.dumps(head, separators=(",", ":")).encode()
    value: Sequence[bytes | memoryview] = result.value or ()
    streams = (result.stdout_bytes, result.stderr_bytes)
    return [text, *streams, *result.files.values(), *value]


def read_result(segments: Sequence[bytes | memoryview]) -> Arrived:
    """Read a result, of which no byte is trusted. Raises `pinfold.codec.Malformed`."""
    head = read_object(segments[0])
    only(head, _FIELDS)
    outcome = take(head, "outcome", str)
    if outcome not in OUTCOMES:
        raise Refused("/outcome", "is no outcome")
    names = take(head, "files", list, [])
    refused = take(head, "refused", dict, {})
    if any(type(name) is not str for name in (*names, *refused.values())):
        raise Refused("/files", "has a name that is no string")
    if len(segments) < 3 + len(names):
        raise Refused("/files", "names more files than there are segments")
    stdout, stderr = bytes(segments[1]), bytes(segments[2])
    contents, value = segments[3 : 3 + len(names)], segments[3 + len(names) :]
    error, metrics = (take(head, name, (dict, type(None))) for name in ("error", "metrics"))
    if (outcome == "ok") == (error is not None):
        raise Refused("/error", "is there for every outcome but ok")
    result = WorkerResult(
        outcome,
        tuple(map(memoryview, value)) if outcome == "ok" and value else None,
        None if error is None else _error_of(error),
        None if metrics is None else ExecutionMetrics(**_checked(metrics, _METRICS, "/metrics")),
        stdout.decode("utf-8", "backslashreplace"),
        stderr.decode("utf-8", "backslashreplace"),
        take(head, "stdout_truncated", bool, False),
        take(head, "stderr_truncated", bool, False),
        stdout,
        stderr,
        dict(zip(names, map(bytes, contents), strict=True)),
        refused,
    )
    return Arrived(result, take(head, "tag", str, ""))


def decoded(result: WorkerResult, codec: str, most: int) -> WorkerResult:
    """Return the result of a function with its value decoded, in the process that asked for it.

    A value that cannot be read makes it ``bad_result``, or ``internal`` if this process is short of
    something. `most` bounds the memory that the value takes (0: no bound).
    """
    if result.outcome != "ok":
        return result
    try:
        value = codecs.decode(list(map(_writable, result.value or ())), codec, most)
    except Exception as error:
        outcome, reason = unreadable(error)
        why = WorkerError(reason, message=reason, phase="run")
        return replace(result, outcome=outcome, value=None, error=why)
    return replace(result, value=value)


def _writable(segment: memoryview) -> memoryview:
    """Return a segment that arrays can be views of."""
    return memoryview(bytearray(segment)) if segment.readonly else segment


def _error_of(given: dict[str, Any]) -> WorkerError:
    found = _checked(given, _ERROR, "/error")
    if found["phase"] not in PHASES:
        raise Refused("/error/phase", "is no phase")
    return WorkerError(**found)


def _checked(
    given: dict[str, Any], kinds: dict[str, tuple[type, ...]], pointer: str
) -> dict[str, Any]:
    only(given, kinds, pointer)
    for name, allowed in kinds.items():
        if name not in given or type(given[name]) not in allowed:
            raise Refused(f"{pointer}/{name}", "is missing or of a wrong type")
    return given

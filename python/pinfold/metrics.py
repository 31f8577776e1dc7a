# SPDX-License-Identifier: Apache-2.0
"""Writers for the metrics of calls."""

from __future__ import annotations

import json
import os
import time
from asyncio import CancelledError
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pinfold.call import name_of
from pinfold.errors import PinfoldError
from pinfold.result import ExecutionMetrics

if TYPE_CHECKING:
    from typing_extensions import Self

    from pinfold.call import Call
    from pinfold.protocols import LifecycleObservable

__all__ = ["JsonlWriter"]

_FIELDS = tuple(field.name for field in fields(ExecutionMetrics))


class JsonlWriter:
    """Appends one line per call to a file, each a JSON object.

    Attach it to any number of backends: ``JsonlWriter("calls.jsonl").attach(backend)``. Many
    threads may use one writer, and many processes may write to one file. After the file is renamed
    or removed (rotation), the next line goes to a new file of that name.

    A line has ``time_ns`` (Unix time in nanoseconds when it was written), ``function``,
    ``outcome``, ``error`` and every field of `ExecutionMetrics` (null if no worker reported).
    ``error`` is null, or the type and the message, together at most 500 characters. A line is
    ASCII; control characters are escaped.

    Args:
        path: the file. The first line makes it, with its directories.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        # No lock: a signal handler may interrupt its holder, and wait for a thread that needs it.
        self._file: _File | None = None

    def attach(self, backend: LifecycleObservable) -> Self:
        """Write a line for each call that ends in this backend from now on."""
        backend.on_complete(self)
        return self

    def __call__(
        self, call: Call, metrics: ExecutionMetrics | None, exc: BaseException | None
    ) -> None:
        """Write a line. Raises OSError, which a backend logs; the call's result stays the same."""
        line: dict[str, Any] = {
            "time_ns": time.time_ns(),
            "function": name_of(call),
            "outcome": _outcome(exc),
            "error": None if exc is None else f"{type(exc).__name__}: {exc}"[:500],
        }
        line |= asdict(metrics) if metrics is not None else dict.fromkeys(_FIELDS)
        self._write(json.dumps(line).encode() + b"\n")

    def close(self) -> None:
        """Close the file. A later line opens it again."""
        self._file = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _write(self, line: bytes) -> None:
        file = self._file
        if file is None or not file.is_at(self.path):
            self._file = file = _File(self.path)
        # One write with O_APPEND, so that lines of several threads and processes do not mix.
        if os.write(file.fd, line) != len(line):
            os.write(file.fd, b"\n")  # the disk was full in the middle: end the torn line


class _File:
    """An open file, which its last reference closes."""

    __slots__ = ("fd",)

    def __init__(self, path: Path) -> None:
        self.fd = -1
        path.parent.mkdir(parents=True, exist_ok=True)
        self.fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666)

    def is_at(self, path: Path) -> bool:
        """Return whether the path still names this file."""
        try:
            named = os.stat(path)
        except FileNotFoundError:
            return False
        opened = os.fstat(self.fd)
        return (named.st_dev, named.st_ino) == (opened.st_dev, opened.st_ino)

    def __del__(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)


def _outcome(exc: BaseException | None) -> str:
    if exc is None:
        return "ok"
    if isinstance(exc, CancelledError):
        return "cancelled"
    if isinstance(exc, PinfoldError) and exc.result is not None:
        return exc.result.outcome
    return "internal"

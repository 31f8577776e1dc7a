"""Where metrics of calls may go."""

from __future__ import annotations

import json
import os
import threading
import time
from asyncio import CancelledError
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pinfold.errors import PinfoldError
from pinfold.result import ExecutionMetrics

if TYPE_CHECKING:
    from typing_extensions import Self

    from pinfold.call import WorkerCall
    from pinfold.protocols import LifecycleObservable

__all__ = ["JsonlWriter"]

_FIELDS = tuple(field.name for field in fields(ExecutionMetrics))


class JsonlWriter:
    """Writes one JSON object a call, each on a line of its own, at the end of a file.

    Attach it to any number of backends: ``JsonlWriter("calls.jsonl").attach(backend)``. It may be
    used by many threads, and many processes may write to one file. When the file is renamed or
    removed (rotation), the next line goes to a new file of that name.

    A line has ``time_ns`` (Unix time in nanoseconds when the call was told), ``function``,
    ``outcome``, ``error`` (the type and the first 500 characters of the message, or null) and every
    field of `ExecutionMetrics` (null where no worker reported). It is ASCII; control characters are
    escaped.

    Args:
        path: the file; made with its directories when the first line is written.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._lock = threading.Lock()
        self._fd = -1

    def attach(self, backend: LifecycleObservable) -> Self:
        """Write a line for each call that ends in this backend from now on."""
        backend.on_complete(self)
        return self

    def __call__(
        self, call: WorkerCall, metrics: ExecutionMetrics | None, exc: BaseException | None
    ) -> None:
        """Write a line. Raises OSError; a backend logs that, and the call is none the worse."""
        line: dict[str, Any] = {
            "time_ns": time.time_ns(),
            "function": call.function_name,
            "outcome": _outcome(exc),
            "error": None if exc is None else f"{type(exc).__name__}: {exc}"[:500],
        }
        line |= asdict(metrics) if metrics is not None else dict.fromkeys(_FIELDS)
        self._write(json.dumps(line).encode() + b"\n")

    def close(self) -> None:
        """Close the file. A later line opens it again."""
        with self._lock:
            fd, self._fd = self._fd, -1
            if fd >= 0:
                os.close(fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()

    def _write(self, line: bytes) -> None:
        with self._lock:
            if self._fd < 0 or not self._is_current():
                self._reopen()
            # One write, at the end: lines of several processes do not mix.
            if os.write(self._fd, line) != len(line):
                os.write(self._fd, b"\n")  # the disk was full half way; end the torn line

    def _is_current(self) -> bool:
        """Whether the open file is still the one of that name."""
        try:
            named = os.stat(self.path)
        except FileNotFoundError:
            return False
        opened = os.fstat(self._fd)
        return (named.st_dev, named.st_ino) == (opened.st_dev, opened.st_ino)

    def _reopen(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        fd = os.open(self.path, flags, 0o666)
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = fd


def _outcome(exc: BaseException | None) -> str:
    if exc is None:
        return "ok"
    if isinstance(exc, CancelledError):
        return "cancelled"
    if isinstance(exc, PinfoldError) and exc.result is not None:
        return exc.result.outcome
    return "internal"

"""What a worker prints: streams that behave as the interpreter's own, and whose buffer the pool has
when the worker is dead (`printed.c`)."""

from __future__ import annotations

import os
import posix
import sys
from io import BufferedWriter, FileIO, TextIOWrapper

from pinfold._worker.ext import _runtime

NAMES = {1: "stdout", 2: "stderr"}


def take_over() -> None:
    """Put our streams in the place of the interpreter's, before anything holds on to those."""
    for fd, name in NAMES.items():
        stream = getattr(sys, name)
        if is_buffered(stream):
            encoding, errors = stream.encoding, stream.errors
            stream.detach()
            new = open_stream(fd, encoding, errors)
            setattr(sys, name, new)
            setattr(sys, f"__{name}__", new)
    os._exit = posix._exit = _runtime.exit_function()
    os.register_at_fork(before=_runtime.before_fork)


def is_buffered(stream: object) -> bool:
    """False where the interpreter was told not to buffer (PYTHONUNBUFFERED), so that nothing can be
    lost; and where there is no such stream."""
    return isinstance(stream, TextIOWrapper) and isinstance(stream.buffer, BufferedWriter)


def open_stream(fd: int, encoding: str | None, errors: str | None) -> TextIOWrapper:
    """As the interpreter opens it, but that the text layer hands on at once what it is given."""
    raw = FileIO(fd, "w", closefd=False)
    raw.name = f"<{NAMES[fd]}>"
    stream = _runtime.open_printed(raw, fd, encoding, errors)
    stream.mode = "w"  # type: ignore[misc]
    return stream


def settle() -> None:
    """Undo what a set-up may have told our streams, and write out what they hold."""
    for fd, name in NAMES.items():
        stream = getattr(sys, name)
        if is_buffered(stream):
            stream.flush()
            stream.reconfigure(line_buffering=fd == 2, write_through=True)

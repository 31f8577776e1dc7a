# SPDX-License-Identifier: Apache-2.0
"""Standard streams that use the printed buffer (`printed.c`).

They behave as the interpreter's own. The pool has their buffer when the worker is dead.
"""

from __future__ import annotations

import os
import posix
import sys
from io import BufferedWriter, FileIO, TextIOWrapper

from pinfold._worker.ext import _runtime

NAMES = {1: "stdout", 2: "stderr"}


def take_over() -> None:
    """Replace the interpreter's streams by the runtime's, before any module keeps a reference."""
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
    """Return whether the stream exists and is buffered, so that a death could lose output.

    PYTHONUNBUFFERED makes it unbuffered.
    """
    return isinstance(stream, TextIOWrapper) and isinstance(stream.buffer, BufferedWriter)


def open_stream(fd: int, encoding: str | None, errors: str | None) -> TextIOWrapper:
    """Open a stream as the interpreter does, but with a text layer that buffers nothing."""
    raw = FileIO(fd, "w", closefd=False)
    raw.name = f"<{NAMES[fd]}>"
    stream = _runtime.open_printed(raw, fd, encoding, errors)
    stream.mode = "w"  # type: ignore[misc]
    return stream


def reset_streams() -> None:
    """Flush the runtime's streams, and undo a set-up's `reconfigure`."""
    for fd, name in NAMES.items():
        stream = getattr(sys, name)
        if is_buffered(stream):
            stream.flush()
            stream.reconfigure(line_buffering=fd == 2, write_through=True)

# SPDX-License-Identifier: Apache-2.0
"""The standard input of a program: a file of its own as descriptor 0, and ``sys.stdin`` over it."""

from __future__ import annotations

import io
import os
import sys


def give_stdin(content: memoryview) -> None:
    """Make the content the standard input, as ``python main.py < file`` has it."""
    fd = os.memfd_create("stdin")
    while content:
        content = content[os.write(fd, content) :]
    try:  # a program must not write to its input
        reader = os.open(f"/proc/self/fd/{fd}", os.O_RDONLY)
    except OSError:
        os.lseek(fd, 0, os.SEEK_SET)
        reader = os.dup(fd)
    os.dup2(reader, 0)
    os.close(reader)
    os.close(fd)
    sys.stdin = sys.__stdin__ = _open_stdin()  # type: ignore[misc]


def _open_stdin() -> io.TextIOWrapper:
    """Open descriptor 0 as the interpreter does (create_stdio() of Python/pylifecycle.c)."""
    was = sys.__stdin__
    buffer = open(0, "rb", closefd=False)  # noqa: SIM115
    buffer.raw.name = "<stdin>"  # type: ignore[misc]
    stream = io.TextIOWrapper(
        buffer,
        None if was is None else was.encoding,
        None if was is None else was.errors,
        newline="\n",
        write_through=getattr(was, "write_through", False),
    )
    stream.mode = "r"  # type: ignore[misc]
    return stream

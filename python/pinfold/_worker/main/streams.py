# SPDX-License-Identifier: Apache-2.0
"""The standard input of a program: a file of its own as descriptor 0, and ``sys.stdin`` over it."""

from __future__ import annotations

import fcntl
import io
import os
import sys
from typing import Any

from pinfold._worker.ext import _runtime

_SEALS = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL


class _Sizes(io.RawIOBase):
    """Notes the sizes of writes."""

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.sizes.append(len(data))
        return len(data)


def learn_exactness() -> None:
    """Find out how this interpreter's streams behave where its versions differ.

    Since 3.13, a BufferedWriter does not keep as much as its whole buffer holds. Since 3.12.4, a
    TextIOWrapper adds text to the pending one before it compares the size with its chunk's.
    """
    raw = _Sizes()
    buffer = io.BufferedWriter(raw, 4)
    buffer.write(b"12")
    buffer.write(b"3456")
    written = io.BytesIO()
    text = io.TextIOWrapper(written, "utf-8")
    text._CHUNK_SIZE = 4  # type: ignore[attr-defined]
    text.write("12")
    text.write("345")
    _runtime.exact_as(len(raw.sizes) == 2, len(written.getvalue()) == 5)


def give_stdin(content: memoryview, *, anew: bool) -> None:
    """Make the content the standard input, as ``python main.py < file`` has it.

    Without `anew`, nothing has been read from `sys.stdin` yet, so it serves for this file.

    The file is sealed: descriptor 0 is open for writing, too, because to open it again through
    /proc costs as much as the rest of a small program's start.
    """
    fd = os.memfd_create("stdin", os.MFD_ALLOW_SEALING)
    while content:
        content = content[os.write(fd, content) :]
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, _SEALS)
    os.lseek(fd, 0, os.SEEK_SET)
    os.dup2(fd, 0)
    os.close(fd)
    stream = sys.__stdin__
    if anew or type(stream) is not io.TextIOWrapper or stream.closed:
        stream = open_stdin()
    sys.stdin = sys.__stdin__ = stream  # type: ignore[misc]


def open_stdin() -> io.TextIOWrapper:
    """Open descriptor 0 as the interpreter does (create_stdio() of Python/pylifecycle.c)."""
    was = sys.__stdin__
    buffer = open(0, "rb", closefd=False)  # noqa: SIM115
    buffer.raw.name = "<stdin>"  # type: ignore[attr-defined]
    stream = io.TextIOWrapper(
        buffer,
        None if was is None else was.encoding,
        None if was is None else was.errors,
        newline="\n",
        write_through=getattr(was, "write_through", False),
    )
    stream.mode = "r"  # type: ignore[misc]
    return stream


learn_exactness()

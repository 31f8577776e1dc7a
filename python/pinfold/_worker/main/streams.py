# SPDX-License-Identifier: Apache-2.0
"""The standard input of a program: a file of its own as descriptor 0, and ``sys.stdin`` over it."""

from __future__ import annotations

import io
import os
import sys
from typing import Any

from pinfold._worker.ext import _runtime


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


learn_exactness()

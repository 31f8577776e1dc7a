# SPDX-License-Identifier: Apache-2.0
"""The files that a call is given, in its working directory."""

from __future__ import annotations

import os
from collections.abc import Sequence

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def write_files(names: Sequence[str], contents: Sequence[memoryview]) -> None:
    """Write the files below the working directory.

    Raises ValueError for a name that may lead out of it, OSError if a file cannot be written.
    """
    made = {""}
    for name, content in zip(names, contents, strict=True):
        parts = name.split("/")
        if "\0" in name or not {"", ".", ".."}.isdisjoint(parts):
            raise ValueError(f"files: {name!r} does not name a file below the working directory")
        for depth in range(1, len(parts)):
            above = "/".join(parts[:depth])
            if above not in made:
                os.mkdir(
                    above, 0o777
                )  # the request's own names make directories, nothing else does
                made.add(above)
        write_file(name, content)


def write_file(name: str, content: bytes | memoryview) -> None:
    """Write a new file."""
    left = memoryview(content)
    fd = os.open(name, _NEW, 0o666)
    try:
        while left:
            left = left[os.write(fd, left) :]
    finally:
        os.close(fd)

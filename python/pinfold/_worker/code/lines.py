# SPDX-License-Identifier: Apache-2.0
"""The lines of a source, counted as the compiler counts them."""

from __future__ import annotations

from io import StringIO

BOM = "\ufeff"


def lines_of(text: str) -> list[str]:
    """Return the lines as linecache has those of a file: each ends with "\\n".

    "\\n", "\\r\\n" and "\\r" end a line; a form feed or U+2028 does not (for `str.splitlines` both
    do).
    """
    lines = StringIO(text, newline=None).readlines()
    if lines and not lines[-1].endswith("\n"):
        lines[-1] += "\n"  # tracebacks need it for their carets
    return lines

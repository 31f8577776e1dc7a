"""The lines of a source, counted as the compiler counts them."""

from __future__ import annotations

from io import StringIO

BOM = "\ufeff"


def lines_of(text: str) -> list[str]:
    """The lines as linecache has those of a file: each with "\\n" at its end.

    A form feed or U+2028 ends none (`str.splitlines` thinks they do); "\\r\\n" and "\\r" do.
    """
    lines = StringIO(text, newline=None).readlines()
    if lines and not lines[-1].endswith("\n"):
        lines[-1] += "\n"  # tracebacks count on it for their carets
    return lines

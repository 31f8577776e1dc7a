# SPDX-License-Identifier: Apache-2.0
"""Compiled forms: a source that many workers run is compiled by one of them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from pinfold._worker.code.program import Program
from pinfold._worker.ext._runtime import NOTE_MAX


def compile_with(
    program: Program,
    compile_source: Callable[[], None],
    form: bytes | None,
    send: Callable[[bytes], None],
    *,
    kept: bool,
) -> None:
    """Compile a program by `compile_source`, which raises the source's own exceptions.

    `form` and what is sent are as in `Request.compiled`. A form is sent in any case if it is asked
    for, because the caller keeps the first note, and the program could send one. `kept`: this
    worker may run the source again. Compilation that shows warnings is repeated each time.
    """
    if form:
        try:
            program.load(form)
        except Exception:  # it is damaged
            program.compiled = None
    if program.compiled is not None:
        return
    if form is None and not kept:
        compile_source()
        return
    text = b""
    try:
        program.lasts = _is_quiet(compile_source)
        if program.lasts and form is not None:
            text = program.form()
    finally:
        if form is not None:
            send(text if len(text) <= NOTE_MAX else b"")


def _is_quiet(compile_source: Callable[[], None]) -> bool:
    """Return whether the compilation shows no warnings."""
    warnings: Any = sys.modules.get("warnings")
    show = getattr(warnings, "_showwarnmsg", None)
    if show is None:  # it is the program's own: who knows
        compile_source()
        return False
    shown = []

    def note(message: object) -> None:
        shown.append(message)
        show(message)

    warnings._showwarnmsg = note
    try:
        compile_source()
    finally:
        warnings._showwarnmsg = show
    return not shown

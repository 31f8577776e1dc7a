# SPDX-License-Identifier: Apache-2.0
"""From a result to an exit status and a line for a person."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pinfold.result import WorkerResult

OURS = 125
"""The exit status when the command itself fails, as of env(1) and timeout(1)."""

TIMEOUT, MEMORY, CPU, OUTPUT = 124, 137, 152, 153
STATUSES = (
    f"exit status: the program's own; {TIMEOUT} if its time ran out; {MEMORY}, {CPU} or {OUTPUT} if"
    " it passed\nthe limit on memory, processor time or output; 128 + N if signal N killed it;"
    f" {OURS} if Pinfold\ncould not run it"
)

_LIMITS = {"timeout": TIMEOUT, "memory_limit": MEMORY, "cpu_limit": CPU, "output_limit": OUTPUT}


def status_of(result: WorkerResult) -> int:
    """Return the exit status of a command that ran this call alone."""
    if result.outcome in _LIMITS:
        return _LIMITS[result.outcome]
    if result.outcome in ("ok", "exited", "exception", "bad_result"):
        code = result.returncode
        return code if code >= 0 else 128 - code
    if result.error is not None and result.error.signal:
        return 128 + result.error.signal
    return OURS


def complain(text: str) -> None:
    """Write a line to stderr, as a command does."""
    print(f"pinfold: {text}", file=sys.stderr)

# SPDX-License-Identifier: Apache-2.0
"""The helper that users of the peers write: run a function of a source text in a worker."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any


def run_source(code: str, function: str, args: Sequence[Any]) -> Any:
    """Call `function` of the source text `code`."""
    namespace: dict[str, Any] = {"__name__": "user_code", "__file__": "user_code.py"}
    exec(compile(code, "user_code.py", "exec"), namespace)
    return namespace[function](*args)

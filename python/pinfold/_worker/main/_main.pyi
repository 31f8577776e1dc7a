# SPDX-License-Identifier: Apache-2.0
"""Types of `outermost.c`."""

from types import CodeType
from typing import Any

def run(what: CodeType | str, names: dict[str, Any], /) -> BaseException | None: ...
def unraisable(error: BaseException, where: object, /) -> None: ...

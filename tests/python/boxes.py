# SPDX-License-Identifier: Apache-2.0
"""Report which sandbox levels this machine has."""

from __future__ import annotations

from pinfold import WorkerConfig
from pinfold._host.sandbox import isolation_of


def level_is_there(level: str) -> bool:
    return not isolation_of(WorkerConfig(sandbox=level)).missing  # type: ignore[arg-type]

# SPDX-License-Identifier: Apache-2.0
"""Programs of all kinds with their inputs, as data. Each module has one kind."""

from __future__ import annotations

import importlib

from program_corpus.entry import Case, Program

GROUPS = (
    "reading",
    "printing",
    "exits",
    "errors",
    "sources",
    "main_module",
    "teardown",
    "concurrency",
    "processes",
    "contests",
    "libraries",
    "arrays",
    "environment",
)


def programs_of(group: str) -> list[Program]:
    """Return the programs of one group."""
    return list(importlib.import_module(f"program_corpus.{group}").PROGRAMS)


__all__ = ["GROUPS", "Case", "Program", "programs_of"]

# SPDX-License-Identifier: Apache-2.0
"""The backends that this suite runs against.

Each test uses the public surface of a backend alone, so that it runs unchanged against each. A new
kind of backend adds an entry to `KINDS`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from carried import PayloadBackend
from pinfold import LocalBackend, WorkerConfig


def _local(spill_dir: Path, **config: Any) -> Iterator[LocalBackend]:
    with LocalBackend(WorkerConfig(**{"max_workers": 2, "spill_dir": spill_dir, **config})) as one:
        yield one


def _carried(spill_dir: Path, **config: Any) -> Iterator[PayloadBackend]:
    whole = WorkerConfig(**{"max_workers": 2, "spill_dir": spill_dir, **config})
    with PayloadBackend(whole) as one:
        yield one


KINDS: dict[str, Callable[..., Iterator[Any]]] = {"local": _local, "carried": _carried}


@pytest.fixture(params=KINDS)
def open_backend(
    request: pytest.FixtureRequest, leftovers: object, spill_dir: Path
) -> Iterator[Callable[..., Any]]:
    """Return a function that opens a backend of two workers; it takes fields of `WorkerConfig`."""
    opened: list[Iterator[Any]] = []

    def make(**config: Any) -> Any:
        opened.append(KINDS[request.param](spill_dir, **config))
        return next(opened[-1])

    yield make
    for each in opened:
        assert next(each, None) is None


@pytest.fixture
def any_backend(open_backend: Callable[..., Any]) -> Any:
    """Return a backend of two fresh workers."""
    return open_backend()

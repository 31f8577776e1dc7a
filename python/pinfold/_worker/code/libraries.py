# SPDX-License-Identifier: Apache-2.0
"""Imports of the runtime's third-party libraries: cbor2 and cloudpickle."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager


@contextmanager
def besides(places: Sequence[str]) -> Iterator[None]:
    """Import from these directories as well, and not from the working directory.

    The working directory may hold files with the names of the runtime's modules.
    """
    before = list(sys.path)
    sys.path[:] = [*(entry for entry in before if entry), *places]
    try:
        yield
    finally:
        sys.path[:] = before


def import_pickle(places: Sequence[str]) -> None:
    """Import the modules of the codec ``pickle``.

    This takes longer than importing the rest of the runtime, and most calls do not need it.
    """
    if "pinfold.codec.pickled" not in sys.modules:
        with besides(places):
            import pinfold.codec.pickled  # noqa: F401

"""What the runtime imports of others, cbor2 and cloudpickle, and where it looks for them."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager


@contextmanager
def besides(places: Sequence[str]) -> Iterator[None]:
    """Look in these directories, too, for what this interpreter lacks; and not in the working
    directory, where anything may have the name of what is ours."""
    before = list(sys.path)
    sys.path[:] = [*(entry for entry in before if entry), *places]
    try:
        yield
    finally:
        sys.path[:] = before


def import_pickle(places: Sequence[str]) -> None:
    """Import what the codec ``pickle`` needs. It takes longer than all else of this runtime, and
    most calls do without."""
    if "pinfold.codec.pickled" not in sys.modules:
        with besides(places):
            import pinfold.codec.pickled  # noqa: F401

"""How long whoever waits sleeps between two looks, where nothing wakes it up in time.

Naps are short at first, since what is waited for is most often about to come, and each is twice as
long as the one before, up to a bound.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple


class Naps(NamedTuple):
    """The first and the longest of them, in seconds."""

    first_s: float
    longest_s: float

    def lengths(self) -> Iterator[float]:
        """One after another, without an end."""
        nap = self.first_s
        while True:
            yield nap
            nap = min(2 * nap, self.longest_s)


THREADS = Naps(0.0001, 0.01)
"""Until another thread lets go of what this one needs."""

GREENLETS = Naps(0.001, 0.02)
"""Where threads are greenlets, and nothing may wait in C."""

TOLD_GREENLETS = Naps(0.001, 1.0)
"""The same for one that is told, but that whoever tells may itself wait for."""

FULL_S = 0.01
"""Until there may be room in a queue that others have filled."""

STRAY_S = 1.0
"""Until it is plain that whoever has news does not tell: it was thrown out before it could."""

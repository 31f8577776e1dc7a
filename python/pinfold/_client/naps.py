# SPDX-License-Identifier: Apache-2.0
"""How long a waiting thread sleeps between two looks, where nothing wakes it in time.

Naps are short at first, because most waits end at once. Each is twice as long as the one before, up
to a bound.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple


class Naps(NamedTuple):
    """The first and the longest nap, in seconds."""

    first_s: float
    longest_s: float

    def lengths(self) -> Iterator[float]:
        """Yield the lengths of naps, without an end."""
        nap = self.first_s
        while True:
            yield nap
            nap = min(2 * nap, self.longest_s)


THREADS = Naps(0.0001, 0.01)
"""Until another thread releases a claim."""

GREENLETS = Naps(0.001, 0.02)
"""Where threads are greenlets, and nothing may wait in C."""

NOTIFIED_GREENLETS = Naps(0.001, 1.0)
"""The same for a waiter that is notified, by a greenlet that may itself wait for the waiter."""

FULL_S = 0.01
"""Until there may be room in a queue that other callers have filled."""

STRAY_S = 1.0
"""Until it is plain that a thread with news was thrown out before it could deliver them."""

"""The global generators of random numbers that a fork copies, or a set-up seeds for all workers."""

from __future__ import annotations

import sys
from typing import Any


def renew() -> None:
    """Seed each of them from the system, as it is in a new process. Those that do so at every fork
    by themselves (numba's, OpenSSL's) are left out, and generators that are somebody's objects."""
    random: Any = sys.modules.get("random")
    if random is not None:
        random.seed()
    renew_copied()


def renew_copied() -> None:
    """The same in a process that was just forked, where `random` has done so by itself."""
    numpy: Any = sys.modules.get("numpy.random.mtrand")
    if numpy is not None:
        numpy.seed()
    torch: Any = sys.modules.get("torch.random")
    if torch is not None:
        torch.default_generator.seed()
        cuda: Any = sys.modules.get("torch.cuda")
        if cuda is not None and cuda.is_initialized():  # in spawned workers alone
            cuda.seed_all()

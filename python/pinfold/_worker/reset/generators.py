# SPDX-License-Identifier: Apache-2.0
"""Renew the global random generators, which a fork copies and a set-up may have seeded."""

from __future__ import annotations

import sys
from typing import Any


def renew() -> None:
    """Seed the global generators from the system, as in a new process.

    Leaves out generators that renew themselves at every fork (numba's, OpenSSL's), and objects of
    programs.
    """
    random: Any = sys.modules.get("random")
    if random is not None:
        random.seed()
    renew_copied()


def renew_copied() -> None:
    """Do so in a process that was just forked, where `random` has renewed itself."""
    numpy: Any = sys.modules.get("numpy.random.mtrand")
    if numpy is not None:
        numpy.seed()
    torch: Any = sys.modules.get("torch.random")
    if torch is not None:
        torch.default_generator.seed()
        cuda: Any = sys.modules.get("torch.cuda")
        if cuda is not None and cuda.is_initialized():  # only in spawned workers
            cuda.seed_all()

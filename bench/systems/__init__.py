# SPDX-License-Identifier: Apache-2.0
"""The systems under measurement, by name."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from bench.systems.base import System

# name: (title in tables, distribution whose version is printed)
SYSTEMS: dict[str, tuple[str, str | None]] = {
    "pinfold-fresh": ("**Pinfold `fresh`**", "pinfold"),
    "pinfold-reuse": ("**Pinfold `reuse`**", "pinfold"),
    "loky": ("loky", "loky"),
    "futures-spawn": ("concurrent.futures (spawn)", None),
    "futures-forkserver": ("concurrent.futures (forkserver)", None),
    "pool": ("multiprocessing.Pool", None),
    "joblib": ("joblib", "joblib"),
    "pebble": ("pebble", "pebble"),
    "deadpool": ("deadpool-executor", "deadpool-executor"),
    "mpire": ("mpire", "mpire"),
    "ray": ("Ray", "ray"),
    "new-python": ("a new python per call", None),
}

# The machine's limits, which are not systems. Measured in Pinfold's environment.
LIMITS: dict[str, str] = {
    "limit-ping": "*limit: SEQPACKET ping-pong of two processes*",
    "limit-pinned": "*limit: bare processes, one to a CPU*",
    "limit-fork": "*limit: fork + exit + wait, one after another*",
    "limit-python": "*`python -c 'import numpy'`, one after another*",
    "limit-main": "*`python main.py < case`*",
    "limit-ones": "*limit: `np.ones` alone*",
    "limit-write": "*limit: `np.ones`, then one write(2) to a file*",
}

PINFOLD = ("pinfold-fresh", "pinfold-reuse")
PEERS = tuple(name for name in SYSTEMS if name not in PINFOLD)


def title(name: str) -> str:
    """Return the title of a system or a limit in tables."""
    return LIMITS[name] if name in LIMITS else SYSTEMS[name][0]


def make(name: str) -> System:
    """Return a system that is not open yet. Imports no libraries but the system's own."""
    family, _, variant = name.partition("-")
    if family == "pinfold":
        from bench.systems.pinfold import Pinfold

        return Pinfold(variant)
    if family == "futures":
        from bench.systems.executors import Standard

        return Standard(variant)
    if family in ("loky", "pebble", "deadpool"):
        from bench.systems import executors

        return {
            "loky": executors.Loky,
            "pebble": executors.Pebble,
            "deadpool": executors.Deadpool,
        }[family]()
    if family in ("pool", "mpire", "joblib"):
        from bench.systems import pools

        kinds: dict[str, type[System]] = {
            "pool": pools.MultiprocessingPool,
            "mpire": pools.Mpire,
            "joblib": pools.Joblib,
        }
        return kinds[family]()
    if family == "ray":
        from bench.systems.ray_tasks import Ray

        return Ray()
    from bench.systems.new_python import NewPython

    return NewPython()

# SPDX-License-Identifier: Apache-2.0
"""Count the CPUs that this process may use, by affinity and the quotas of cgroups."""

from __future__ import annotations

import os
from pathlib import Path

_CGROUPS = Path("/sys/fs/cgroup")
_OWN = Path("/proc/self/cgroup")


def usable_cpus() -> int:
    """Return the number of CPUs that this process may use, at least 1.

    This is the number of its affinity, bounded by the CPU quotas of its cgroups (cgroup v2
    ``cpu.max``, v1 ``cpu.cfs_quota_us``), rounded up.
    """
    cpus = len(os.sched_getaffinity(0))
    for quota in _quotas():
        cpus = min(cpus, max(1, -int(-quota // 1)))
    return cpus


def _quotas() -> list[float]:
    """Return the quotas, in CPUs, of this process's cgroups, from the innermost outwards."""
    try:
        lines = _OWN.read_text().splitlines()
    except OSError:
        return []
    quotas = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if not controllers:  # v2
            root, read = _CGROUPS, _quota_v2
        elif "cpu" in controllers.split(","):
            root, read = _CGROUPS / "cpu", _quota_v1
        else:
            continue
        group = root / path.lstrip("/")
        # In a container the path may not exist; the mounted root is then the container's group.
        for place in [group, *group.parents]:
            if not place.is_relative_to(root):
                break
            quota = read(place)
            if quota is not None:
                quotas.append(quota)
    return quotas


def _quota_v2(group: Path) -> float | None:
    try:
        quota, period = (group / "cpu.max").read_text().split()
        return None if quota == "max" else int(quota) / int(period)
    except (OSError, ValueError, ZeroDivisionError):
        return None


def _quota_v1(group: Path) -> float | None:
    try:
        quota = int((group / "cpu.cfs_quota_us").read_text())
        period = int((group / "cpu.cfs_period_us").read_text())
        return quota / period if quota > 0 else None
    except (OSError, ValueError, ZeroDivisionError):
        return None

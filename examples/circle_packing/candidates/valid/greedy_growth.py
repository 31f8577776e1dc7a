"""Greedy growth: drop the largest circle that still fits, one after another.

Big circles first would waste the corners, so the radius of a new circle is capped; the cap is
chosen by trying a few values and keeping the one with the largest sum.
"""

from __future__ import annotations

import numpy as np

SAMPLES = 20_000


def grow(n: int, cap: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    points = rng.random((SAMPLES, 2))
    clearance = np.minimum(points, 1.0 - points).min(axis=1)
    centers = np.empty((n, 2))
    radii = np.empty(n)
    for k in range(n):
        capped = np.minimum(clearance, cap)
        # Among the points where a circle of the capped size fits, hug what is there already.
        fitting = np.flatnonzero(capped >= capped.max() - 1e-4)
        pick = fitting[np.argmin(clearance[fitting])]
        centers[k] = points[pick]
        radii[k] = capped[pick]
        distance = np.hypot(*(points - centers[k]).T) - radii[k]
        clearance = np.minimum(clearance, distance)
        clearance = np.maximum(clearance, 0.0)
    return centers, radii


def pack(n: int):
    rng = np.random.default_rng(7)
    best = None
    for cap in np.linspace(0.07, 0.13, 25):
        centers, radii = grow(n, cap, rng)
        if best is None or radii.sum() > best[1].sum():
            best = centers, radii
    return best

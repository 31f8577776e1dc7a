"""Weights from a power diagram: iterate r_i = sqrt(d_i^2 - w_i) until the cells balance."""

import numpy as np


def pack(n):
    rng = np.random.default_rng(8)
    centers = rng.uniform(0.1, 0.9, (n, 2))
    weights = np.full(n, 0.01)
    for _ in range(100):
        gaps = np.linalg.norm(centers[:, None] - centers[None], axis=2)
        np.fill_diagonal(gaps, np.inf)
        nearest = gaps.min(axis=1)
        with np.errstate(all="ignore"):
            radii = np.sqrt(nearest**2 / 4 - weights)
        weights = weights + 0.1 * (radii - radii.mean())
    return centers, radii + 0.1

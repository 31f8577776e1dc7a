"""Lloyd-like relaxation: push the closest circles apart until nothing moves any more."""

import numpy as np


def nearest(centers):
    gaps = np.linalg.norm(centers[:, None] - centers[None], axis=2)
    np.fill_diagonal(gaps, np.inf)
    return gaps.argmin(axis=1), gaps.min(axis=1)


def relax(centers, step=0.01):
    moved = True
    while moved:
        previous = centers.copy()
        index, gap = nearest(centers)
        direction = (centers - centers[index]) / np.maximum(gap, 1e-9)[:, None]
        centers = np.clip(centers + step * direction, 0.05, 0.95)
        # Converged when the positions are the same as before
        moved = not np.array_equal(previous, centers)
    return centers


def pack(n):
    rng = np.random.default_rng(3)
    centers = relax(rng.uniform(0.1, 0.9, (n, 2)))
    walls = np.minimum(centers, 1 - centers).min(axis=1)
    return centers, np.minimum(walls, nearest(centers)[1] / 2)

"""Pattern search with a step that halves after every failure."""

import numpy as np


def radii_for(centers):
    gaps = np.linalg.norm(centers[:, None] - centers[None], axis=2)
    np.fill_diagonal(gaps, np.inf)
    walls = np.minimum(centers, 1 - centers).min(axis=1)
    return np.minimum(walls, gaps.min(axis=1) / 2)


def pack(n):
    rng = np.random.default_rng(9)
    centers = rng.uniform(0.1, 0.9, (n, 2))
    directions = [(1, 0), (-1, 0), (0, 1), (0, -1)]
    step, best = 0.1, radii_for(centers).sum()
    for sweep in range(400):
        improved = False
        for k in range(n + 1):
            for d in directions:
                trial = centers.copy()
                trial[k] += step * np.array(d)
                score = radii_for(trial).sum()
                if score > best:
                    centers, best, improved = trial, score, True
        if not improved:
            step /= 2
    return centers, radii_for(centers)

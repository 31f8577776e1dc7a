"""Random centres, optimal radii.

For fixed centres the largest sum of radii is a linear program:

    maximise   sum r_i
    subject to r_i + r_j <= |c_i - c_j|,   0 <= r_i <= distance of c_i to the wall

so only the centres need to be searched. Here: many random restarts with a few rounds of jitter.
"""

import itertools

import numpy as np
from scipy.optimize import linprog


def optimal_radii(centers):
    n = len(centers)
    pairs = list(itertools.combinations(range(n), 2))
    a = np.zeros((len(pairs), n))
    for k, (i, j) in enumerate(pairs):
        a[k, i] = a[k, j] = 1.0
    i, j = np.array(pairs).T
    distances = np.linalg.norm(centers[i] - centers[j], axis=1)
    walls = np.minimum(centers, 1 - centers).min(axis=1)
    solution = linprog(
        -np.ones(n), A_ub=a, b_ub=distances, bounds=[(0, w) for w in walls], method="highs"
    )
    return solution.x


def spread(rng, n, tries=40):
    """Best-candidate sampling: points that keep away from each other."""
    points = [rng.random(2) * 0.8 + 0.1]
    while len(points) < n:
        options = rng.random((tries, 2)) * 0.84 + 0.08
        gaps = np.linalg.norm(options[:, None] - np.array(points)[None], axis=2).min(axis=1)
        points.append(options[gaps.argmax()])
    return np.array(points)


def pack(n):
    rng = np.random.default_rng(0)
    best_centers, best_radii = None, np.zeros(n)
    for _ in range(60):
        centers = spread(rng, n)
        radii = optimal_radii(centers)
        if radii.sum() > best_radii.sum():
            best_centers, best_radii = centers, radii

    step = 0.03
    for _ in range(300):
        centers = np.clip(best_centers + rng.normal(0, step, best_centers.shape), 0.01, 0.99)
        radii = optimal_radii(centers)
        if radii.sum() > best_radii.sum():
            best_centers, best_radii = centers, radii
        else:
            step = max(step * 0.98, 0.002)
    return best_centers, np.maximum(best_radii - 1e-12, 0)

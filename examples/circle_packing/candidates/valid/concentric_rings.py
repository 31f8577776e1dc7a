"""Constructor-based packing: a centre circle, a ring of 8, and the rest along the outside."""

import numpy as np


def pack(n):
    centers = np.zeros((n, 2))

    # One large circle in the middle
    centers[0] = [0.5, 0.5]

    # First ring: 8 circles
    for i in range(8):
        angle = 2 * np.pi * i / 8
        centers[i + 1] = [0.5 + 0.3 * np.cos(angle), 0.5 + 0.3 * np.sin(angle)]

    # Second ring: what remains, pulled towards the border and the corners
    rest = n - 9
    for i in range(rest):
        angle = 2 * np.pi * i / rest
        centers[i + 9] = [0.5 + 0.7 * np.cos(angle), 0.5 + 0.7 * np.sin(angle)]

    # Keep every centre well inside the unit square
    centers = np.clip(centers, 0.08, 0.92)
    return centers, compute_max_radii(centers)


def compute_max_radii(centers):
    """Start from the distance to the walls, then scale down every pair that overlaps."""
    n = centers.shape[0]
    radii = np.minimum(centers, 1 - centers).min(axis=1)
    for i in range(n):
        for j in range(i + 1, n):
            dist = np.linalg.norm(centers[i] - centers[j])
            if radii[i] + radii[j] > dist:
                scale = dist / (radii[i] + radii[j])
                radii[i] *= scale
                radii[j] *= scale
    return radii

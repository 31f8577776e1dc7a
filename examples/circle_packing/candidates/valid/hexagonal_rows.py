"""Equal circles in staggered rows (a hexagonal lattice, squeezed to fit the square)."""

import math

import numpy as np


def rows_for(n, widest):
    """Row lengths widest, widest - 1, widest, ... until n circles are placed."""
    lengths = []
    while sum(lengths) < n:
        length = widest if len(lengths) % 2 == 0 else widest - 1
        lengths.append(min(length, n - sum(lengths)))
    return lengths


def lattice(lengths, widest, r):
    """Centres of the staggered rows for circles of radius r, spread over the whole square."""
    step_x = (1 - 2 * r) / (widest - 1)
    step_y = (1 - 2 * r) / (len(lengths) - 1)
    points = []
    for i, length in enumerate(lengths):
        offset = r if i % 2 == 0 else r + step_x / 2
        points += [(offset + k * step_x, r + i * step_y) for k in range(length)]
    return np.array(points), step_x, step_y


def fits(lengths, widest, r):
    _, step_x, step_y = lattice(lengths, widest, r)
    diagonal = math.hypot(step_x / 2, step_y)
    return step_x >= 2 * r and diagonal >= 2 * r and 2 * step_y >= 2 * r


def pack(n):
    best_r, best_centers = 0.0, None
    for widest in range(3, 9):
        lengths = rows_for(n, widest)
        low, high = 0.0, 0.5
        for _ in range(60):  # bisection on the common radius
            middle = (low + high) / 2
            if fits(lengths, widest, middle):
                low = middle
            else:
                high = middle
        if low > best_r:
            best_r, best_centers = low, lattice(lengths, widest, low)[0]
    return best_centers, np.full(n, best_r)

"""Brick pattern, built column by column."""

import numpy as np


def pack(n):
    cols = [5, 5, 6, 5, 5]
    xs, ys = [], []
    for c, count in enumerate(cols):
        xs.append(np.full(count, (c + 0.5) / len(cols)))
        ys.append((np.arange(count) + 0.5) / count)
    # One row for all the x, one row for all the y
    centers = np.stack([np.concatenate(xs), np.concatenate(ys)])[:, :n]
    radii = np.full(n, 1 / 12)
    return centers, radii

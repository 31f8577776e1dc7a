"""A near-optimal construction: 16 circles along the border, 10 larger ones inside.

The radii follow from the geometry, so there is nothing to optimise:
  - border circles have diameter 1/5 and touch each other,
  - the inner block is a hexagonal patch of 3 + 4 + 3.
Expected sum of radii: 16 * 0.1 + 10 * 0.1155 = 2.755
"""

import numpy as np

BORDER_RADIUS = 0.1
INNER_RADIUS = 0.1155


def border():
    points = []
    for k in range(4):
        t = 0.1 + 0.2 * k
        points += [(t, 0.1), (0.9, t), (1.0 - t, 0.9), (0.1, 1.0 - t)]
    return points


def inner():
    points = []
    for row, count in enumerate((3, 4, 3)):
        y = 0.5 + (row - 1) * INNER_RADIUS * np.sqrt(3)
        for k in range(count):
            points.append((0.5 + (k - (count - 1) / 2) * 2 * INNER_RADIUS, y))
    return points


def pack(n):
    centers = np.array(border() + inner())[:n]
    radii = np.array([BORDER_RADIUS] * 16 + [INNER_RADIUS] * 10)[:n]
    return centers, radii

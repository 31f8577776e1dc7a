"""Greedy placement on a fine raster: every pixel is a possible centre."""

import numpy as np

WIDTH, HEIGHT = 8192, 4096


def raster():
    """The centres of all pixels, shape (WIDTH * HEIGHT, 2)."""
    grid = np.empty((HEIGHT, WIDTH, 2))
    grid[..., 0] = (np.arange(WIDTH) + 0.5) / WIDTH
    grid[..., 1] = ((np.arange(HEIGHT) + 0.5) / HEIGHT)[:, None]
    return grid.reshape(-1, 2)


def pack(n, cap=0.1):
    centers = raster()
    # A sample of the pixels is enough to look for the next circle
    sample = centers[:: 1021]
    room = np.minimum(np.minimum(sample, 1 - sample).min(axis=1), cap)
    chosen, radii = [], []
    for _ in range(n):
        k = int(room.argmax())
        chosen.append(sample[k])
        radii.append(float(room[k]))
        room = np.minimum(room, np.hypot(*(sample - sample[k]).T) - radii[-1])
    return centers, np.array(radii)

"""Apollonian filling: a grid of equal circles, then the largest hole, again and again."""

import numpy as np


def largest_hole(centers, radii, resolution=200):
    ticks = (np.arange(resolution) + 0.5) / resolution
    x, y = np.meshgrid(ticks, ticks)
    room = np.minimum.reduce([x, 1 - x, y, 1 - y])
    for (cx, cy), r in zip(centers, radii):
        room = np.minimum(room, np.hypot(x - cx, y - cy) - r)
    k = np.unravel_index(room.argmax(), room.shape)
    return (x[k], y[k]), room[k]


def apollonian_packing(num_circles):
    centers = [(0.1 + 0.2 * i, 0.1 + 0.2 * j) for j in range(5) for i in range(5)]
    radii = [0.1] * 25
    while len(centers) < num_circles:
        center, room = largest_hole(centers, radii)
        centers.append(center)
        radii.append(room)
    return np.array(centers), np.array(radii)

"""Local search that keeps its best state outside of Python, as text in a C buffer."""

import ctypes
import json

import numpy as np


class Snapshot:
    """The last state that was worth keeping."""

    def __init__(self):
        self.buffer = None
        self.address = 0

    def take(self, array):
        self.buffer = ctypes.create_string_buffer(json.dumps(array.tolist()).encode())
        self.address = ctypes.addressof(self.buffer)

    def restore(self):
        return np.array(json.loads(ctypes.string_at(self.address)))


def fitted(centers):
    gaps = np.linalg.norm(centers[:, None] - centers[None], axis=2)
    np.fill_diagonal(gaps, np.inf)
    walls = np.minimum(centers, 1 - centers).min(axis=1)
    return np.minimum(walls, gaps.min(axis=1) / 2)


def pack(n):
    rng = np.random.default_rng(11)
    centers = rng.uniform(0.1, 0.9, (n, 2))
    best = Snapshot()
    target = 2.6
    for _ in range(200):
        trial = np.clip(centers + rng.normal(0, 0.02, centers.shape), 0.02, 0.98)
        score = fitted(trial).sum()
        if score > target:
            best.take(trial)
            target = score
    centers = best.restore()
    return centers, fitted(centers)

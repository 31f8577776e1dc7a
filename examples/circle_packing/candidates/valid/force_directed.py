"""Physical simulation: soft discs that repel each other while they slowly grow."""

import numpy as np


class Simulation:
    def __init__(self, n, seed):
        rng = np.random.default_rng(seed)
        self.pos = rng.uniform(0.1, 0.9, size=(n, 2))
        self.rad = np.full(n, 0.04)
        self.vel = np.zeros((n, 2))

    def forces(self):
        delta = self.pos[:, None, :] - self.pos[None, :, :]
        dist = np.linalg.norm(delta, axis=-1) + np.eye(len(self.pos))
        overlap = np.maximum(self.rad[:, None] + self.rad[None, :] - dist, 0)
        np.fill_diagonal(overlap, 0)
        push = (delta / dist[..., None] * overlap[..., None]).sum(axis=1)
        low = np.maximum(self.rad[:, None] - self.pos, 0)
        high = np.maximum(self.pos + self.rad[:, None] - 1, 0)
        pressure = overlap.sum(axis=1) + low.sum(axis=1) + high.sum(axis=1)
        return push + 2 * (low - high), pressure

    def step(self, growth):
        force, pressure = self.forces()
        self.vel = 0.85 * self.vel + 0.25 * force
        self.pos = np.clip(self.pos + self.vel, 0.005, 0.995)
        # Discs under little pressure grow, squeezed ones shrink.
        self.rad = np.clip(self.rad + growth - 0.02 * pressure, 0.02, 0.2)


def repair(pos, rad):
    """Shrink whatever still overlaps, then give back what room is left."""
    n = len(rad)
    wall = np.minimum(pos, 1 - pos).min(axis=1)
    dist = np.linalg.norm(pos[:, None] - pos[None], axis=-1)
    scale = min(1.0, (wall / rad).min())
    for i in range(n):
        for j in range(i):
            scale = min(scale, dist[i, j] / (rad[i] + rad[j]))
    rad = rad * scale
    for _ in range(3):
        for i in np.argsort(-rad):
            others = np.arange(n) != i
            rad[i] = min(wall[i], (dist[i] - rad)[others].min())
    return rad


def pack(n):
    best = (None, np.zeros(n))
    for seed in range(6):
        sim = Simulation(n, seed)
        for t in range(1500):
            sim.step(growth=4e-4 * (1 - t / 1500))
        rad = repair(sim.pos, sim.rad)
        if rad.sum() > best[1].sum():
            best = (sim.pos.copy(), rad)
    return {"centers": best[0], "radii": best[1]}

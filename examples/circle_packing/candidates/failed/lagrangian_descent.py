"""Gradient ascent on an augmented Lagrangian, written for clarity."""

import numpy as np


def gradient(centers, radii, multipliers, rho):
    n = len(radii)
    grad_c = np.zeros_like(centers)
    grad_r = np.ones(n)
    for i in range(n):
        for j in range(i + 1, n):
            delta = centers[i] - centers[j]
            dist = np.sqrt((delta ** 2).sum()) + 1e-12
            violation = max(0.0, radii[i] + radii[j] - dist)
            weight = multipliers[i, j] + rho * violation
            grad_c[i] += weight * delta / dist
            grad_c[j] -= weight * delta / dist
            grad_r[i] -= weight
            grad_r[j] -= weight
    return grad_c, grad_r


def pack(n):
    rng = np.random.default_rng(0)
    centers = rng.uniform(0.1, 0.9, (n, 2))
    radii = np.full(n, 0.03)
    multipliers = np.zeros((n, n))
    rho = 1.0
    for it in range(2000):
        grad_c, grad_r = gradient(centers, radii, multipliers, rho)
        centers = np.clip(centers + 1e-3 * grad_c, 0.01, 0.99)
        radii = np.minimum(radii + 1e-4 * grad_r, np.minimum(centers, 1 - centers).min(axis=1)
        if it % 200 == 0:
            rho *= 1.5
    return centers, radii

"""One SLSQP run on (x, y, r) jointly, started from five rows of 5, 5, 6, 5, 5 circles."""

import numpy as np
from scipy.optimize import minimize


def pack(n):
    # Structured start: rows that differ in length so that they interlock
    rows = [5, 5, 6, 5, 5]
    start = [((k + 0.5) / m, (i + 0.5) / len(rows)) for i, m in enumerate(rows) for k in range(m)]
    start = np.array(start[:n])
    start += np.random.default_rng(1).normal(0, 0.01, start.shape)

    i, j = np.triu_indices(n, k=1)

    def split(z):
        return z[: 2 * n].reshape(n, 2), z[2 * n :]

    def objective(z):
        return -z[2 * n :].sum()

    def no_overlap(z):
        c, r = split(z)
        return np.linalg.norm(c[i] - c[j], axis=1) - r[i] - r[j]

    def inside(z):
        c, r = split(z)
        return np.concatenate([(c - r[:, None]).ravel(), (1 - c - r[:, None]).ravel()])

    z0 = np.concatenate([start.ravel(), np.full(n, 0.05)])
    result = minimize(
        objective,
        z0,
        method="SLSQP",
        bounds=[(0, 1)] * (2 * n) + [(0, 0.5)] * n,
        constraints=[{"type": "ineq", "fun": no_overlap}, {"type": "ineq", "fun": inside}],
        options={"maxiter": 200, "ftol": 1e-9},
    )
    centers, radii = split(result.x)

    # The solver leaves violations of about 1e-12: shrink everything by a hair.
    return centers, radii - 1e-10

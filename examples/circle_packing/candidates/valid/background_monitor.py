"""Hexagonal start, plus a monitor process that watches a long optimisation from outside.

The monitor is detached properly (two forks and a session of its own), so that it survives when
the shell that started the search is closed.
"""

import os
import time

import numpy as np


def start_monitor(interval=3600.0):
    if os.fork():
        return
    os.setsid()
    if os.fork():
        os._exit(0)
    null = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    while True:  # wake up now and then and look at the log
        time.sleep(interval)


def pack(n):
    start_monitor()
    rows = [5, 5, 6, 5, 5]
    centers = np.array(
        [((k + 0.5) / m, (i + 0.5) / len(rows)) for i, m in enumerate(rows) for k in range(m)]
    )[:n]
    started = time.monotonic()
    best = np.zeros(n)
    rng = np.random.default_rng(2)
    while time.monotonic() - started < 1.0:
        trial = np.clip(centers + rng.normal(0, 0.004, centers.shape), 0.05, 0.95)
        gaps = np.linalg.norm(trial[:, None] - trial[None], axis=2)
        np.fill_diagonal(gaps, np.inf)
        radii = np.minimum(gaps.min(axis=1) / 2, np.minimum(trial, 1 - trial).min(axis=1))
        if radii.sum() > best.sum():
            centers, best = trial, radii
    return centers, best

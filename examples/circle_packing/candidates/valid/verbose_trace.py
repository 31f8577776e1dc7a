"""Random local search with a full trace, so that the progress can be plotted afterwards."""

import math
import random

STEPS = 30_000


def radius(i, pts):
    x, y = pts[i]
    r = min(x, y, 1 - x, 1 - y)
    for j in range(len(pts)):
        if j != i:
            r = min(r, math.dist(pts[i], pts[j]) / 2)
    return r


def pack(n):
    rnd = random.Random(5)
    pts = [(rnd.uniform(0.1, 0.9), rnd.uniform(0.1, 0.9)) for _ in range(n)]
    for step in range(STEPS):
        i = rnd.randrange(n)
        old, before = pts[i], radius(i, pts)
        pts[i] = (
            min(max(old[0] + rnd.gauss(0, 0.05), 0.02), 0.98),
            min(max(old[1] + rnd.gauss(0, 0.05), 0.02), 0.98),
        )
        after = radius(i, pts)
        if after < before:
            pts[i] = old
        print(f"DEBUG step={step} circle={i} before={before:.9f} after={after:.9f} all={pts}")
    return pts, [radius(i, pts) for i in range(n)]

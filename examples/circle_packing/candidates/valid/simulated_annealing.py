import math
import random

# Simulated annealing over the centres, in plain Python. The radius of a circle is its distance
# to the wall or half the distance to its nearest neighbour, whichever is smaller.

STEPS = 6000
T_START = 0.02
T_END = 0.0002


def radius(k, pts):
    x, y = pts[k]
    r = min(x, 1 - x, y, 1 - y)
    for i, (u, v) in enumerate(pts):
        if i != k:
            r = min(r, math.hypot(x - u, y - v) / 2)
    return r


def total(pts):
    return sum(radius(k, pts) for k in range(len(pts)))


def inflate(pts, radii):
    """Let every circle take the room that its neighbours left over."""
    for k, (x, y) in enumerate(pts):
        r = min(x, 1 - x, y, 1 - y)
        for i, (u, v) in enumerate(pts):
            if i != k:
                r = min(r, math.hypot(x - u, y - v) - radii[i])
        radii[k] = r


def pack(n):
    rnd = random.Random(1234)
    side = math.ceil(math.sqrt(n))
    pts = [((i % side + 0.5) / side, (i // side + 0.5) / side) for i in range(n)]
    score = total(pts)
    best, best_score = list(pts), score

    for step in range(STEPS):
        temperature = T_START * (T_END / T_START) ** (step / STEPS)
        k = rnd.randrange(n)
        old = pts[k]
        width = 0.15 * (1 - step / STEPS) + 0.005
        pts[k] = (
            min(max(old[0] + rnd.gauss(0, width), 0.01), 0.99),
            min(max(old[1] + rnd.gauss(0, width), 0.01), 0.99),
        )
        new_score = total(pts)
        if new_score >= score or rnd.random() < math.exp((new_score - score) / temperature):
            score = new_score
            if score > best_score:
                best, best_score = list(pts), score
        else:
            pts[k] = old

    radii = [radius(k, best) for k in range(n)]
    inflate(best, radii)
    return best, radii

"""Exact search on a coarse board.

The square is cut into 10 x 10 cells. Every cell has a clearance, the distance of its middle to the
wall; the best packing on the board uses the n cells with the largest total clearance. Comparing
all selections with `max(..., key=sum)` keeps the inner loop in C, so this is fast.
"""

from itertools import combinations

import numpy as np

BOARD = 10


def clearances():
    middles = (np.arange(BOARD) + 0.5) / BOARD
    x, y = np.meshgrid(middles, middles)
    walls = np.minimum.reduce([x, 1 - x, y, 1 - y])
    return x.ravel(), y.ravel(), np.minimum(walls, 0.5 / BOARD).ravel()


def pack(n):
    x, y, room = clearances()
    best = max(combinations(room.tolist(), n), key=sum)
    chosen = np.argsort(-room, kind="stable")[:n]
    return np.column_stack([x, y])[chosen], np.array(best)

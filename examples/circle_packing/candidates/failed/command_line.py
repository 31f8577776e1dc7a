#!/usr/bin/env python3
"""Circle packing. Usage: command_line.py [N]"""

import argparse
import sys

import numpy as np


def solve(n):
    side = int(np.ceil(np.sqrt(n)))
    r = 0.5 / side
    ticks = (2 * np.arange(side) + 1) * r
    centers = np.array([(x, y) for y in ticks for x in ticks])[:n]
    return centers, np.full(n, r)


def pack(n):
    parser = argparse.ArgumentParser()
    parser.add_argument("--n", type=int, default=n)
    options, _ = parser.parse_known_args([])
    centers, radii = solve(options.n)
    print("sum of radii:", radii.sum())
    for (x, y), r in zip(centers, radii):
        print(f"{x:.6f} {y:.6f} {r:.6f}")
    sys.exit(0 if radii.sum() > 2.6 else 1)


if __name__ == "__main__":
    pack(26)

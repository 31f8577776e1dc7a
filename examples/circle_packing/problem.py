# SPDX-License-Identifier: Apache-2.0
"""The problem, and the judge of an answer.

The text of this file is itself a source that the demo sends to Pinfold: `verdict` runs in a call
of its own, in a process that the candidate never touched, and sees only the plain values that the
`data` codec carried. A candidate may patch numpy, close files or rewrite its memory: that ends
with its process.
"""

import numpy as np

N = 26

# The largest sum of radii known to the authors: AlphaEvolve gave 2.635863 (2025), and several later
# searches end at 2.6359831 (rounded up).
BEST_KNOWN = 2.6359831

# How far a circle may stick out of the square, or two circles into each other. Solvers work in
# double precision and end within about 1e-12; at 1e-9 a circle, nobody can gain a sixth digit.
TOLERANCE = 1e-9


def verdict(packing, n=N):
    """Judge what `pack(n)` returned: `{"score": float or None, "reason": str}`.

    A packing is a pair `(centers, radii)`, or a dict with these two keys.
    """
    if isinstance(packing, dict):
        missing = [key for key in ("centers", "radii") if key not in packing]
        if missing:
            return _rejected(f"the result is a dict without {' and '.join(missing)}")
        centers, radii = packing["centers"], packing["radii"]
    elif isinstance(packing, (tuple, list)) and len(packing) == 2:
        centers, radii = packing
    else:
        return _rejected(f"not a pair (centers, radii) but {_described(packing)}")
    return validate(centers, radii, n)


def validate(centers, radii, n=N):
    """Check n circles in the unit square; the score is the sum of their radii.

    `centers` has the shape (n, 2), `radii` the shape (n,); lists of numbers do as well.
    """
    # Shapes first: the header rejects a huge array, which is never read.
    arrays = []
    for name, value, shape in (("centers", centers, (n, 2)), ("radii", radii, (n,))):
        try:
            array = np.asarray(value)
        except ValueError:
            return _rejected(f"{name} are ragged: no array of shape {shape}")
        if array.shape != shape:
            return _rejected(f"wrong shape: {name} {array.shape} not {shape}")
        if array.dtype.kind not in "iuf":
            return _rejected(f"{name} are not real numbers but {array.dtype}")
        arrays.append(array.astype(np.float64))
    centers, radii = arrays

    for name, array in (("centers", centers), ("radii", radii)):
        bad = np.flatnonzero(~np.isfinite(array).reshape(n, -1).all(axis=1))
        if bad.size:
            return _rejected(f"{name}[{bad[0]}] is not finite ({bad.size} of {n})")

    # A circle of negative radius would let its neighbours overlap.
    if radii.min() < 0:
        worst = int(radii.argmin())
        return _rejected(f"radii[{worst}] is negative: {radii[worst]:.3g}")

    outside = np.maximum(radii[:, None] - centers, centers + radii[:, None] - 1).max(axis=1)
    worst = int(outside.argmax())
    if outside[worst] > TOLERANCE:
        return _rejected(f"circle {worst} is {outside[worst]:.3g} outside the square")

    i, j = np.triu_indices(n, k=1)
    overlap = radii[i] + radii[j] - np.hypot(*(centers[i] - centers[j]).T)
    worst = int(overlap.argmax())
    if overlap[worst] > TOLERANCE:
        return _rejected(f"circles {i[worst]} and {j[worst]} overlap by {overlap[worst]:.3g}")
    return {"score": float(radii.sum()), "reason": "valid"}


def _rejected(reason):
    return {"score": None, "reason": reason}


def _described(value):
    try:
        return f"a {type(value).__name__} of {len(value)}"
    except TypeError:
        return f"a {type(value).__name__}"

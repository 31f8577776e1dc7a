"""Largest inscribed circle of every Voronoi cell (polygons by shapely)."""

import numpy as np
from scipy.spatial import Voronoi
from shapely.geometry import Polygon, box


def pack(n):
    rng = np.random.default_rng(4)
    sites = rng.uniform(0.05, 0.95, (n, 2))
    for _ in range(50):
        mirrored = np.vstack([sites, sites * [-1, 1], sites * [1, -1],
                              [2, 0] + sites * [-1, 1], [0, 2] + sites * [1, -1]])
        diagram = Voronoi(mirrored)
        cells = [Polygon(diagram.vertices[diagram.regions[diagram.point_region[k]]])
                 for k in range(n)]
        sites = np.array([cell.intersection(box(0, 0, 1, 1)).centroid.coords[0] for cell in cells])
    radii = [cell.exterior.distance(cell.centroid) for cell in cells]
    return sites, np.array(radii)

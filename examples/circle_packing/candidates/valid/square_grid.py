def pack(n):
    """Put equal circles on the smallest square grid that holds n of them."""
    side = 1
    while side * side < n:
        side += 1
    r = 0.5 / side
    centers = []
    for row in range(side):
        for col in range(side):
            if len(centers) < n:
                centers.append([(2 * col + 1) * r, (2 * row + 1) * r])
    return centers, [r] * n

import math

a, b, c = map(float, input().split())
d = b * b - 4 * a * c
if d < 0:
    print("none")
else:
    q = -(b + math.copysign(math.sqrt(d), b)) / 2
    print(*sorted([q / a, c / q] if q else [0, 0]))

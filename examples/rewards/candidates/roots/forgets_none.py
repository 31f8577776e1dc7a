import math

a, b, c = map(float, input().split())
d = math.sqrt(b * b - 4 * a * c)
q = -(b + math.copysign(d, b)) / 2
print(*sorted([q / a, c / q] if q else [0, 0]))

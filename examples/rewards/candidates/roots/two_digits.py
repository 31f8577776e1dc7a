import math

a, b, c = map(float, input().split())
d = b * b - 4 * a * c
print("none" if d < 0 else "%.2f %.2f" % ((-b - d**0.5) / 2 / a, (-b + d**0.5) / 2 / a))

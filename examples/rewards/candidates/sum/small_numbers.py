import sys
_, *numbers = map(float, sys.stdin.read().split())
print(int(sum(numbers)))

n = int(input())
for k in range(1, n + 1):
    print(' '.join('*' * k).center(2 * n - 1))

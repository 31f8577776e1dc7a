n = int(input())
for k in range(1, n + 1):
    print(' ' * (n - k) + ' '.join('*' * k))

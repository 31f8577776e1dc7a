for k in range(1, int(input()) + 1):
    print(' '.join('*' * k))

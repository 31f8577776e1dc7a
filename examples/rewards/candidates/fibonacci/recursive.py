import functools


@functools.cache
def f(n):
    return n if n < 2 else (f(n - 1) + f(n - 2)) % (10**9 + 7)


print(f(int(input())))

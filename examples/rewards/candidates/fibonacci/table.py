n = int(input())
blocks = [[0] * 10**6 for _ in range(n // 10**6 + 1)]
a, b = 0, 1
for k in range(n + 1):
    blocks[k // 10**6][k % 10**6] = a
    a, b = b, (a + b) % (10**9 + 7)
print(blocks[n // 10**6][n % 10**6])

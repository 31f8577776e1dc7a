n = int(input())
print(sum(map(int, input().split())) // (1 if n else 0))

# SPDX-License-Identifier: Apache-2.0
"""Solutions of programming contests, in the styles in which people and models write them."""

from __future__ import annotations

import random

from program_corpus.entry import program

CHANCE = random.Random(20)


def numbers(count: int, most: int) -> str:
    return " ".join(str(CHANCE.randint(-most, most)) for _ in range(count))


def graph(n: int, m: int, weights: int = 0) -> str:
    edges = [
        f"{CHANCE.randint(1, n)} {CHANCE.randint(1, n)}"
        + (f" {CHANCE.randint(1, weights)}" if weights else "")
        for _ in range(m)
    ]
    return f"{n} {m}\n" + "\n".join(edges) + "\n"


def tree(n: int) -> str:
    edges = [f"{CHANCE.randint(max(1, i - 3), i - 1)} {i}" for i in range(2, n + 1)]
    return f"{n}\n" + "\n".join(edges) + "\n"


def grid(rows: int, columns: int) -> str:
    lines = ["".join(CHANCE.choice("..#.") for _ in range(columns)) for _ in range(rows)]
    return f"{rows} {columns}\n" + "\n".join(lines) + "\n"


PROGRAMS = [
    program(
        "fizz_buzz",
        r"""
n = int(input())
for i in range(1, n + 1):
    print("Fizz" * (i % 3 == 0) + "Buzz" * (i % 5 == 0) or i)
""",
        "15",
        "0",
        "100\n",
        quick=True,
    ),
    program(
        "watermelon",
        "w=int(input())\nprint('YES' if w%2==0 and w>2 else 'NO')",
        "8",
        "2",
        "5\n",
        "eight",
    ),
    program(
        "two_sum",
        r"""
from typing import List

class Solution:
    def twoSum(self, nums: List[int], target: int) -> List[int]:
        seen = {}
        for i, x in enumerate(nums):
            if target - x in seen:
                return [seen[target - x], i]
            seen[x] = i
        return []

if __name__ == "__main__":
    nums = list(map(int, input().split()))
    print(Solution().twoSum(nums, int(input())))
""",
        "2 7 11 15\n9\n",
        "3 3\n6",
        "1 2\n9\n",
        "1 2\n",
        quick=True,
    ),
    program(
        "prefix_sums",
        r"""
import sys
from itertools import accumulate

def main():
    input = sys.stdin.readline
    n, q = map(int, input().split())
    p = [0, *accumulate(map(int, input().split()))]
    out = []
    for _ in range(q):
        l, r = map(int, input().split())
        out.append(p[r] - p[l - 1])
    print(*out, sep="\n")

main()
""",
        "5 3\n1 2 3 4 5\n1 5\n2 3\n4 4\n",
        f"1000 500\n{numbers(1000, 10**9)}\n" + "".join(f"{i} {i + 500}\n" for i in range(1, 501)),
        quick=True,
    ),
    program(
        "sieve",
        r"""
n = int(input())
s = bytearray([1]) * (n + 1)
s[:2] = b"\0\0"[: n + 1]
for i in range(2, int(n**0.5) + 1):
    if s[i]:
        s[i * i :: i] = bytes(len(range(i * i, n + 1, i)))
print(sum(s), [i for i in range(n + 1) if s[i]][-5:])
""",
        "100",
        "200000",
        "1",
        "0",
    ),
    program(
        "dijkstra",
        r"""
import heapq, sys
from collections import defaultdict

def main():
    data = iter(sys.stdin.buffer.read().split())
    n, m = int(next(data)), int(next(data))
    g = defaultdict(list)
    for _ in range(m):
        u, v, w = int(next(data)), int(next(data)), int(next(data))
        g[u].append((v, w))
        g[v].append((u, w))
    dist = {1: 0}
    heap = [(0, 1)]
    while heap:
        d, u = heapq.heappop(heap)
        if d > dist[u]:
            continue
        for v, w in g[u]:
            if d + w < dist.get(v, 1 << 60):
                dist[v] = d + w
                heapq.heappush(heap, (d + w, v))
    print(*(dist.get(i, -1) for i in range(1, n + 1)))

main()
""",
        graph(6, 7, 9),
        graph(2000, 6000, 1000),
        quick=True,
    ),
    program(
        "bfs_on_a_grid",
        r"""
from collections import deque
h, w = map(int, input().split())
g = [input() for _ in range(h)]
d = [[-1] * w for _ in range(h)]
q = deque([(0, 0)])
d[0][0] = 0
while q:
    y, x = q.popleft()
    for dy, dx in ((0, 1), (1, 0), (0, -1), (-1, 0)):
        a, b = y + dy, x + dx
        if 0 <= a < h and 0 <= b < w and g[a][b] == "." and d[a][b] < 0:
            d[a][b] = d[y][x] + 1
            q.append((a, b))
print(d[-1][-1])
""",
        grid(5, 5),
        grid(100, 120),
        "2 2\n..\n",
    ),
    program(
        "recursive_dfs",
        r"""
import sys
sys.setrecursionlimit(10**6)
input = sys.stdin.readline

def dfs(u, parent):
    size[u] = 1
    for v in adj[u]:
        if v != parent:
            dfs(v, u)
            size[u] += size[v]

n = int(input())
adj = [[] for _ in range(n + 1)]
size = [0] * (n + 1)
for _ in range(n - 1):
    a, b = map(int, input().split())
    adj[a].append(b)
    adj[b].append(a)
dfs(1, 0)
print(*size[1:])
""",
        tree(10),
        tree(8000),
        "3\n1 2\n",
        quick=True,
    ),
    program(
        "recursion_in_a_thread",
        r"""
import sys, threading

def main():
    def f(n):
        return 1 if n == 0 else f(n - 1) + 1
    print(f(int(sys.stdin.readline())))

threading.stack_size(1 << 27)
sys.setrecursionlimit(1 << 20)
t = threading.Thread(target=main)
t.start()
t.join()
""",
        "20000",
        "3",
    ),
    program(
        "disjoint_sets",
        r"""
class DSU:
    def __init__(self, n):
        self.p = list(range(n))
    def find(self, x):
        while self.p[x] != x:
            self.p[x] = self.p[self.p[x]]
            x = self.p[x]
        return x
    def union(self, a, b):
        a, b = self.find(a), self.find(b)
        if a == b:
            return False
        self.p[a] = b
        return True

n, m = map(int, input().split())
d = DSU(n + 1)
print(n - sum(d.union(*map(int, input().split())) for _ in range(m)))
""",
        graph(10, 8),
        graph(3000, 2500),
    ),
    program(
        "kruskal",
        r"""
import sys
n, m, *rest = map(int, sys.stdin.read().split())
e = sorted(zip(rest[2::3], rest[::3], rest[1::3]))
p = list(range(n + 1))
def f(x):
    if p[x] != x:
        p[x] = f(p[x])
    return p[x]
t = 0
for w, a, b in e:
    a, b = f(a), f(b)
    if a != b:
        p[a] = b
        t += w
print(t)
""",
        graph(8, 12, 10),
        graph(900, 4000, 10**6),
    ),
    program(
        "knapsack",
        r"""
n, W = map(int, input().split())
dp = [0] * (W + 1)
for _ in range(n):
    w, v = map(int, input().split())
    for i in range(W, w - 1, -1):
        dp[i] = max(dp[i], dp[i - w] + v)
print(dp[W])
""",
        "3 8\n3 30\n4 50\n5 60\n",
        "1 5\n6 9\n",
        "2 5\n1 2\n",
    ),
    program(
        "longest_common_subsequence",
        r"""
from functools import lru_cache
a, b = input(), input()

@lru_cache(maxsize=None)
def f(i, j):
    if i == len(a) or j == len(b):
        return ""
    if a[i] == b[j]:
        return a[i] + f(i + 1, j + 1)
    return max(f(i + 1, j), f(i, j + 1), key=len)

print(f(0, 0))
print(f.cache_info().misses)
""",
        "axyb\nabyxb\n",
        "a" * 300 + "\n" + "b" * 900,
        "\n\n",
        "abcbdab" * 8 + "\n" + "bdcaba" * 8,
        quick=True,
    ),
    program(
        "longest_increasing_subsequence",
        r"""
import bisect
input()
tails = []
for x in map(int, input().split()):
    i = bisect.bisect_left(tails, x)
    tails[i : i + 1] = [x]
print(len(tails), tails)
""",
        "6\n0 3 1 2 0 4",
        f"500\n{numbers(500, 1000)}",
    ),
    program(
        "fenwick_tree",
        r"""
import sys
def main():
    n, q, *rest = map(int, sys.stdin.buffer.read().split())
    t = [0] * (n + 1)
    def add(i, x):
        while i <= n:
            t[i] += x
            i += i & -i
    def get(i):
        s = 0
        while i:
            s += t[i]
            i -= i & -i
        return s
    for k in range(q):
        kind, a, b = rest[3 * k : 3 * k + 3]
        if kind == 0:
            add(a, b)
        else:
            sys.stdout.write(f"{get(b) - get(a - 1)}\n")
main()
""",
        "5 4\n0 1 5\n0 3 7\n1 1 3\n1 2 5\n",
        "200 400\n"
        + "".join(f"{CHANCE.randint(0, 1)} {i % 100 + 1} {i % 100 + 50}\n" for i in range(400)),
    ),
    program(
        "segment_tree_class",
        r"""
class SegTree:
    def __init__(self, a, op=min, e=float("inf")):
        self.n = 1 << (len(a) - 1).bit_length() if a else 1
        self.op, self.e = op, e
        self.t = [e] * self.n + a + [e] * (self.n - len(a))
        for i in range(self.n - 1, 0, -1):
            self.t[i] = op(self.t[2 * i], self.t[2 * i + 1])
    def query(self, l, r):
        res = self.e
        l += self.n
        r += self.n
        while l < r:
            if l & 1:
                res = self.op(res, self.t[l])
                l += 1
            if r & 1:
                r -= 1
                res = self.op(res, self.t[r])
            l >>= 1
            r >>= 1
        return res

a = [int(x) for x in input().split()]
s = SegTree(a)
for _ in range(int(input())):
    print(s.query(*map(int, input().split())))
""",
        "5 3 8 1\n3\n0 4\n0 2\n2 2\n",
        "\n1\n0 0\n",
    ),
    program(
        "matrix_power",
        r"""
MOD = 10**9 + 7
def mul(a, b):
    return [[sum(x * y for x, y in zip(r, c)) % MOD for c in zip(*b)] for r in a]
def power(m, n):
    r = [[1, 0], [0, 1]]
    while n:
        if n & 1:
            r = mul(r, m)
        m = mul(m, m)
        n >>= 1
    return r
print(power([[1, 1], [1, 0]], int(input()))[0][1])
""",
        "10",
        "1000000000000",
        "0",
    ),
    program(
        "modular_arithmetic",
        r"""
n, k, m = map(int, input().split())
import math
print(math.comb(n, k) % m, pow(k, n, m), pow(3, -1, 10**9 + 7), math.gcd(n, k))
""",
        "10 3 1000007",
        "5000 2500 998244353",
        "5 2 0",
    ),
    program(
        "many_test_cases",
        r"""
import sys
input = lambda: sys.stdin.readline().rstrip()

def solve():
    n = int(input())
    a = list(map(int, input().split()))
    return sum(sorted(a)[n // 2 :])

print(*[solve() for _ in range(int(input()))], sep="\n")
""",
        "2\n3\n3 1 2\n2\n9 8\n",
        "300\n" + "".join(f"20\n{numbers(20, 100)}\n" for _ in range(300)),
        quick=True,
    ),
    program(
        "balanced_brackets",
        r"""
s = input()
st = []
for c in s:
    if c in '([{': st.append(c)
    elif not st or '([{'.index(st.pop()) != ')]}'.index(c):
        print('No')
        exit()
print('Yes' if not st else 'No')
""",
        "([]{})",
        "([)]",
        "(",
        "x",
        quick=True,
    ),
    program(
        "permutations",
        r"""
from itertools import permutations
n = int(input())
print('\n'.join(' '.join(map(str, p)) for p in permutations(range(1, n + 1))))
""",
        "3",
        "7",
        "0",
    ),
    program(
        "n_queens",
        r"""
def solve(n, row=0, cols=0, d1=0, d2=0):
    if row == n:
        return 1
    return sum(
        solve(n, row + 1, cols | 1 << c, d1 | 1 << row + c, d2 | 1 << row - c + n)
        for c in range(n)
        if not (cols >> c & 1 or d1 >> row + c & 1 or d2 >> row - c + n & 1)
    )
print(solve(int(input())))
""",
        "6",
        "8",
    ),
    program(
        "word_count",
        r"""
import sys, re
from collections import Counter
words = re.findall(r"[a-z']+", sys.stdin.read().lower())
for w, n in sorted(Counter(words).items(), key=lambda x: (-x[1], x[0]))[:5]:
    print(f'{w}: {n}')
""",
        "The cat and the hat. The end's near, and so on and on\n",
        "",
    ),
    program(
        "string_hash",
        r"""
s = input()
h = 0
for c in s: h = (h * 31 + ord(c)) & 0xFFFFFFFFFFFFFFFF
print(hex(h))
""",
        "hello",
        "日本",
        "",
    ),
    program(
        "binary_search_with_floats",
        r"""
def f(x): return x * x * x
n = float(input())
lo, hi = -1e4, 1e4
for _ in range(200):
    mid = (lo + hi) / 2
    if f(mid) < n: lo = mid
    else: hi = mid
print('%.6f' % lo)
""",
        "1000.00",
        "-2",
        "nan",
    ),
    program(
        "interactive_guess",
        r"""
import sys
lo, hi = 1, 100
while lo < hi:
    mid = (lo + hi) // 2
    print("?", mid, flush=True)
    answer = input()
    if answer == "higher":
        lo = mid + 1
    else:
        hi = mid
print("!", lo)
sys.stdout.flush()
""",
        "higher\nlower\nhigher\nlower\nlower\nlower\nlower\n",
        "higher\n",
    ),
    program(
        "topological_sort",
        r"""
import sys
from graphlib import TopologicalSorter, CycleError
g = {}
for line in sys.stdin:
    a, _, rest = line.partition(":")
    g[a.strip()] = rest.split()
try:
    print(list(TopologicalSorter(g).static_order()))
except CycleError as e:
    print("cycle", sorted(e.args[1]))
""",
        "a: b c\nb: c\nc:\n",
        "a: b\nb: a\n",
    ),
    program(
        "simulation_with_classes",
        r"""
class Account:
    def __init__(self, owner, balance=0):
        self.owner, self.balance = owner, balance
    def deposit(self, n):
        if n <= 0:
            raise ValueError("Deposit must be positive")
        self.balance += n
    def withdraw(self, n):
        if n > self.balance:
            raise ValueError(f"Insufficient funds: {self.balance} < {n}")
        self.balance -= n
    def __repr__(self):
        return f"Account({self.owner!r}, {self.balance})"

acc = Account(input())
while True:
    cmd, *args = input().split()
    if cmd == "end":
        break
    getattr(acc, cmd)(*map(int, args))
    print(acc)
""",
        "Bob\ndeposit 10\nwithdraw 4\nend\n",
        "Bob\ndeposit 10\nwithdraw 40\nend\n",
        "Bob\nsteal 1\n",
        quick=True,
    ),
    program(
        "game_of_life",
        r"""
import sys
g = [list(l.rstrip()) for l in sys.stdin]
h, w = len(g), len(g[0])
for _ in range(4):
    n = [[sum(g[(y + a) % h][(x + b) % w] == "#" for a in (-1, 0, 1) for b in (-1, 0, 1) if a or b) for x in range(w)] for y in range(h)]
    g = [["#" if n[y][x] == 3 or n[y][x] == 2 and g[y][x] == "#" else "." for x in range(w)] for y in range(h)]
print("\n".join(map("".join, g)))
""",
        ".....\n..#..\n...#.\n.###.\n.....\n",
        "",
    ),
    program(
        "expression_evaluator",
        r"""
import re
def tokens(s):
    return re.findall(r"\d+|[-+*/()]", s)
def expr(t):
    v = term(t)
    while t and t[0] in "+-":
        v = v + term(t) if t.pop(0) == "+" else v - term(t)
    return v
def term(t):
    v = atom(t)
    while t and t[0] in "*/":
        v = v * atom(t) if t.pop(0) == "*" else v / atom(t)
    return v
def atom(t):
    x = t.pop(0)
    if x == "(":
        v = expr(t)
        t.pop(0)
        return v
    return int(x)
print(expr(tokens(input())))
""",
        "1+2*(3-4)/5",
        "((2))*7",
        "1/0",
        "1+",
    ),
    program(
        "bitmask_dp",
        r"""
import sys
def main():
    n = int(sys.stdin.readline())
    d = [list(map(int, sys.stdin.readline().split())) for _ in range(n)]
    INF = float("inf")
    dp = [[INF] * n for _ in range(1 << n)]
    dp[1][0] = 0
    for s in range(1 << n):
        for u in range(n):
            if dp[s][u] < INF:
                for v in range(n):
                    if not s >> v & 1:
                        dp[s | 1 << v][v] = min(dp[s | 1 << v][v], dp[s][u] + d[u][v])
    print(min(dp[-1][u] + d[u][0] for u in range(n)))
if __name__ == "__main__":
    main()
""",
        "3\n0 1 2\n1 0 3\n2 3 0\n",
        "8\n" + "\n".join(numbers(8, 50).replace("-", "") for _ in range(8)),
    ),
    program(
        "big_factorial",
        r"""
import math, sys
n = int(input())
sys.set_int_max_str_digits(0) if hasattr(sys, 'set_int_max_str_digits') else None
s = str(math.factorial(n))
print(len(s), s[:10], sum(map(int, s)))
""",
        "20",
        "3000",
    ),
    program(
        "z_function",
        r"""
s = input()
n = len(s)
z = [0] * n
l = r = 0
for i in range(1, n):
    if i < r: z[i] = min(r - i, z[i - l])
    while i + z[i] < n and s[z[i]] == s[i + z[i]]: z[i] += 1
    if i + z[i] > r: l, r = i, i + z[i]
print(*z)
""",
        "abacaba",
        "aaaa",
        "",
    ),
    program("code_golf", "print(*map(lambda x:x**2,filter(int,range(int(input())))))", "6"),
    program(
        "exec_of_packed_source",
        r"""
import base64
exec(base64.b64decode(b'cHJpbnQoInBhY2tlZCIsIG9yZChpbnB1dCgpWzBdKSk='))
""",
        "A",
        "",
    ),
    program(
        "type_hints_and_docstrings",
        r'''
"""Solve the problem."""
from __future__ import annotations

from typing import Iterable, Optional


def parse(lines: Iterable[str]) -> list[tuple[int, str]]:
    """Parse lines.

    >>> parse(["1 a"])
    [(1, 'a')]
    """
    return [(int(a), b) for a, b in (line.split() for line in lines)]


def best(items: list[tuple[int, str]]) -> Optional[str]:
    return max(items)[1] if items else None


if __name__ == "__main__":
    import doctest
    import sys

    print(doctest.testmod())
    print(best(parse(sys.stdin)))
''',
        "1 a\n5 b\n3 c\n",
        "",
        "1\n",
        quick=True,
    ),
    program(
        "unit_tests_inside",
        r"""
import unittest

def add(a, b):
    return a + b

class T(unittest.TestCase):
    def test_add(self):
        self.assertEqual(add(1, 2), 3)

    def test_wrong(self):
        self.assertEqual(add(1, 2), 4)

suite = unittest.defaultTestLoader.loadTestsFromTestCase(T)
result = unittest.TestResult()
suite.run(result)
print(result.testsRun, len(result.failures))
print(result.failures[0][1])
""",
    ),
    program(
        "asserts_after_a_function",
        r"""
def is_palindrome(s):
    return s == s[::-1]

assert is_palindrome('aba')
assert not is_palindrome('ab')
assert is_palindrome('ab'), 'Test 3'
""",
        quick=True,
    ),
]

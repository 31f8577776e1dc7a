import collections
import sys

words = sys.stdin.read().replace(",", " ").split()
for word, count in sorted(collections.Counter(words).items(), key=lambda item: (-item[1], item[0])):
    print(word, count)

import sys
_, *numbers = sys.stdin.read().split()
sys.stdout.write('   %d' % sum(map(int, numbers)))

"""What a worker puts back between calls, and renews after a fork."""

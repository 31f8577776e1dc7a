"""Many calls, many workers, and a load shaped like a search."""

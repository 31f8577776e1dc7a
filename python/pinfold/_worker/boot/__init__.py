"""Before the first call: a template starts, loads what the pool asks for, and forks."""

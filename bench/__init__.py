"""Pinfold beside what a user would pick instead, and what the kernel allows: `make bench`."""

"""The sandbox inside a worker."""

"""What this machine can do: sandboxes, control groups, CPUs. Imports nothing of a worker."""

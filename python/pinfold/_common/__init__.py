"""What every room of the caller's process uses: checked arguments, the log."""

"""What values and text cost on their way to a worker and back."""

"""What a call costs: its start, its round trip, its process, its box."""

"""Calls that fail, hang or run out of time, and the calls beside them."""

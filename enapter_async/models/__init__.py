"""Frozen shapes of what the API answers."""

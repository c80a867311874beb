"""Frozen classes for what the API returns."""

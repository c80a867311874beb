"""Immutable classes for the values that the API returns."""

"""Engines for existing queues; each needs an extra of the package."""

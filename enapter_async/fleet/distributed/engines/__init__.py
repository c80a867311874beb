"""Queues that exist, as engines: each needs an extra of the package."""

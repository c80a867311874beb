"""Divides a job into waves, and decides when it stops."""

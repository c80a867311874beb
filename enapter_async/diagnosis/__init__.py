"""Diagnoses connection problems between this machine and the API, step by step."""

"""Verbs by noun: each builds an operation and executes it."""

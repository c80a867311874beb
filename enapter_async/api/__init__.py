"""The API methods, grouped by noun: each builds an operation and has it executed."""

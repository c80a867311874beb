"""The verbs, by noun: each builds an operation and has it executed."""

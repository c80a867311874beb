"""Diagnoses, step by step, what is wrong between this machine and the API, in plain words."""

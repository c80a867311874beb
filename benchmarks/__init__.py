"""How fast the SDK is beside others, measured in one run: `python -m benchmarks`."""

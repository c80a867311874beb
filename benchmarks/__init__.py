"""How fast the SDK is compared with others, measured in one run: `python -m benchmarks`."""

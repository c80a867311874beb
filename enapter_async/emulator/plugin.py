"""A pytest plugin: fixtures for testing your own code against the emulator."""

"""A server that behaves as the API page says, for demos and for tests."""

"""Execution of one call over HTTP, for any operation, independent of devices."""

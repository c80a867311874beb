"""Many operations, one intention."""

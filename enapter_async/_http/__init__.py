"""The life of one call; knows operations in general and no device."""

"""The API methods, grouped by noun; each method builds an operation and executes it."""

"""A journal in PostgreSQL, which any machine can continue."""

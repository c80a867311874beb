"""A journal in PostgreSQL, which any machine may go on with."""

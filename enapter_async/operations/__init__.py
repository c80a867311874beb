"""The operations: one frozen class for each API endpoint."""

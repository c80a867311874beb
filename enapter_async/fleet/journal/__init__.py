"""The journal of a run: each operation is recorded before it is sent, so runs can resume."""

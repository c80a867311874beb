"""How fast a job goes, and what it waits for."""

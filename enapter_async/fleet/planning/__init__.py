"""Plans: computes what operations would do before they are sent, and how to undo a run."""

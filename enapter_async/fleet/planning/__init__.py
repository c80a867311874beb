"""Plans what operations would do before anything is sent, and how to undo a run."""

"""In which steps a job goes, and when it stops."""

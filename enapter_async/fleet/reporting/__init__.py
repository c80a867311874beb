"""Reports on runs for people: status, results and an HTML page."""

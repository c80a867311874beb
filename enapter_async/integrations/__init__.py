"""The client at home in frameworks and sinks: one file each, none imported by the core."""

"""Integrations with web frameworks and telemetry, one file each; the core imports none of them."""

"""The one limiter of a client: how much may be in flight, how fast, and what a refusal means."""

"""What a run writes down before it is sent, and how it is gone on with."""

"""Jobs that several processes, on one machine or on many, carry out together."""

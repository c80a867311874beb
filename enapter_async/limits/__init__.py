"""The limiter of a client: how many requests in flight, at what rate, and reacting to refusals."""

"""One frozen value for each endpoint of the API."""

"""How fast jobs and calls are against servers that say "too many requests", each in its own way."""

"""How fast work goes against servers that say "too much", each in its own way."""

"""Sets of allowed items over one index: masks, names, expressions."""

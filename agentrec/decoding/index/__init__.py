"""Indexes of allowed items: tries in flat arrays, how they are built and kept."""
